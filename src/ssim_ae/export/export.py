"""Export a detector, open what was written in its own runtime, and compare."""

from pathlib import Path

import numpy as np

from ssim_ae.console import note
from ssim_ae.detection.detector import Detector, detector_path
from ssim_ae.detection.detector_file import DetectorFile, header, read_detector, table_of
from ssim_ae.detection.recalibrate import held_out_images
from ssim_ae.errors import InputError
from ssim_ae.export.parity import Parity, parity
from ssim_ae.images import fabric
from ssim_ae.images.files import read
from ssim_ae.storage import write_whole

COMPARED = 10  # images compared on, and as many with a defect drawn into them


def export(
    detector: Path, output: Path | None = None, *, batch_size: int | None = None, opset: int | None = None
) -> tuple[Path, Parity]:
    """Write a detector as an ONNX file, config and thresholds within; return its path and the comparison.

    The detector file, or a run's folder, stays as it is. InputError, and no file, where the two do not agree.
    """
    from ssim_ae.export.onnx_model import OPSETS, network_model

    source = detector_path(detector)
    file = read_detector(source)
    target = output or source.with_suffix(".onnx")
    if not file.weights:
        raise InputError(f"{source}: exported already; name the detector it came from")
    if target.exists():
        raise InputError(f"{target}: exists already; name another file with --output")
    if opset not in (None, *OPSETS):
        raise InputError(f"opset: should be one of {', '.join(map(str, OPSETS))}, not {opset}")
    model = network_model(
        table_of(file.config),
        file.weights,
        header(file),
        crop_size=file.config.crop_size,
        batch_size=batch_size,
        opset=opset or OPSETS[-1],
    )
    write_whole(target, model)
    try:
        found = parity(Detector.load(source, device_target="CPU"), Detector.load(target), _images(file, source))
        if not found.holds:
            raise InputError(f"{target}: removed, for it does not agree with {source}: {found}")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target, found


def _images(file: DetectorFile, source: Path) -> list[np.ndarray]:
    """Return good images that the detector has not learned from, or drawn ones where these are gone."""
    try:
        paths = held_out_images(file, source)[:COMPARED]
    except InputError:
        note("its held-out images are gone: compared on drawn ones")
        size = file.config.im_resize
        drawn = [fabric.draw("twill", size=size, seed=seed)[0] for seed in range(COMPARED)]
        return [image[:, :, :1] if file.config.grayscale else image for image in drawn]
    return [read(path, grayscale=file.config.grayscale) for path in paths]
