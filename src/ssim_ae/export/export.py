"""Export a detector, open what was written as another program would, and compare."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssim_ae.calibration.recalibrate import KnownImages, known_images
from ssim_ae.console import note
from ssim_ae.detector.detector import Detector, detector_path
from ssim_ae.detector.detector_file import DetectorFile, read_detector, weights_in
from ssim_ae.errors import InputError
from ssim_ae.export.form import SMALLEST_OPSET, Form
from ssim_ae.export.parity import Inspect, Parity, parity
from ssim_ae.images.files import read_image
from ssim_ae.storage import scratch_folder
from ssim_ae.synthetic import fabric

INT8_SCORE_TOLERANCE = 0.2  # 1e-7 in an image moves the score by up to .05
COMPARED = 10  # images compared on, and as many with a defect drawn into them


class Export(NamedTuple):
    """What was written, and how it compares with the detector run by its trainer, or by what is here.

    Nothing here opens AIR: no parity.
    """

    path: Path
    form: Form
    trainer: str = ""
    parity: Parity | None = None


def export(detector: Path, output: Path | None = None, form: Form | None = None) -> Export:
    """Write a detector in another form, config and thresholds within, and compare the two.

    The detector file, or a run's folder, stays as it is. InputError, and no file, where the two do not agree.
    """
    form = form or Form()
    source = detector_path(detector)
    file = read_detector(source)
    weights_in(file)
    target = form.target(source, output)
    if form.format == "om":
        return _export_om(source, file, target, form)
    if form.format == "air":
        from ssim_ae.export.mindspore_files import write_air

        write_air(target, file, batch_size=form.batch_size or 1)
        return Export(target, form)
    known = _known(file, source)
    images = _compared_on(known.held_out, file)
    trainer = "torch" if find_spec("torch") else "onnxruntime"
    with scratch_folder(target.parent) as scratch:
        written = scratch / target.name
        inspect = _write(written, file, form, known, images)
        found = own = parity(Detector.from_file(file, runtime=trainer, device_target="CPU"), inspect, images)
        if form.precision != "fp32":
            own = parity(Detector.load(written, device_target="CPU"), inspect, images)
        if not _agrees(form.precision, found, own):
            raise InputError(f"{target}: not written, for it does not agree with {source}: {found}")
        for path in reversed(form.files(written)):
            path.replace(target.with_name(path.name))
    return Export(target, form, trainer, found)


def _agrees(precision: str, trainers: Parity, own: Parity) -> bool:
    """Whether a file says what its detector says, or if that cannot be in 8 bits, what the same network says here."""
    if precision == "int8":
        return max(own.good.score, own.spoiled.score) <= INT8_SCORE_TOLERANCE
    return own.holds and trainers.agrees


def _write(target: Path, file: DetectorFile, form: Form, known: KnownImages, images: Sequence[np.ndarray]) -> Inspect:
    """Write the file; return what asks it."""
    if form.format == "onnx":
        from ssim_ae.export import onnx_files

        if form.graph == "inspection":
            return onnx_files.write_inspection(target, file, images)
        return onnx_files.write_network(target, file, batch_size=form.batch_size, opset=form.opset)
    if form.format == "mindir":
        from ssim_ae.export import mindspore_files

        return mindspore_files.write_mindir(target, file, batch_size=form.batch_size)
    from ssim_ae.export import openvino_files

    if form.precision == "int8":
        if not known.held_out:
            raise InputError("precision int8: its ranges come from the held-out good images, and these are gone")
        model, file = openvino_files.quantised(file, *known)
    else:
        model = openvino_files.network(file, form.precision, form.batch_size)
    if form.graph == "inspection":
        return openvino_files.write_inspection(target, file, model, images)
    return openvino_files.write_network(target, file, model)


def _export_om(source: Path, file: DetectorFile, target: Path, form: Form) -> Export:
    """Write and compare the ONNX file that an OM file is made from, then have the maker's tool make it."""
    from ssim_ae.export.ascend import om_command, write_om

    batch_size = form.batch_size or 1
    network = Form("onnx", "network", batch_size=batch_size, opset=form.opset or SMALLEST_OPSET)
    exported = export(source, network.target(source, target.with_suffix(".onnx")), network)
    command = om_command(exported.path, target, file, batch_size=batch_size, soc_version=form.soc_version)
    write_om(target, file, command, batch_size=batch_size)
    return exported._replace(path=target, form=form)


def _known(file: DetectorFile, source: Path) -> KnownImages:
    """Return the good images that a detector knows; none where the held-out ones are gone."""
    try:
        return known_images(file, source)
    except InputError:
        return KnownImages([], [])


def _compared_on(held_out: Sequence[Path], file: DetectorFile) -> list[np.ndarray]:
    """Return some of the held-out good images, read, or drawn ones where there are none."""
    if held_out:
        return [read_image(path, grayscale=file.config.grayscale) for path in held_out[:COMPARED]]
    note("its held-out images are gone: compared on drawn ones")
    drawn = [fabric.draw("twill", size=file.config.im_resize, seed=seed)[0] for seed in range(COMPARED)]
    return [image[:, :, :1] if file.config.grayscale else image for image in drawn]
