"""Checkpoints: all that the next step depends on, in one file that is replaced as a whole."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.storage import read_tensors, write_tensors
from ssim_ae.training.history import Epoch

CHECKPOINT_NAME = "checkpoint.safetensors"


class Position(NamedTuple):
    """Where a training stands. Patches and rates are functions of `step`, so no random state is needed."""

    step: int = 0
    loss_sum: float = 0.0  # over the steps of the epoch under way
    seconds: float = 0.0
    history: tuple[Epoch, ...] = ()
    best_loss: float | None = None  # of the held-out patches, after the best epoch
    collapses: int = 0


def write_checkpoint(
    folder: Path, state: dict[str, np.ndarray], position: Position, fingerprint: str, config: Config
) -> None:
    """Write the checkpoint of a run, replacing the one before."""
    origin = {"kind": "checkpoint", "fingerprint": fingerprint, "config": config.model_dump()}
    metadata = origin | position._asdict()
    write_tensors(folder / CHECKPOINT_NAME, state, metadata)


def read_checkpoint(folder: Path, fingerprint: str, config: Config) -> tuple[dict[str, np.ndarray], Position] | None:
    """Return engine state and position, or None where no checkpoint was written yet.

    InputError if it was written while training on other images, or under other settings.
    """
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return None
    state, metadata = read_tensors(path, "checkpoint")
    try:
        written, origin = metadata["config"], metadata["fingerprint"]
        history = tuple(Epoch(*row) for row in metadata["history"])
        position = Position(**{name: metadata[name] for name in Position._fields if name in metadata})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: its header is damaged, or from a newer version") from error
    if origin != fingerprint:
        raise InputError(f"{path}: the training images have changed since; start a new run instead")
    for key, value in config.model_dump().items():
        if written.get(key) != value:
            raise InputError(f"{path}: written with {key} {written.get(key)!r}, not {value!r}")
    return state, position._replace(history=history)
