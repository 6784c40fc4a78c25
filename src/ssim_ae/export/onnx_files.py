"""ONNX files: written, and opened again as another program would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, header, layer_table
from ssim_ae.export.inspection_model import (
    ANOMALY_MAP,
    IMAGE,
    RECONSTRUCTION,
    SCORE,
    VERDICT,
    inspection_model,
)
from ssim_ae.export.parity import Findings, Inspect, inspect_by
from ssim_ae.network.onnx_network import OPSET, model_bytes, network_model
from ssim_ae.runtimes.onnx_runtime import OnnxRuntime, open_session
from ssim_ae.storage import SEAL, UNSEALED, write_whole

OUTPUTS = (RECONSTRUCTION, ANOMALY_MAP, SCORE, VERDICT)


def write_inspection(path: Path, file: DetectorFile, images: Sequence[np.ndarray]) -> Inspect:
    """Write the whole inspection; return what asks the file."""
    model = model_bytes(inspection_model(file, pixels=images[0].dtype), {**header(file), SEAL: UNSEALED})
    write_whole(path, model)
    session = open_session(path.read_bytes(), "CPU")

    def inspect(image: np.ndarray) -> Findings:
        reconstruction, anomaly_map, score, nok = session.run(OUTPUTS, {IMAGE: image})
        return Findings(reconstruction, anomaly_map, float(score), bool(nok))

    return inspect


def write_network(
    path: Path, file: DetectorFile, *, batch_size: int | None = None, opset: int | None = None
) -> Inspect:
    """Write the network alone; return what asks the file, and does the rest as the detector does."""
    table, tile_size = layer_table(file.config), file.config.tile_size
    network = network_model(table, file.weights, tile_size=tile_size, batch_size=batch_size, opset=opset or OPSET)
    write_whole(path, model_bytes(network, {**header(file), SEAL: UNSEALED}))
    return inspect_by(
        Detector(
            file.config,
            file.thresholds,
            OnnxRuntime(path.read_bytes(), "CPU"),
            normal_statistics=file.normal_statistics,
        )
    )
