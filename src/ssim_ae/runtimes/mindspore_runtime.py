"""Reconstruction with MindSpore, in float32: on the CPU, and where it has one on a GPU or Ascend."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.network.architecture import Layer
from ssim_ae.network.mindspore_network import mindspore, network_cell, weights_in
from ssim_ae.runtimes import has_driver, in_batches


class MindSporeRuntime:
    """Runs a network, built of weights or as it stands in a MINDIR file."""

    def __init__(self, network: mindspore.nn.Cell, batch_size: int | None = None) -> None:
        self.network = network
        self.batch_size = batch_size
        self.one_at_a_time = threading.Lock()  # a graph is not for several threads

    @classmethod
    def of_weights(cls, table: tuple[Layer, ...], weights: Mapping[str, np.ndarray], device_target: str) -> Self:
        """Build the network of `table`."""
        set_device(device_target)
        return cls(network_cell(table, weights))

    @classmethod
    def of_file(cls, path: Path, table: tuple[Layer, ...], device_target: str) -> Self:
        """Build the network of `table` with the weights in a MINDIR file, whoever made it."""
        return cls.of_weights(table, weights_in(path, table), device_target)

    @classmethod
    def of_graph(cls, path: Path, batch_size: int | None) -> Self:
        """Run on the CPU what stands in a MINDIR file of our own, for batches of `batch_size` alone or for any."""
        set_device("CPU")
        mindspore.set_context(mode=mindspore.GRAPH_MODE)
        return cls(mindspore.nn.GraphCell(mindspore.load(str(path))), batch_size)

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        with self.one_at_a_time:
            return in_batches(lambda batch: self.network(mindspore.Tensor(batch)).asnumpy(), patches, self.batch_size)

    @contextmanager
    def workers(self) -> Iterator[Callable[[], None]]:
        """Give what a worker thread calls first: nothing, workers take turns."""
        yield lambda: None


def set_device(device_target: str) -> None:
    """Choose the device: auto takes an Ascend where there is one. InputError where it is not here."""
    target = ("Ascend" if has_driver("Ascend") else "CPU") if device_target == "auto" else device_target
    number = {"device_id": int(os.environ["DEVICE_ID"])} if "DEVICE_ID" in os.environ and target != "CPU" else {}
    try:
        mindspore.set_device(target, **number)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"device_target {target}: this MindSpore has no such device") from error
