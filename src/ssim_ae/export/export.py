"""Export a detector, open what was written as another program would, and compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssim_ae.console import note
from ssim_ae.detection.detector import Detector, detector_path
from ssim_ae.detection.detector_file import DetectorFile, read_detector, weights_in
from ssim_ae.detection.recalibrate import held_out_images
from ssim_ae.errors import InputError
from ssim_ae.export.parity import Inspect, Parity, parity
from ssim_ae.images import fabric
from ssim_ae.images.files import read

COMPARED = 10  # images compared on, and as many with a defect drawn into them
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
GRAPHS = ("inspection", "network")
PRECISIONS = {"onnx": ("fp32",), "openvino": ("fp16", "fp32", "int8")}  # of each format, its default first
OPSETS = (11, 12, 13)  # of the network alone, for small devices


@dataclass(frozen=True)
class Form:
    """What an export is to be. InputError where there is no such thing.

    `graph`: the whole inspection, or the network alone, which may have a fixed `batch_size` and, in ONNX, an older
    `opset`. `precision` is that of the weights.
    """

    format: str = "onnx"
    graph: str = "inspection"
    precision: str = ""
    batch_size: int | None = None
    opset: int | None = None

    def __post_init__(self) -> None:
        _one_of("format", self.format, SUFFIXES)
        _one_of("graph", self.graph, GRAPHS)
        object.__setattr__(self, "precision", self.precision or PRECISIONS[self.format][0])
        _one_of(f"precision of {self.format}", self.precision, PRECISIONS[self.format])
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError("batch_size: should be at least 1")
        if self.opset is not None:
            _one_of("opset", self.opset, OPSETS)
        if self.graph == "inspection" and (self.batch_size or self.opset):
            raise InputError("batch_size and opset are the network's: export it alone, with graph network")


class Export(NamedTuple):
    """What was written, and how it compares with the detector run by its trainer, or by what is here."""

    path: Path
    form: Form
    trainer: str
    parity: Parity


def export(detector: Path, output: Path | None = None, form: Form | None = None) -> Export:
    """Write a detector in another form, config and thresholds within, and compare the two.

    The detector file, or a run's folder, stays as it is. InputError, and no file, where the two do not agree.
    """
    form = form or Form()
    source = detector_path(detector)
    file = read_detector(source)
    weights_in(file)
    suffix = SUFFIXES[form.format]
    target = output or source.with_suffix(suffix)
    if target.suffix != suffix:
        raise InputError(f"{target}: the name of a file of {form.format} should end in {suffix}")
    written = [target, target.with_suffix(".bin")] if form.format == "openvino" else [target]
    for path in written:
        if path.exists():
            raise InputError(f"{path}: exists already; name another file with --output")
    try:
        held_out = held_out_images(file, source)
        images = [read(path, grayscale=file.config.grayscale) for path in held_out[:COMPARED]]
    except InputError:
        held_out, images = [], _drawn_images(file)
    try:
        inspect = _write(target, file, form, held_out, images)
        trainer = "torch" if find_spec("torch") else "onnxruntime"
        found = parity(Detector.of(file, runtime=trainer, device_target="CPU"), inspect, images)
        own = found if form.precision == "fp32" else parity(Detector.load(target, device_target="CPU"), inspect, images)
        if not own.holds or (form.precision == "fp16" and not found.agrees):
            raise InputError(f"{target}: removed, for it does not agree with {source}: {found}")
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return Export(target, form, trainer, found)


def _write(
    target: Path, file: DetectorFile, form: Form, held_out: Sequence[Path], images: Sequence[np.ndarray]
) -> Inspect:
    if form.format == "onnx":
        from ssim_ae.export import onnx_files

        if form.graph == "inspection":
            return onnx_files.write_inspection(target, file, images)
        return onnx_files.write_network(target, file, batch_size=form.batch_size, opset=form.opset)
    from ssim_ae.export import openvino_files

    if form.precision == "int8":
        if not held_out:
            raise InputError("precision int8: its ranges come from the held-out good images, and these are gone")
        model, file = openvino_files.quantised(file, held_out)
    else:
        model = openvino_files.network(file, form.precision, form.batch_size)
    if form.graph == "inspection":
        return openvino_files.write_inspection(target, file, model, images)
    return openvino_files.write_network(target, file, model)


def _drawn_images(file: DetectorFile) -> list[np.ndarray]:
    note("its held-out images are gone: compared on drawn ones")
    drawn = [fabric.draw("twill", size=file.config.im_resize, seed=seed)[0] for seed in range(COMPARED)]
    return [image[:, :, :1] if file.config.grayscale else image for image in drawn]


def _one_of(key: str, value: object, allowed: Sequence[object] | dict[str, str]) -> None:
    if value not in allowed:
        raise InputError(f"{key}: should be one of {', '.join(map(str, allowed))}, not {value}")
