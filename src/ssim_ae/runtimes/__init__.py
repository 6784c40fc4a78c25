"""Runtimes: reconstruct(patches) -> patches, nothing else."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np


class Runtime(Protocol):
    """What a detector needs of a framework."""

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        ...

    def workers(self) -> AbstractContextManager[Callable[[], None]]:
        """Give what a worker thread calls first, so that its calls keep to it: workers would wait for each other."""
        ...
