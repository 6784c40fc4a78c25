"""The interface that all runtimes share, and the devices they run on."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

MAX_BATCH_SIZE = 1024  # patches, of a model with a fixed batch size
DEVICE_TARGETS = ("auto", "CPU", "GPU", "Ascend")
DRIVER_TOOLS = {"GPU": "nvidia-smi", "Ascend": "npu-smi"}  # programs that are installed with the drivers


class Model(NamedTuple):
    """A model file that contains its weights in the format of one runtime: OpenVINO IR or MINDIR."""

    path: Path
    runtime: str


class Runtime(Protocol):
    """A network, loaded into a framework and ready to run."""

    def run(self, patches: np.ndarray) -> np.ndarray:
        """Return the network's outputs, float32, for patches (B, C, H, W) float32 in [0, 1]."""
        ...

    def concurrent(self) -> AbstractContextManager[Callable[[], None]]:
        """Prepare for calls from several threads at once, each of which computes on one core.

        Yields a function that every thread calls before its first call of `run`. By default a call uses
        several cores, and concurrent calls would wait for each other.
        """
        ...


def has_driver(device: str) -> bool:
    """Return whether the driver of an accelerator is installed, judging by the tool that comes with it."""
    return shutil.which(DRIVER_TOOLS[device]) is not None


def run_in_batches(run: Callable[[np.ndarray], np.ndarray], patches: np.ndarray, batch_size: int | None) -> np.ndarray:
    """Run a model on patches (B, C, H, W) in batches of `batch_size`, the last one padded. None: in one batch."""
    if batch_size is None:
        return run(patches)
    padding = np.zeros((-len(patches) % batch_size, *patches.shape[1:]), np.float32)
    padded = np.concatenate([patches, padding])
    outputs = [run(padded[start : start + batch_size]) for start in range(0, len(padded), batch_size)]
    return np.concatenate(outputs)[: len(patches)]
