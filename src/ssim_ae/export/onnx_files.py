"""The ONNX format, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ssim_ae.checked_files import EMPTY_CHECKSUM
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, header, network_of
from ssim_ae.export.inspection_model import ANOMALY_MAP, IMAGE, RECONSTRUCTION, SCORE, VERDICT, inspection_model
from ssim_ae.export.job import ExportJob
from ssim_ae.export.parity import Inspect, InspectionOutputs, inspect_with
from ssim_ae.network.onnx_network import NETWORK_OPSET, model_bytes, network_model
from ssim_ae.runtimes.onnx_runtime import OnnxRuntime, open_session
from ssim_ae.storage import write_atomic


def write(path: Path, job: ExportJob) -> Inspect:
    """Write an ONNX file and return a function that inspects an image with it."""
    if job.options.graph == "inspection":
        return write_inspection(path, job.file, pixel_dtype=job.images.for_comparison[0].dtype)
    return write_network(path, job.file, batch_size=job.options.batch_size, opset=job.options.opset)


def write_inspection(path: Path, file: DetectorFile, *, pixel_dtype: DTypeLike) -> Inspect:
    """Write the graph `inspection` for images of `pixel_dtype` and return a function that runs it."""
    model = model_bytes(inspection_model(file, pixel_dtype=pixel_dtype), {**header(file), **EMPTY_CHECKSUM})
    write_atomic(path, model)
    session = open_session(path.read_bytes(), "CPU")
    names = [output.name for output in session.get_outputs()]

    def inspect(image: np.ndarray) -> InspectionOutputs:
        outputs = dict(zip(names, session.run(names, {IMAGE: image}), strict=True))
        return InspectionOutputs(
            outputs.get(RECONSTRUCTION), outputs[ANOMALY_MAP], float(outputs[SCORE]), bool(outputs[VERDICT])
        )

    return inspect


def write_network(
    path: Path, file: DetectorFile, *, batch_size: int | None = None, opset: int | None = None
) -> Inspect:
    """Write the graph `network` and return a function that inspects an image with it."""
    model = network_model(
        network_of(file.config, file.alignment), file.weights, batch_size=batch_size, opset=opset or NETWORK_OPSET
    )
    write_atomic(path, model_bytes(model, {**header(file), **EMPTY_CHECKSUM}))
    return open_network(path, file)


def open_network(path: Path, file: DetectorFile) -> Inspect:
    """Return a function that inspects an image with the network in an ONNX file, and with all else in Python."""
    return inspect_with(Detector.with_runtime(file, OnnxRuntime(path.read_bytes(), "CPU")))
