"""What is said of settings: their sections, their defaults with each method, and their meanings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from ssim_ae.config import yaml_files
from ssim_ae.config.settings import Settings
from ssim_ae.methods import default_method, get_method, methods, unused_settings

SECTIONS = {  # the first key of each section, and the section's title
    "dataset": "Data",
    "do_aug": "Augmentation",
    "method": "Network and training",
    "stride": "Inspection and thresholds",
    "image_level": "Evaluation and output",
    "start_epoch": "Accepted for compatibility with the reference",
    "model_arts": "ModelArts and object stores",
}


def sections() -> Iterator[tuple[str, list[tuple[str, FieldInfo]]]]:
    """Yield each section: its title, and its keys with their fields."""
    fields = list(Settings.model_fields.items())
    starts = [index for index, (key, _) in enumerate(fields) if key in SECTIONS]
    for start, end in zip(starts, [*starts[1:], len(fields)], strict=True):
        yield SECTIONS[fields[start][0]], fields[start:end]


def default_of(key: str, method: str) -> Any:
    """Return the default of a setting with a method."""
    if key == "method":
        return default_method()
    return get_method(method).defaults.get(key, Settings.model_fields[key].get_default(call_default_factory=True))


def main_user(key: str) -> str:
    """Return the name of the first method that uses a setting."""
    return next(method.name for method in methods() if key not in unused_settings(method.name))


def description(key: str, method: str) -> str:
    """Return the meaning of a setting, which methods use it, and how its default differs with the other methods."""
    text = str(Settings.model_fields[key].description)
    if key == "method":
        return f"{text}: {'; '.join(f'{known.name}: {known.summary}' for known in methods())}"
    users = [known.name for known in methods() if key not in unused_settings(known.name)]
    others = [known.name for known in methods() if known.name not in users]
    only = [f"{users[0]} only" if len(users) == 1 else f"not {', '.join(others)}"] if others else []
    own = default_of(key, method)
    defaults = {name: default_of(key, name) for name in users}
    differing = [f"{name}: {yaml_files.to_yaml_value(key, value)}" for name, value in defaults.items() if value != own]
    return f"{text} ({'; '.join(only + differing)})" if only or differing else text
