"""Values of command-line options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.config import Config


def detector_given(options: argparse.Namespace, config: Config | None = None) -> Path:
    """Return the path of the detector that was named, or that the config names. InputError without one."""
    from ssim_ae.config import Config
    from ssim_ae.locations import local_path

    place = options.detector or (config or Config.read(options.config_path)).checkpoint_path
    if not place:
        raise InputError("checkpoint_path: no detector given; name a detector file or a run's folder")
    return Path(local_path(place))


def keys_given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the config's keys that were given as options."""
    given = {key.removeprefix("config."): value for key, value in vars(options).items() if key.startswith("config.")}
    return {key: value for key, value in given.items() if value is not None}
