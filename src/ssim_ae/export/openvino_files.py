"""The OpenVINO format (IR), run by OpenVINO."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from ssim_ae.calibration.calibrate import calibrate
from ssim_ae.checked_files import EMPTY_CHECKSUM, METADATA_KEY, file_hash, with_checksum
from ssim_ae.detectability.measure import measure_detectability
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, header, network_of
from ssim_ae.errors import InputError
from ssim_ae.export.inspection_model import ANOMALY_MAP, IMAGE, RECONSTRUCTION, SCORE, VERDICT, inspection_model
from ssim_ae.export.job import ExportJob
from ssim_ae.export.parity import Inspect, InspectionOutputs, inspect_with
from ssim_ae.frameworks import import_openvino, openvino_core
from ssim_ae.images.files import read_image
from ssim_ae.images.view import View
from ssim_ae.maps.tiles import cut_tiles
from ssim_ae.network.network import PATCHES
from ssim_ae.network.onnx_network import network_model
from ssim_ae.runtimes.openvino_runtime import FLOAT32_INFERENCE, OpenVinoRuntime, tensors_by_name
from ssim_ae.storage import write_atomic

if TYPE_CHECKING:
    import openvino

UNKNOWN_HASH = "f" * 64  # placeholder for the hash of the .bin file until that file is written


def write(path: Path, job: ExportJob) -> Inspect:
    """Write an .xml and a .bin file and return a function that inspects an image with them."""
    options, file = job.options, job.file
    if options.precision == "int8":
        held_out, training = job.images.paths
        if not held_out:
            raise InputError(
                "precision int8: needs held-out images, and none was found; restore the data set or use fp16"
            )
        network, file = quantize(file, held_out, training)
    else:
        network = build_network(file, options.precision, options.batch_size)
    if options.graph == "inspection":
        return write_inspection(path, file, network, pixel_dtype=job.images.for_comparison[0].dtype)
    return write_network(path, file, network)


def build_network(file: DetectorFile, precision: str, batch_size: int | None = None) -> openvino.Model:
    """Return the network with weights of `precision` fp32 or fp16."""
    model = network_model(network_of(file.config, file.alignment), file.weights, batch_size=batch_size)
    network = openvino_core().read_model(model.SerializeToString())
    if precision == "fp32":
        return network
    with TemporaryDirectory() as folder:
        import_openvino().save_model(network, Path(folder) / "fp16.xml", compress_to_fp16=True)
        return openvino_core().read_model(Path(folder) / "fp16.xml")


def quantize(
    file: DetectorFile, held_out: Sequence[Path], training: Sequence[Path]
) -> tuple[openvino.Model, DetectorFile]:
    """Return the network with int8 weights and activations, and the detector file with thresholds for it.

    The ranges of the activations are measured on the held-out images. The thresholds are estimated again.
    """
    import_openvino()  # without its telemetry, which NNCF would start
    import nncf

    nncf.set_log_level(logging.ERROR)
    config, view = file.config, View.from_config(file.config)

    def tiles(path: Path) -> np.ndarray:
        return cut_tiles(view.crop(read_image(path, grayscale=config.grayscale)), config.tile_size, config.stride)

    with contextlib.redirect_stdout(sys.stderr):  # NNCF draws its progress bar on stdout
        network = nncf.quantize(
            build_network(file, "fp32"),
            nncf.Dataset(held_out, tiles),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(held_out),
        )
    runtime = OpenVinoRuntime(network, network_of(config).output)
    calibration = calibrate(Detector.with_runtime(file, runtime), held_out, config, training)
    calibrated = calibration.applied_to(file)
    chart = measure_detectability(Detector.with_runtime(calibrated, runtime), calibration.accepted(held_out))
    return network, calibrated._replace(detectability=chart)


def write_inspection(path: Path, file: DetectorFile, network: openvino.Model, *, pixel_dtype: DTypeLike) -> Inspect:
    """Write the graph `inspection` for images of `pixel_dtype` and return a function that runs it."""
    model = openvino_core().read_model(inspection_model(file, pixel_dtype=pixel_dtype).SerializeToString())
    _replace_network(model, network, network_of(file.config).output)
    _write_files(path, model, file)
    compiled = openvino_core().compile_model(path, "CPU", FLOAT32_INFERENCE)
    has_reconstruction = any(RECONSTRUCTION in output.names for output in compiled.outputs)

    def inspect(image: np.ndarray) -> InspectionOutputs:
        outputs = compiled({IMAGE: image})
        reconstruction = outputs[RECONSTRUCTION] if has_reconstruction else None
        return InspectionOutputs(reconstruction, outputs[ANOMALY_MAP], float(outputs[SCORE]), bool(outputs[VERDICT]))

    return inspect


def write_network(path: Path, file: DetectorFile, network: openvino.Model) -> Inspect:
    """Write the graph `network` and return a function that inspects an image with it."""
    _write_files(path, network, file)
    return inspect_with(Detector.with_runtime(file, OpenVinoRuntime(path, network_of(file.config).output)))


def _replace_network(inspection: openvino.Model, network: openvino.Model, output: str) -> None:
    """Replace the network in an inspection model by `network`, in place; `output` is the name of its output."""
    named = tensors_by_name(inspection)
    result = network.output(0).node.input_value(0)
    for consumer in named[output].get_target_inputs():
        consumer.replace_source_output(result)
    for consumer in network.input(0).get_target_inputs():
        consumer.replace_source_output(named[PATCHES])
    result.set_names({output})


def _write_files(path: Path, model: openvino.Model, file: DetectorFile) -> None:
    """Write the .xml file with the header of the detector file in it, and the .bin file with the weights."""
    metadata = {**header(file), "weights_sha256": UNKNOWN_HASH, **EMPTY_CHECKSUM}
    model.set_rt_info(json.dumps(metadata, allow_nan=False), METADATA_KEY)
    with TemporaryDirectory() as folder:
        written = Path(folder) / "model.xml"
        import_openvino().save_model(model, written, compress_to_fp16=False)
        description, weights = written.read_bytes(), written.with_suffix(".bin").read_bytes()
    description = description.replace(UNKNOWN_HASH.encode(), file_hash(weights).encode(), 1)
    write_atomic(path.with_suffix(".bin"), weights)
    write_atomic(path, with_checksum(description))
