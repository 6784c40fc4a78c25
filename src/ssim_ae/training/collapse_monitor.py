"""The held-out loss, watched: the best weights are kept, a collapse is noticed and left behind."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.augmentation.numpy_cut import cut_patches
from ssim_ae.config import Config
from ssim_ae.console import note
from ssim_ae.errors import InputError
from ssim_ae.training.checkpoints import Position
from ssim_ae.training.patch_sampling import monitor_patches

if TYPE_CHECKING:
    from ssim_ae.training.loop import Engine

Arrays = dict[str, np.ndarray]

MONITORED = 128  # patches of the held-out images
LOOKED_AT = 32  # of them, whose reconstructions are compared
BEST = "best/"  # before the names of the best weights in a checkpoint
SLOWER = 0.25  # of the learning rate, after a collapse
MOST_COLLAPSES = 3  # that are recovered from
EXPLODED = 2.0  # times the lowest loss is a collapse
SETTLED = 500  # steps before reconstructions should differ ...
CONSTANT = 0.01  # ... by more than this share of the variance of what they reconstruct


class CollapseMonitor:
    """Looks at a training's held-out loss after every epoch.

    `loss` is the lowest so far and `weights` are those that had it; `slower` is what collapses leave of the learning
    rate. Without held-out images there is nothing to see.
    """

    def __init__(self, engine: Engine, config: Config, held_out: np.ndarray) -> None:
        self.engine = engine
        self.picks = monitor_patches(config, len(held_out), MONITORED) if len(held_out) else None
        self.looked_at = (
            cut_patches(held_out, self.picks.take(slice(0, LOOKED_AT)), config.crop_size) if self.picks else None
        )
        self.start = engine.state()
        self.loss: float | None = None
        self.weights: Arrays = {}
        self.collapses = 0

    @property
    def slower(self) -> float:
        return SLOWER**self.collapses

    def look(self, step: int) -> float | None:
        """Return the loss of the held-out patches, if any; keep the weights if it is the lowest, leave a collapse."""
        if self.picks is None:
            return None
        loss = self.engine.held_out_loss(self.picks)
        if not isfinite(loss):
            self.leave(f"the held-out loss became {loss}")
            return None
        if self.loss is not None and loss > EXPLODED * self.loss:
            self.leave(f"the held-out loss rose from {self.loss:.3f} to {loss:.3f}")
        elif step >= SETTLED and self._constant():
            self.leave("all reconstructions are alike")
        elif self.loss is None or loss < self.loss:
            self.loss, self.weights = loss, self.engine.weights()
        return loss

    def leave(self, reason: str) -> None:
        """Go back to the best weights so far, and on more slowly. InputError where that has not helped before."""
        if self.collapses == MOST_COLLAPSES:
            raise InputError(f"the training collapsed again ({reason}): lower lr")
        self.collapses += 1
        self.engine.load_state(self.start | self.weights, "the best weights so far")
        note(f"the training collapsed ({reason}): on from where it was best, at {self.slower:g} of the learning rate")

    def check_end(self) -> None:
        """InputError where a training collapsed and came to nothing."""
        if self.collapses and not self.weights:
            raise InputError("the training collapsed, and came to nothing: lower lr")

    def kept(self) -> Arrays:
        """Return what a checkpoint must hold for `resume`, beside the position."""
        return {BEST + name: weight for name, weight in self.weights.items()}

    def resume(self, arrays: Arrays, position: Position) -> None:
        """Go on from a checkpoint."""
        self.weights = {name.removeprefix(BEST): array for name, array in arrays.items() if name.startswith(BEST)}
        self.loss, self.collapses = position.best_loss, position.collapses

    def _constant(self) -> bool:
        """Whether reconstructions tell nothing of their patches, though these differ."""
        assert self.looked_at is not None
        reconstructions = self.engine.runtime().reconstruct(self.looked_at)
        return bool(reconstructions.var(axis=0).mean() < CONSTANT * self.looked_at.var(axis=0).mean())
