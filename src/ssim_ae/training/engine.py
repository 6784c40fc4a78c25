"""The interface between the training loop and a framework."""

from typing import Any, Protocol

import numpy as np

from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.runtimes.runtime import Runtime


class Engine(Protocol):
    """Runs training steps in a framework. `rank` is 0 in the process that writes files."""

    rank: int

    def describe(self) -> str:
        """Return device, precision and number of workers as text."""
        ...

    def step(self, batch: PatchBatch, lr: float) -> Any:
        """Take one optimizer step; return the mean loss of the batch, a float or a scalar on the device."""
        ...

    def held_out_loss(self, patches: PatchBatch) -> float:
        """Return the mean loss over patches of the held-out images."""
        ...

    def any_worker(self, flag: bool) -> bool:
        """Return whether `flag` is set in any worker, so that all workers stop at the same step."""
        ...

    def patches(self, batch: PatchBatch) -> np.ndarray:
        """Return the network's input for a batch, (B, C, h, w) float32 in [0, 1]."""
        ...

    def runtime(self) -> Runtime:
        """Return a runtime with a copy of the current weights."""
        ...

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights by name."""
        ...

    def load_weights(self, weights: dict[str, np.ndarray], source: str) -> None:
        """Set the weights. InputError names `source` if names or shapes differ."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights and the optimizer state: everything that the next step depends on."""
        ...

    def load_state(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Set weights and optimizer state to those that `state` returned. InputError as in `load_weights`."""
        ...

    def close(self) -> None:
        """Leave the process group of a distributed training."""
        ...
