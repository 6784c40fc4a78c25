"""Values of command-line options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.config import Config


def named_detector(options: argparse.Namespace, config: Config | None = None) -> Path:
    """Return the path of the detector that an option or the settings name. Raises InputError if there is none."""
    from ssim_ae.config import Config
    from ssim_ae.locations import local_path

    location = options.detector or (config or Config.read(options.config_path)).checkpoint_path
    if not location:
        raise InputError("checkpoint_path: no detector given; name a detector file or the folder of a run")
    return Path(local_path(location))


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as options."""
    given = {key.removeprefix("config."): value for key, value in vars(options).items() if key.startswith("config.")}
    return {key: value for key, value in given.items() if value is not None}


def check_given_once(options: argparse.Namespace, argument: str, key: str) -> None:
    """Raise InputError if both an argument and the setting with the same meaning are given."""
    if getattr(options, argument) and given_settings(options).get(key):
        raise InputError(f"--{key}: given twice, also as {getattr(options, argument)}; give one of them")
