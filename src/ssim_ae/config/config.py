"""Config: the settings of a detector, validated together, what follows from them, and how they are read and written."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from ssim_ae.config import yaml_files
from ssim_ae.config.descriptions import default_of, description, main_user, sections
from ssim_ae.config.settings import Settings
from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.images.size import Size
from ssim_ae.methods import default_method, get_method, methods, unused_settings
from ssim_ae.spelling import did_you_mean

COMMAND_LINE = "command line"
MAX_LAYER_VALUES = 2**26  # values of a layer with `flc` channels as large as the network's input
MAX_TILE_PIXELS = 2**26  # px of all tiles of an image
PLACE_SETTINGS = frozenset(  # paths and locations: only the run's config.yaml has them
    {
        *(
            "dataset_path",
            "more_paths",
            "exclude",
            "regions",
            "aug_dir",
            "load_ckpt_path",
            "checkpoint_path",
            "save_dir",
        ),
        *("data_url", "train_url", "checkpoint_url", "cache_ckpt_file"),
    }
)
LISTS = (list[int], list[str])  # types of settings that a command line gives as in YAML: [a, b]
SIZE_CHOICE = frozenset({"resolution", "smallest_defect"})  # without effect once im_resize is chosen


class Config(Settings):
    """All settings of a detector. Immutable: `Config(epochs=5)`, `Config.read(path)` or `config.replace(...)`."""

    if not TYPE_CHECKING:  # type checkers know the settings as arguments

        def __init__(self, **settings: Any) -> None:
            """Raise InputError, one line, if a setting is unknown or invalid."""
            if unknown := [self._unknown(key) for key in settings if key not in type(self).model_fields]:
                raise InputError(f"Config: {'; '.join(unknown)}")
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise InputError(f"Config: {_reason(error)}") from error

    @model_validator(mode="wrap")
    @classmethod
    def _with_defaults_of_method(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Apply the defaults of the method; `model_fields_set` lists only the given settings."""
        if not isinstance(values, dict):
            return handler(values)
        name = _method_name(values)
        defaults = get_method(name).defaults if isinstance(name, str) else {}
        config = handler({**defaults, **values, "method": name})
        config.__pydantic_fields_set__.intersection_update(values)
        return config

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        method = get_method(self.method)
        for key in self.model_fields_set & unused_settings(self.method):
            if getattr(self, key) != default_of(key, self.method):
                raise ValueError(f"{key} has no effect with method {self.method}; leave it out")
        if self.stride > self.crop_size:
            raise ValueError(f"stride {self.stride} is larger than crop_size {self.crop_size}: pixels would be skipped")
        if self.engine not in ("auto", *method.engines):
            raise ValueError(f"engine {self.engine} does not support method {self.method}; leave engine out")
        if self.minutes and self.distribute:
            raise ValueError("minutes cannot be combined with distribute: the clocks of workers differ; give epochs")
        if self.uses("batch_size") and self.batch_size > self.augment_num:
            raise ValueError(
                f"batch_size {self.batch_size} is larger than augment_num {self.augment_num}: no full batch"
            )
        if self.im_resize is not None:
            self._check_working_size()
        return self

    def _check_working_size(self) -> None:
        method, size = get_method(self.method), self.working_size
        smallest, multiple = method.smallest_side(self), method.size_multiple(self)
        if min(size) < smallest or any(side % multiple for side in size):
            patches = f" and crop_size {self.crop_size}" if self.uses("crop_size") else ""
            multiples = f" and a multiple of {multiple}" if multiple > 1 else ""
            raise ValueError(
                f"im_resize {size.in_file()}: with method {self.method}{patches} each side "
                f"should be {smallest} or more{multiples}"
            )
        tile_pixels = self.tile_size.height * self.tile_size.width
        if self.uses("flc") and tile_pixels * self.flc > MAX_LAYER_VALUES:
            raise ValueError(f"flc {self.flc} is too large for patches of {self.tile_size}")
        if self.tile_count * tile_pixels > MAX_TILE_PIXELS:
            raise ValueError(
                f"stride {self.stride} cuts an image of {size} into {self.tile_count:,} tiles, too many: raise stride"
            )
        if (
            self.uses("crop_size")
            and not self.do_aug
            and any(self.inspected_side(side) > self.crop_size for side in size)
        ):
            raise ValueError(
                f"do_aug False trains on the center of each image, but crop_size {self.crop_size} "
                f"does not cover im_resize {size.in_file()}"
            )

    def uses(self, key: str) -> bool:
        """Return whether a setting has an effect with the method."""
        return key not in unused_settings(self.method)

    @property
    def threshold_settings(self) -> tuple[str, ...]:
        """The settings that give thresholds, one per residual of the method."""
        return tuple(f"{name}_threshold" for name in get_method(self.method).residual_names)

    @property
    def given_thresholds(self) -> dict[str, float]:
        """The thresholds that the settings give, by the name of the residual."""
        values = {key.removesuffix("_threshold"): getattr(self, key) for key in self.threshold_settings}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def channels(self) -> int:
        """Channels of the network's input: 1 for gray, 3 for color."""
        return 1 if self.grayscale else 3

    @property
    def epoch_steps(self) -> int:
        """Steps per epoch; an incomplete last batch is dropped."""
        return self.augment_num // self.batch_size

    @property
    def steps(self) -> int:
        """Steps of the whole training, if no minutes are given."""
        return self.epochs * self.epoch_steps

    @property
    def working_size(self) -> Size:
        """Size that images are resized to. Raises InputError if it is not chosen yet."""
        if self.im_resize is None:
            raise InputError("im_resize: it is chosen from the good images when a training starts; give a size")
        return Size.of(self.im_resize)

    @property
    def view_size(self) -> Size:
        """Size of the view, the inspected part of a resized image."""
        whole = get_method(self.method).inspects_whole_image
        return self.working_size if whole else Size(*map(self.inspected_side, self.working_size))

    @property
    def tile_size(self) -> Size:
        """Height and width of the network's input in inspection."""
        whole = get_method(self.method).inspects_whole_image
        return self.working_size if whole else Size.of(self.crop_size)

    @property
    def tile_count(self) -> int:
        """Number of tiles of an image."""
        return prod(
            1 + -(-(side - tile) // self.stride) for side, tile in zip(self.view_size, self.tile_size, strict=True)
        )

    @property
    def tiled(self) -> bool:
        """True if an image is inspected in overlapping tiles, False if one input of the network covers the view."""
        return self.view_size != self.tile_size

    def inspected_side(self, side: int) -> int:
        """Return how much of a side of a resized image is inspected in tiles: the middle, if no second tile fits."""
        return side if side - self.crop_size >= self.stride else self.crop_size

    @property
    def min_defect_area(self) -> int:
        """Area below which a region above the threshold is no defect, px; 1 px unless the estimator is max_area."""
        return self.min_area if self.threshold == "max_area" else 1

    @classmethod
    def read(cls, path: str | os.PathLike[str] | None, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a YAML file, if any, and set `overrides` from the command line.

        Raises InputError, which names the file, the key and the nearest valid key.
        """
        given = yaml_files.from_yaml_values(dict(overrides or {}), COMMAND_LINE)
        for key, value in given.items():
            if isinstance(value, str) and key in cls.model_fields and cls.model_fields[key].annotation in LISTS:
                given[key] = yaml_files.parse_list(value, COMMAND_LINE)
        if not path:
            return cls._validated(given, COMMAND_LINE, overridden=given)
        values = yaml_files.with_method(yaml_files.read_yaml(Path(path)), Path(path), given)
        return cls._validated(_without_unused(values, given, str(path)) | given, str(path), overridden=given)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed, validated.

        A new `method` brings its own defaults for all that was never set, and drops what it does not use. Without one,
        the method stays, also if the changes would decide on another default.
        """
        given = {key: getattr(self, key) for key in self.model_fields_set}
        for key in unused_settings(changes.get("method", self.method)):
            given.pop(key, None)
        copy = self._validated({"method": self.method} | given | changes, "config")
        copy.__pydantic_fields_set__.intersection_update({*given, *changes})
        return copy

    @classmethod
    def _unknown(cls, key: str) -> str:
        return f"unknown key {key!r}{did_you_mean(key, cls.model_fields)}"

    @classmethod
    def _validated(cls, values: dict[str, Any], source: str, overridden: Collection[str] = ()) -> Self:
        def origin(key: str) -> str:
            return COMMAND_LINE if key in overridden else source

        if unknown := [f"{origin(key)}: {cls._unknown(key)}" for key in values if key not in cls.model_fields]:
            raise InputError("; ".join(unknown))
        try:
            return cls(**values)
        except InputError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            location = error.__cause__.errors()[0]["loc"]
            reason = _reason(error.__cause__)
            raise InputError(f"{origin(str(location[0]) if location else '')}: {reason}") from error

    def portable_settings(self) -> dict[str, Any]:
        """Return all settings that have an effect on a detector of this method, without places on this machine."""
        left_out = unused_settings(self.method) | PLACE_SETTINGS | SIZE_CHOICE
        return {key: value for key, value in self.model_dump(mode="json").items() if key not in left_out}

    def to_yaml(self) -> str:
        """Return the settings as YAML, each with its meaning.

        Those without effect are commented out, with the default of the first method that uses them.
        """
        blocks = [
            "\n".join([f"# {title}", *(self._yaml_line(key) for key, _ in fields)]) for title, fields in sections()
        ]
        return "\n\n".join(blocks) + "\n"

    def _yaml_line(self, key: str) -> str:
        used = self.uses(key)
        method = self.method if used else main_user(key)
        value = getattr(self, key) if used else default_of(key, method)
        setting = f"{'' if used else '# '}{key}: {yaml_files.yaml_value(yaml_files.to_yaml_value(key, value))}"
        return f"{setting:34}  # {description(key, method)}"


def _reason(error: ValidationError) -> str:
    """Return the first error of a validation in one line: the setting, and what is wrong with it."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    return f"{key}: {reason}, not {first['input']!r:.100}" if key else reason


def _method_name(values: Mapping[str, Any]) -> Any:
    """Return the method that settings name, or the default method for them."""
    return values.get("method") or default_method(values, str(values.get("engine", "auto")))


def _without_unused(values: dict[str, Any], given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Drop the settings of a file that have no effect with its method, with a message."""
    method = _method_name(values | dict(given))
    if method not in [known.name for known in methods()]:
        return values  # validation reports the unknown method
    unused = [key for key in values if key in unused_settings(method)]
    if unused:
        print_note(f"{source}: {', '.join(unused)}: no effect with method {method}; ignored")
    return {key: value for key, value in values.items() if key not in unused}
