"""MindSpore files, MINDIR and AIR: written, and opened again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, layer_table, write_json_beside
from ssim_ae.errors import InputError
from ssim_ae.export.parity import Inspect, inspect_by
from ssim_ae.frameworks import import_mindspore
from ssim_ae.network.mindspore_network import network_cell
from ssim_ae.runtimes.mindspore_runtime import MindSporeRuntime, set_device
from ssim_ae.storage import write_whole


def write_mindir(path: Path, file: DetectorFile, *, batch_size: int | None = None) -> Inspect:
    """Write the network, and our JSON beside it; return what asks the file, and does the rest as the detector does."""
    set_device("CPU")
    write_whole(path, _exported(file, "MINDIR", batch_size))
    write_json_beside(path, file, batch_size)
    detector = Detector.load(path, device_target="CPU")
    detector.runtime = MindSporeRuntime.from_graph(path, batch_size)  # what others will run; loading builds it anew
    return inspect_by(detector)


def write_air(path: Path, file: DetectorFile, *, batch_size: int) -> None:
    """Write the network for Ascend, and our JSON beside it. InputError where no Ascend is here: none elsewhere can."""
    try:
        set_device("Ascend")
    except InputError as error:
        raise InputError(f"{path}: only MindSpore on an Ascend writes AIR: give the same command there") from error
    write_whole(path, _exported(file, "AIR", batch_size))
    write_json_beside(path, file, batch_size)


def _exported(file: DetectorFile, file_format: str, batch_size: int | None) -> bytes:
    mindspore = import_mindspore()
    config = file.config
    patch = (config.channels, config.tile_size, config.tile_size)
    if batch_size:
        patches = mindspore.Tensor(np.zeros((batch_size, *patch), np.float32))
    else:
        patches = mindspore.Tensor(shape=[None, *patch], dtype=mindspore.float32)
    with TemporaryDirectory() as folder:
        cell = network_cell(layer_table(config), file.weights)
        mindspore.export(cell, patches, file_name=f"{folder}/model", file_format=file_format)
        return next(Path(folder).iterdir()).read_bytes()
