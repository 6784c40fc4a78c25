"""Runtimes: reconstruct(patches) -> patches, nothing else."""

from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np


class Runtime(Protocol):
    """What a detector needs of a framework."""

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        ...

    def one_thread(self) -> AbstractContextManager[None]:
        """While held, every call keeps to the thread it comes on, so that several calls do not wait for each other."""
        ...
