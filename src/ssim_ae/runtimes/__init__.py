"""Runtimes: reconstruct(patches) -> patches, nothing else."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

DEVICE_TARGETS = ("auto", "CPU", "GPU", "Ascend")


class Runtime(Protocol):
    """What a detector needs of a framework."""

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        ...

    def workers(self) -> AbstractContextManager[Callable[[], None]]:
        """Give what a worker thread calls first, so that its calls keep to it: workers would wait for each other."""
        ...


def in_batches(run: Callable[[np.ndarray], np.ndarray], patches: np.ndarray, size: int | None) -> np.ndarray:
    """Run a model on patches (B, C, S, S) in batches of `size`, the last one padded; None: all of them at once."""
    if size is None:
        return run(patches)
    padded = np.concatenate([patches, np.zeros((-len(patches) % size, *patches.shape[1:]), np.float32)])
    parts = [run(padded[start : start + size]) for start in range(0, len(padded), size)]
    return np.concatenate(parts)[: len(patches)]
