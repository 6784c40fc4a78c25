"""YAML files of settings, with the spellings and conventions of the reference's files.

In a YAML file and on the command line a negative threshold or angle means "automatic"; inside it is None. A file
without `method` that has keys of the reference's files is a file of the method `reference`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import yaml

from ssim_ae.config.settings import Settings
from ssim_ae.console import print_note
from ssim_ae.errors import InputError, first_line
from ssim_ae.spelling import KEY_ALIASES

AUTOMATIC_IF_NEGATIVE = tuple(  # None in Config
    key for key, field in Settings.model_fields.items() if NoneType in get_args(field.annotation)
)
AUTOMATIC = -1  # their value in a file for None
REFERENCE = "reference"
REFERENCE_KEYS = frozenset(  # of the configuration files of the MindSpore model zoo's SSIM-AE
    {
        *("device_target", "dataset", "dataset_path", "aug_dir", "distribute", "grayscale", "do_aug", "online_aug"),
        *("augment_num", "im_resize", "crop_size", "rotate_angle", "p_rotate", "p_horizontal_flip", "p_vertical_flip"),
        *("z_dim", "epochs", "batch_size", "lr", "weight_decay", "flc", "stride", "load_ckpt_path", "image_level"),
        *("ssim_threshold", "l1_threshold", "percent", "checkpoint_path", "save_dir", "img_suffix", "bg_mask"),
        *("model_arts", "data_url", "train_url", "checkpoint_url", "cache_ckpt_file", "run_eval"),
        *("start_epoch", "interval", "eval_epochs"),
    }
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file, under the names and values that `Config` uses.

    Raises InputError, which names file and line, if the file cannot be read.
    """
    try:
        # A configuration of the reference has a second document, its help texts.
        values = next(iter(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Loader)), None)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or first_line(error)
        raise InputError(f"{path}: {where}not valid YAML: {reason}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: should be lines of the form 'key: value'")
    return from_yaml_values(values, str(path))


def with_method(values: dict[str, Any], path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the method to the settings of a file that has the reference's keys and names no method.

    The residuals then are the reference's, on textures too.
    """
    if "method" in values or "method" in given or REFERENCE_KEYS.isdisjoint(values):
        return values
    print_note(f"{path}: names no method and has the reference's keys: method reference; set method to choose another")
    return {"method": REFERENCE, "texture": False, **values}


def from_yaml_values(values: Mapping[Any, Any], source: str) -> dict[str, Any]:
    """Return settings under the names of `Config`, with None for automatic values."""
    settings: dict[str, Any] = {}
    for key, value in values.items():
        name = KEY_ALIASES.get(key, str(key))
        if name in settings and settings[name] != value:
            raise InputError(f"{source}: {name!r} is given twice, under two spellings, with two values; keep one")
        settings[name] = value
    for name in AUTOMATIC_IF_NEGATIVE:
        if _is_negative(settings.get(name)):
            settings[name] = None
    return settings


def to_yaml_value(key: str, value: Any) -> Any:
    """Return a value as a YAML file states it."""
    return AUTOMATIC if value is None and key in AUTOMATIC_IF_NEGATIVE else value


def yaml_value(value: Any) -> str:
    """Return a value in YAML. A string is quoted: 1e5 may be a name."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def parse_list(text: str, source: str) -> Any:
    """Return a list in YAML, whose items stay text. Raises InputError, which names `source`, if it is no YAML."""
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: {text!r:.100} is no list; write it as [a, b]") from error


def _is_negative(value: Any) -> bool:
    try:
        return float(value) < 0
    except (TypeError, ValueError):
        return False


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that also reads 2e-4 as a number and refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep)
            if key in keys:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            keys.append(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)
