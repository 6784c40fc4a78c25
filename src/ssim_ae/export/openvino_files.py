"""OpenVINO files (IR): written, and opened again as another program would."""

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

from ssim_ae.calibration.calibrate import calibrate
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, header, layer_table
from ssim_ae.export.inspection_model import ANOMALY_MAP, IMAGE, RECONSTRUCTION, SCORE, VERDICT, inspection_model
from ssim_ae.export.parity import Findings, Inspect, inspect_by
from ssim_ae.frameworks import import_openvino
from ssim_ae.images.files import read_image
from ssim_ae.images.view import View
from ssim_ae.maps.tiles import cut_tiles
from ssim_ae.network.onnx_network import PATCHES, RECONSTRUCTIONS, network_model
from ssim_ae.runtimes.openvino_runtime import FLOAT32_INFERENCE, OpenVinoRuntime, tensors_by_name
from ssim_ae.storage import METADATA_KEY, SEAL, UNSEALED, file_hash, sealed, write_whole

if TYPE_CHECKING:
    import openvino

BIN_HASH = "f" * 64  # stands for the hash of the weights until they are written


def network(file: DetectorFile, precision: str, batch_size: int | None = None) -> openvino.Model:
    """Return the network with weights of `precision` fp32 or fp16."""
    openvino = import_openvino()
    model = network_model(
        layer_table(file.config), file.weights, tile_size=file.config.tile_size, batch_size=batch_size
    )
    exact = openvino.Core().read_model(model.SerializeToString())
    if precision == "fp32":
        return exact
    with TemporaryDirectory() as folder:
        openvino.save_model(exact, Path(folder) / "half.xml", compress_to_fp16=True)
        return openvino.Core().read_model(Path(folder) / "half.xml")


def quantised(
    file: DetectorFile, held_out: Sequence[Path], learned: Sequence[Path]
) -> tuple[openvino.Model, DetectorFile]:
    """Return the network in 8 bits, and the detector file with the thresholds that belong to it.

    The ranges of its values come from the held-out good images, and the thresholds are estimated anew.
    """
    import_openvino()
    import nncf

    nncf.set_log_level(logging.ERROR)
    config, view = file.config, View.from_config(file.config)

    def tiles(path: Path) -> np.ndarray:
        return cut_tiles(view.crop(read_image(path, grayscale=config.grayscale)), config.tile_size, config.stride)

    with contextlib.redirect_stdout(sys.stderr):
        model = nncf.quantize(
            network(file, "fp32"),
            nncf.Dataset(held_out, tiles),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(held_out),
        )
    detector = Detector(config, file.thresholds, OpenVinoRuntime(model))
    calibration = calibrate(detector, held_out, config, learned)
    provenance = file.provenance.model_copy(update={"thresholds": calibration.origin})
    return model, file._replace(
        thresholds=calibration.thresholds, normal_statistics=calibration.normal_statistics, provenance=provenance
    )


def write_inspection(path: Path, file: DetectorFile, model: openvino.Model, images: Sequence[np.ndarray]) -> Inspect:
    """Write the whole inspection with `model` as its network; return what asks the file."""
    openvino = import_openvino()
    whole = openvino.Core().read_model(inspection_model(file, pixels=images[0].dtype).SerializeToString())
    _graft(whole, model)
    _write(path, whole, file)
    compiled = openvino.Core().compile_model(path, "CPU", FLOAT32_INFERENCE)

    def inspect(image: np.ndarray) -> Findings:
        found = compiled({IMAGE: image})
        return Findings(found[RECONSTRUCTION], found[ANOMALY_MAP], float(found[SCORE]), bool(found[VERDICT]))

    return inspect


def write_network(path: Path, file: DetectorFile, model: openvino.Model) -> Inspect:
    """Write the network alone; return what asks the file, and does the rest as the detector does."""
    _write(path, model, file)
    return inspect_by(
        Detector(file.config, file.thresholds, OpenVinoRuntime(path), normal_statistics=file.normal_statistics)
    )


def _graft(whole: openvino.Model, network: openvino.Model) -> None:
    """Put a network in the place of the one in an inspection."""
    named = tensors_by_name(whole)
    result = network.output(0).node.input_value(0)
    for consumer in named[RECONSTRUCTIONS].get_target_inputs():
        consumer.replace_source_output(result)
    for consumer in network.input(0).get_target_inputs():
        consumer.replace_source_output(named[PATCHES])
    result.set_names({RECONSTRUCTIONS})


def _write(path: Path, model: openvino.Model, file: DetectorFile) -> None:
    metadata = {**header(file), "weights_sha256": BIN_HASH, SEAL: UNSEALED}
    model.set_rt_info(json.dumps(metadata, allow_nan=False), METADATA_KEY)
    with TemporaryDirectory() as folder:
        written = Path(folder) / "model.xml"
        import_openvino().save_model(model, written, compress_to_fp16=False)
        description, weights = written.read_bytes(), written.with_suffix(".bin").read_bytes()
    description = description.replace(BIN_HASH.encode(), file_hash(weights).encode(), 1)
    write_whole(path.with_suffix(".bin"), weights)
    write_whole(path, sealed(description))
