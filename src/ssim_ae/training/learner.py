"""The interface between a run and how its method learns: by training a network, or by fitting statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ssim_ae.alignment.choose import Alignment
from ssim_ae.runtimes.runtime import Runtime
from ssim_ae.training.history import EpochRecord


class Addition(NamedTuple):
    """What to add to a finished training: epochs or minutes."""

    epochs: int = 0
    minutes: float = 0.0


class Learned(NamedTuple):
    """How far the learning of a run has come.

    Attributes:
        finished: whether it is complete; False if it was interrupted.
        seconds: its duration, over all interruptions.
        steps: training steps taken.
        history: a record per epoch.
    """

    finished: bool
    seconds: float
    steps: int = 0
    history: Sequence[EpochRecord] = ()


class Learner(Protocol):
    """Learns a network from good images. `rank` is 0 in the process that writes files."""

    rank: int
    alignment: Alignment | None  # how parts are aligned before the network, if they are

    def learn(self, folder: Path, images: str, *, resume: bool, add: Addition | None) -> Learned:
        """Learn, from the start or from the checkpoint in the folder of the run; `images` is their fingerprint."""
        ...

    def save(self, folder: Path, training_images: Sequence[str]) -> None:
        """Write what later additions start from; `training_images` are the hashes of the training images' contents."""
        ...

    def describe(self) -> str:
        """Return the device and how it is used, as text."""
        ...

    def runtime(self) -> Runtime:
        """Return a runtime with a copy of the current weights."""
        ...

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights by name."""
        ...

    def without(self, paths: Sequence[Path]) -> Runtime | None:
        """Return a runtime with weights learned without some training images; None if that takes a training."""
        ...

    def close(self) -> None:
        """Leave the process group of a distributed training."""
        ...
