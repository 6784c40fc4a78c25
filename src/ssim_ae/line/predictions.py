"""Records what `ssim-ae predict` inspects in a log."""

from __future__ import annotations

import os
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssim_ae.detector.look import Look, UsualImages
from ssim_ae.detector.predictions import Prediction
from ssim_ae.detector.run_folder import current_version, run_of
from ssim_ae.images.files import decode_image, read_bytes
from ssim_ae.images.size import Size
from ssim_ae.line.drift import remember_usual
from ssim_ae.line.inspection_log import DetectorIdentity, InspectionLog, Result


class _ReadFile(NamedTuple):
    """What is recorded of an image file that was read; only its content if it cannot be decoded."""

    data: bytes = b""
    size: Size | None = None
    look: Look | None = None


class PredictionRecorder:
    """Reads image files for the detector at a path, and writes a row for each prediction: each file is read once.

    `usual` is what the detector's good images are like, if it knows: then rows say how the images look.
    """

    def __init__(
        self, log: InspectionLog, detector: Path, *, grayscale: bool, usual: UsualImages | None = None
    ) -> None:
        self.log = log
        self.grayscale = grayscale
        self.usual = usual
        self.version = current_version(detector)
        run = run_of(detector)
        self.name = run.resolve().name if run else detector.stem
        self._files: dict[str, _ReadFile] = {}  # that were read and not recorded yet
        self._remembers_usual = False  # what good images are like is in the log

    def read(self, path: Path) -> np.ndarray:
        """Return the pixels of an image file. Raises InputError and OSError as `read_image` does."""
        data = read_bytes(path)
        self._files[str(path)] = _ReadFile(data)
        pixels = decode_image(BytesIO(data), str(path), grayscale=self.grayscale)
        look = self.usual.look(pixels) if self.usual else None
        self._files[str(path)] = _ReadFile(data, Size(*pixels.shape[:2]), look)
        return pixels

    def record(self, prediction: Prediction) -> None:
        """Write a row for a prediction. Raises InputError if it cannot be written."""
        if self.usual and not self._remembers_usual:
            remember_usual(self.log, prediction.detector, self.usual)
            self._remembers_usual = True
        file = self._files.pop(prediction.path, _ReadFile())
        self.log.record(
            datetime.fromisoformat(prediction.time),
            "predict",
            os.fsencode(Path(prediction.path).name).decode(errors="replace"),
            file.data,
            DetectorIdentity(self.name, prediction.detector, self.version),
            _result(prediction, file.size),
            look=file.look,
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
