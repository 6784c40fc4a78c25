"""Networks of layers in MindSpore, in float32, on a CPU, a GPU or an Ascend device."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.frameworks import import_mindspore
from ssim_ae.network.architecture import Layer
from ssim_ae.network.mindspore_network import network_cell, read_mindir_weights
from ssim_ae.runtimes.runtime import has_driver, run_in_batches

if TYPE_CHECKING:
    import mindspore


class MindSporeRuntime:
    """Runs a network that is built from weights or loaded from a MINDIR file."""

    def __init__(self, network: mindspore.nn.Cell, batch_size: int | None = None) -> None:
        self.network = network
        self.batch_size = batch_size
        self.lock = threading.Lock()  # a graph is not thread-safe

    @classmethod
    def from_weights(cls, table: tuple[Layer, ...], weights: Mapping[str, np.ndarray], device_target: str) -> Self:
        """Build the network of `table` with `weights`."""
        set_device(device_target)
        return cls(network_cell(table, weights))

    @classmethod
    def from_file(cls, path: Path, table: tuple[Layer, ...], device_target: str) -> Self:
        """Build the network of `table` with the weights in a MINDIR file, which need not be trusted."""
        return cls.from_weights(table, read_mindir_weights(path, table), device_target)

    @classmethod
    def from_graph(cls, path: Path, batch_size: int | None) -> Self:
        """Load the graph of a trusted MINDIR file on the CPU; `batch_size` is its fixed batch size, None if free."""
        set_device("CPU")
        mindspore = import_mindspore()
        mindspore.set_context(mode=mindspore.GRAPH_MODE)
        return cls(mindspore.nn.GraphCell(mindspore.load(str(path))), batch_size)

    def run(self, patches: np.ndarray) -> np.ndarray:
        """Return the network's outputs, float32, for patches (B, C, H, W) float32 in [0, 1]."""
        tensor = import_mindspore().Tensor
        with self.lock:
            return run_in_batches(lambda batch: self.network(tensor(batch)).asnumpy(), patches, self.batch_size)

    @contextmanager
    def concurrent(self) -> Iterator[Callable[[], None]]:
        """Prepare for calls from several threads: nothing to do, a lock runs one call at a time."""
        yield lambda: None


def set_device(device_target: str) -> None:
    """Set the device of this process; `auto` selects an Ascend device if its driver is installed.

    The environment variable DEVICE_ID selects one of several. Raises InputError if the device does not exist.
    """
    target = ("Ascend" if has_driver("Ascend") else "CPU") if device_target == "auto" else device_target
    index = {"device_id": int(os.environ["DEVICE_ID"])} if "DEVICE_ID" in os.environ and target != "CPU" else {}
    try:
        import_mindspore().set_device(target, **index)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"device_target {target}: MindSpore has no such device here; use --device_target=CPU"
        ) from error
