"""The held-out loss, watched: the best weights are kept, a collapse is noticed and left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import note
from ssim_ae.network.ssim import ssim_residual
from ssim_ae.training.checkpoints import Position
from ssim_ae.training.numpy_cut import cut
from ssim_ae.training.patches import Picks, monitor_picks

if TYPE_CHECKING:
    from ssim_ae.training.loop import Engine

Arrays = dict[str, np.ndarray]

MONITORED = 128  # patches of the held-out images
BEST = "best/"  # before the names of the best weights in a checkpoint
SETTLED = 500  # steps before a training is judged
SLOWER = 0.25  # of the learning rate, after a collapse
MOST_COLLAPSES = 3  # that are recovered from
NO_BETTER = 0.98  # of the mean image's loss, and more, is a collapse ...
EASY = 0.05  # ... unless images are so alike that their mean is a good reconstruction


class Watch:
    """Looks at a training's held-out loss after every epoch.

    `loss` is the lowest so far and `weights` are those that had it; `slower` is what a collapse leaves of the learning
    rate. Without held-out images there is nothing to see.
    """

    def __init__(self, engine: Engine, config: Config, held_out: np.ndarray) -> None:
        self.engine = engine
        self.picks = monitor_picks(config, len(held_out), MONITORED) if len(held_out) else None
        self.mean_image = mean_image_loss(held_out, self.picks, config.crop_size) if self.picks else 0.0
        self.start = engine.state()
        self.loss: float | None = None
        self.weights: Arrays = {}
        self.collapses = 0

    @property
    def slower(self) -> float:
        return SLOWER**self.collapses

    def look(self, step: int) -> float | None:
        """Return the loss of the held-out patches; go back to the best weights, and on more slowly, if it collapsed."""
        if self.picks is None:
            return None
        loss = self.engine.held_out_loss(self.picks)
        if step >= SETTLED and self._collapsed(loss) and self.collapses < MOST_COLLAPSES:
            self.collapses += 1
            self.engine.load_state(self.start | self.weights, "the best weights so far")
            note(
                f"the training collapsed: its held-out loss {loss:.3f} is no better than the mean image's, "
                f"{self.mean_image:.3f}; it goes on from where it was best, at {self.slower:g} of the learning rate"
            )
        elif self.loss is None or loss < self.loss:
            self.loss, self.weights = loss, self.engine.weights()
        return loss

    def kept(self) -> Arrays:
        """Return what a checkpoint must hold for `resume`, beside the position."""
        return {BEST + name: weight for name, weight in self.weights.items()}

    def resume(self, arrays: Arrays, position: Position) -> None:
        """Go on from a checkpoint."""
        self.weights = {name.removeprefix(BEST): array for name, array in arrays.items() if name.startswith(BEST)}
        self.loss, self.collapses = position.best_loss, position.collapses

    def _collapsed(self, loss: float) -> bool:
        return self.mean_image > EASY and not loss < NO_BETTER * self.mean_image


def mean_image_loss(held_out: np.ndarray, picks: Picks, crop_size: int) -> float:
    """Return 1 - SSIM of patches of the held-out images, were each reconstructed as the mean of all."""
    patches = cut(held_out, picks, crop_size)
    mean = patches.mean(axis=0)
    return float(np.mean([ssim_residual(patch, mean).mean() for patch in patches]))
