"""Records what `ssim-ae predict` inspects in a log."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ssim_ae.detector.predictions import Prediction
from ssim_ae.detector.run_folder import current_version, run_of
from ssim_ae.errors import InputError
from ssim_ae.images.files import image_size
from ssim_ae.images.size import Size
from ssim_ae.line.inspection_log import DetectorIdentity, InspectionLog, Result


def recorder_of(log: InspectionLog, detector: Path) -> Callable[[Prediction], None]:
    """Return a function that writes a row for each prediction by the detector at a path."""
    version = current_version(detector)
    run = run_of(detector)
    name = run.resolve().name if run else detector.stem

    def record(prediction: Prediction) -> None:
        path = Path(prediction.path)
        identity = DetectorIdentity(name, prediction.detector, version)
        moment = datetime.fromisoformat(prediction.time)
        shown = os.fsencode(path.name).decode(errors="replace")
        log.record(moment, "predict", shown, _content(path), identity, _result(prediction))

    return record


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except (OSError, ValueError):  # why the image cannot be read stands in the prediction
        return b""


def _result(prediction: Prediction) -> Result:
    if prediction.verdict not in ("ok", "nok"):
        return Result("error", error=prediction.error)
    size = _size(Path(prediction.path))
    return Result(
        "nok" if prediction.verdict == "nok" else "ok",
        prediction.score,
        prediction.threshold,
        size.width if size else None,
        size.height if size else None,
        prediction.defects,
        prediction.milliseconds,
    )


def _size(path: Path) -> Size | None:
    try:
        return image_size(path)
    except (InputError, OSError):  # removed since it was inspected
        return None
