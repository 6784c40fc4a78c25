"""The collapse monitor: keeps the best weights of a training and returns to them after a collapse."""

from __future__ import annotations

from math import isfinite

import numpy as np

from ssim_ae.augmentation.numpy_cut import cut_patches
from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.training.checkpoints import TrainingState
from ssim_ae.training.engine import Engine
from ssim_ae.training.patch_sampling import monitor_patches, patch_size

Arrays = dict[str, np.ndarray]

MONITOR_PATCH_COUNT = 128  # held-out patches whose loss is computed
VARIANCE_PATCH_COUNT = 32  # monitor patches whose outputs are checked for variance
MAX_LOSS_RATIO = 2.0  # held-out loss / lowest held-out loss; above it the training has collapsed or overfits
MAX_TRAINING_LOSS_RATIO = 1.25  # mean training loss / lowest of an epoch; above it the training has collapsed
MIN_VARIANCE_RATIO = 0.01  # variance of the outputs / of the patches; below it outputs count as equal
LEARNING_STEPS = 500  # steps; a shorter training may end before its outputs differ
MIN_PATIENCE = 2000  # steps in which outputs may be equal before they differ, or a quarter of a long training
ROLLBACK_LR_FACTOR = 0.25  # factor of the learning rate for each rollback
MAX_ROLLBACKS = 3  # in one training
BEST_PREFIX = "best/"  # prefix of the names of the best weights in a checkpoint


class CollapseMonitor:
    """Evaluates the held-out loss after every epoch, keeps the best weights and detects collapses.

    `best_loss` is the lowest held-out loss so far and `best_weights` are the weights with that loss. Without held-out
    images there is no held-out loss: only the loss on the training images can start a rollback, and `best_weights` are
    those at the end of the last epoch.

    An untrained network returns the same for all patches, and on some textures it does so for the first epochs.
    `learned` says whether outputs have differed. Until then, equal ones are a collapse only after a part of the
    training.
    """

    def __init__(self, engine: Engine, config: Config, held_out: np.ndarray) -> None:
        self.engine = engine
        self.batch: PatchBatch | None = None
        self.variance_patches: np.ndarray | None = None
        if len(held_out):
            self.batch = monitor_patches(config, len(held_out), MONITOR_PATCH_COUNT)
            self.variance_patches = cut_patches(
                held_out, self.batch.take(slice(0, VARIANCE_PATCH_COUNT)), patch_size(config, held_out)
            )
        self.initial_state = engine.state()
        self.best_loss: float | None = None
        self.best_weights: Arrays = {}
        self.learned = False
        self.patience = max(MIN_PATIENCE, config.steps // 4)
        self.collapses = 0
        self.overfits = False

    @property
    def lr_scale(self) -> float:
        """Factor of the learning rate after the rollbacks so far, in (0, 1]."""
        return ROLLBACK_LR_FACTOR**self.collapses

    def evaluate(self, step: int, training_loss_ratio: float) -> float | None:
        """Return the held-out loss after `step` steps; keep the weights if it is the lowest, roll back a collapse.

        `training_loss_ratio` is the training loss of this epoch divided by the lowest one. If it has not risen, a high
        held-out loss is overfitting, as with a handful of images, and no collapse. None is returned if there are no
        held-out images, or if the loss is not finite.
        """
        if self.batch is None:
            self._keep_last_weights()
            return None
        loss = self.engine.held_out_loss(self.batch)
        if not isfinite(loss):
            self.rollback(f"the held-out loss is {loss}")
            return None
        if self.best_loss is not None and loss > MAX_LOSS_RATIO * self.best_loss:
            rise = f"the held-out loss rose from {self.best_loss:.3f} to {loss:.3f}"
            if training_loss_ratio > MAX_TRAINING_LOSS_RATIO:
                self.rollback(rise)
                return loss
            if not self.overfits:
                self.overfits = True
                print_note(f"training: overfits ({rise}); the best weights are kept; more good images help")
        equal = self._outputs_are_equal()
        if equal and (self.learned or step >= self.patience * (1 + self.collapses)):
            self.rollback("all outputs are equal")
            return loss
        self.learned = not equal
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss = loss
            self.best_weights = self.engine.weights()
        return loss

    def _keep_last_weights(self) -> None:
        weights = self.engine.weights()
        if all(np.isfinite(array).all() for array in weights.values()):
            self.best_weights = weights

    def rollback(self, reason: str) -> None:
        """Restore the best weights, reset the optimizer and lower the learning rate.

        InputError after MAX_ROLLBACKS rollbacks.
        """
        if self.collapses == MAX_ROLLBACKS:
            raise InputError(f"training: collapsed {MAX_ROLLBACKS + 1} times ({reason}); set a lower lr")
        self.collapses += 1
        self.engine.load_state(self.initial_state | self.best_weights, "the best weights")
        print_note(f"training: collapsed ({reason}); continues from the best weights at {self.lr_scale:g} times the lr")

    def check_end(self, step: int) -> None:
        """Raise InputError if the training, of `step` steps, came to nothing."""
        if self.collapses and not self.best_weights:
            raise InputError("training: collapsed and never recovered; set a lower lr")
        if self.batch and not self.learned and step >= LEARNING_STEPS:
            raise InputError(f"training: all outputs are equal after {step} steps; train longer, or change lr")

    def checkpoint_arrays(self) -> Arrays:
        """Return the arrays that a checkpoint needs for `restore`."""
        return {BEST_PREFIX + name: weight for name, weight in self.best_weights.items()}

    def restore(self, arrays: Arrays, state: TrainingState) -> None:
        """Continue from the arrays and the state of a checkpoint."""
        self.best_weights = {
            name.removeprefix(BEST_PREFIX): array for name, array in arrays.items() if name.startswith(BEST_PREFIX)
        }
        self.best_loss = state.best_loss
        self.learned = state.learned
        self.collapses = state.collapses

    def _outputs_are_equal(self) -> bool:
        """Return whether the outputs are nearly equal although their patches differ."""
        assert self.variance_patches is not None
        outputs = self.engine.runtime().run(self.variance_patches)
        min_variance = MIN_VARIANCE_RATIO * self.variance_patches.var(axis=0).mean()
        return bool(outputs.var(axis=0).mean() < min_variance)
