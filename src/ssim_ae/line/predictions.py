"""Records what `ssim-ae predict` inspects in a log."""

from __future__ import annotations

import os
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np

from ssim_ae.detector.predictions import Prediction
from ssim_ae.detector.run_folder import current_version, run_of
from ssim_ae.images.files import decode_image, read_bytes
from ssim_ae.images.size import Size
from ssim_ae.line.inspection_log import DetectorIdentity, InspectionLog, Result


class PredictionRecorder:
    """Reads image files for the detector at a path, and writes a row for each prediction: each file is read once."""

    def __init__(self, log: InspectionLog, detector: Path, *, grayscale: bool) -> None:
        self.log = log
        self.grayscale = grayscale
        self.version = current_version(detector)
        run = run_of(detector)
        self.name = run.resolve().name if run else detector.stem
        self._contents: dict[str, bytes] = {}  # of the files that were read and not recorded yet
        self._sizes: dict[str, Size] = {}

    def read(self, path: Path) -> np.ndarray:
        """Return the pixels of an image file. Raises InputError and OSError as `read_image` does."""
        data = self._contents[str(path)] = read_bytes(path)
        pixels = decode_image(BytesIO(data), str(path), grayscale=self.grayscale)
        self._sizes[str(path)] = Size(*pixels.shape[:2])
        return pixels

    def record(self, prediction: Prediction) -> None:
        """Write a row for a prediction. Raises RecordError if it cannot be written."""
        self.log.record(
            datetime.fromisoformat(prediction.time),
            "predict",
            os.fsencode(Path(prediction.path).name).decode(errors="replace"),
            self._contents.pop(prediction.path, b""),
            DetectorIdentity(self.name, prediction.detector, self.version),
            _result(prediction, self._sizes.pop(prediction.path, None)),
        )


def _result(prediction: Prediction, size: Size | None) -> Result:
    if prediction.verdict not in ("ok", "nok"):
        return Result("error", error=prediction.error)
    return Result(
        "nok" if prediction.verdict == "nok" else "ok",
        prediction.score,
        prediction.threshold,
        size.width if size else None,
        size.height if size else None,
        prediction.defects,
        prediction.milliseconds,
    )
