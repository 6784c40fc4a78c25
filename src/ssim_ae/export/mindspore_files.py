"""The MindSpore formats MINDIR and AIR. A JSON file beside them has the config and the thresholds."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, network_of, write_json_beside
from ssim_ae.errors import InputError
from ssim_ae.export.job import ExportJob
from ssim_ae.export.parity import Inspect, inspect_with
from ssim_ae.frameworks import import_mindspore
from ssim_ae.network.architecture import LayeredNetwork
from ssim_ae.network.mindspore_network import network_cell
from ssim_ae.runtimes.mindspore_runtime import MindSporeRuntime, set_device
from ssim_ae.storage import write_atomic


def write_mindir(path: Path, job: ExportJob) -> Inspect:
    """Write a MINDIR file and return a function that inspects an image with it."""
    batch_size = job.options.batch_size
    set_device("CPU")
    _write_files(path, job.file, "MINDIR", batch_size)
    detector = Detector.load(path, device_target="CPU")
    # Loading rebuilds the network from the layer table; other programs run the graph in the file.
    detector.runtime = MindSporeRuntime.from_graph(path, batch_size)
    return inspect_with(detector)


def write_air(path: Path, job: ExportJob) -> None:
    """Write an AIR file, for Ascend 910. InputError without an Ascend: MindSpore writes AIR files only there."""
    try:
        set_device("Ascend")
    except InputError as error:
        raise InputError(
            f"{job.target}: MindSpore writes AIR files only on an Ascend; run the same command there"
        ) from error
    _write_files(path, job.file, "AIR", job.options.batch_size or 1)


def _write_files(path: Path, file: DetectorFile, file_format: str, batch_size: int | None) -> None:
    write_atomic(path, _network_file(file, file_format, batch_size))
    write_json_beside(path, file, batch_size)


def _network_file(file: DetectorFile, file_format: str, batch_size: int | None) -> bytes:
    """Return the content of a file of the network in a format of MindSpore."""
    mindspore = import_mindspore()
    network = network_of(file.config, file.alignment)
    assert isinstance(network, LayeredNetwork)  # of others the format is not supported
    if batch_size:
        patches = mindspore.Tensor(np.zeros((batch_size, *network.input_shape), np.float32))
    else:
        patches = mindspore.Tensor(shape=[None, *network.input_shape], dtype=mindspore.float32)
    with TemporaryDirectory() as folder:
        cell = network_cell(network.layers, file.weights)
        mindspore.export(cell, patches, file_name=f"{folder}/model", file_format=file_format)
        return next(Path(folder).iterdir()).read_bytes()
