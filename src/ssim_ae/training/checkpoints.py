"""Checkpoints: everything that the next training step depends on, in one file that is replaced atomically."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.checked_files import read_tensors, write_tensors
from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.training.history import EpochRecord
from ssim_ae.training.schedule import Cycle, completed_fraction, first_cycle

CHECKPOINT_NAME = "checkpoint.safetensors"


class TrainingState(NamedTuple):
    """The state of the training loop after a step; weights and optimizer state are the engine's.

    It holds no random state: patches and learning rates are functions of `step` and `seconds`.
    """

    step: int = 0  # steps taken
    loss_sum: float = 0.0  # over the steps of the current epoch, since a rollback if there was one
    loss_count: int = 0  # number of these steps
    seconds: float = 0.0  # duration of the training, over all its interruptions
    history: tuple[EpochRecord, ...] = ()
    best_loss: float | None = None  # lowest loss of the monitor patches
    learned: bool = False  # whether reconstructions of the monitor patches have differed
    collapses: int = 0
    cycle: Cycle | None = None  # that is being trained; None: the first one

    def completed(self, config: Config) -> float:
        """Return the completed fraction of the cycle, 0 to 1."""
        return completed_fraction(self.cycle or first_cycle(config), self.step, self.seconds)


def write_checkpoint(
    folder: Path, tensors: dict[str, np.ndarray], state: TrainingState, fingerprint: str, config: Config
) -> None:
    """Write the checkpoint of a run; it replaces the previous one.

    `tensors` holds the engine's state and the best weights, `fingerprint` identifies the training images.
    """
    origin = {"kind": "checkpoint", "fingerprint": fingerprint, "config": config.portable_settings()}
    write_tensors(folder / CHECKPOINT_NAME, tensors, origin | state._asdict())


def read_checkpoint(
    folder: Path, fingerprint: str, config: Config
) -> tuple[dict[str, np.ndarray], TrainingState] | None:
    """Return the tensors and the state in a run's checkpoint, or None if the run has none yet.

    InputError if the checkpoint is corrupt or belongs to other training images or other settings.
    """
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return None
    checkpoint = _read(path)
    if checkpoint.fingerprint != fingerprint:
        raise InputError(f"{path}: the training images have changed since it was written; start a new run")
    for key, value in config.portable_settings().items():
        if (saved := checkpoint.config.get(key)) != value:
            raise InputError(f"{path}: written with {key} {saved!r}, not {value!r}; restore {key} or start a new run")
    return checkpoint.tensors, checkpoint.state


def read_state(folder: Path) -> TrainingState | None:
    """Return the state in a run's checkpoint, or None if the run has none. InputError if it is corrupt."""
    path = folder / CHECKPOINT_NAME
    return _read(path).state if path.exists() else None


class _Checkpoint(NamedTuple):
    tensors: dict[str, np.ndarray]
    state: TrainingState
    fingerprint: str
    config: dict[str, Any]


def _read(path: Path) -> _Checkpoint:
    tensors, metadata = read_tensors(path, "checkpoint")
    try:
        saved = {name: metadata[name] for name in TrainingState._fields if name in metadata}
        saved["history"] = tuple(EpochRecord(*row) for row in metadata["history"])
        saved["cycle"] = Cycle(*metadata["cycle"]) if metadata.get("cycle") else None
        return _Checkpoint(tensors, TrainingState(**saved), metadata["fingerprint"], dict(metadata["config"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: the header is corrupt or from a newer version; start a new run") from error
