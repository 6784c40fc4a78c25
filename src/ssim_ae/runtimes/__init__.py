"""Runtimes: reconstruct(patches) -> patches, nothing else."""

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # no runtime tells its makers of an inspection,
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nor leaves files to say so later

LARGEST_BATCH = 1024  # of a model that takes no other
DEVICE_TARGETS = ("auto", "CPU", "GPU", "Ascend")
DRIVER_TOOLS = {"GPU": "nvidia-smi", "Ascend": "npu-smi"}


class Model(NamedTuple):
    """A model file with its weights in a form of its own, and the one runtime for it."""

    path: Path
    runtime: str


class Runtime(Protocol):
    """What a detector needs of a framework."""

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        ...

    def workers(self) -> AbstractContextManager[Callable[[], None]]:
        """Give what a worker thread calls first, so that its calls keep to it: workers would wait for each other."""
        ...


def has_driver(device: str) -> bool:
    """Whether an accelerator's driver is installed, told by the tool that comes with it."""
    return shutil.which(DRIVER_TOOLS[device]) is not None


def in_batches(run: Callable[[np.ndarray], np.ndarray], patches: np.ndarray, size: int | None) -> np.ndarray:
    """Run a model on patches (B, C, S, S) in batches of `size`, the last one padded; None: all of them at once."""
    if size is None:
        return run(patches)
    padded = np.concatenate([patches, np.zeros((-len(patches) % size, *patches.shape[1:]), np.float32)])
    parts = [run(padded[start : start + size]) for start in range(0, len(padded), size)]
    return np.concatenate(parts)[: len(patches)]
