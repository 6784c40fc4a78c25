"""Config: the settings, typed and validated in one place.

The keys and defaults are those of the reference's YAML files, unless the method has its own defaults; the schedule
one_cycle reaches the reference's held-out loss in a tenth of its epochs (docs/speed.md).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from ssim_ae.config import yaml_files
from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.features.backbones import BackboneName
from ssim_ae.images.size import Size
from ssim_ae.methods import default_method, get_method, methods, unused_settings
from ssim_ae.spelling import did_you_mean

COMMAND_LINE = "command line"
CROP_SIZES = (32, 64, 128, 256, 512)  # px
MIN_SIDE, MAX_SIDE = 32, 4096  # px, of resized images
THRESHOLD_SETTINGS = (
    "ssim_threshold",
    "l1_threshold",
    "distance_threshold",
    "damage_threshold",
)  # one per residual of any method
MAX_LAYER_VALUES = 2**26  # values of a layer with `flc` channels as large as the network's input
MAX_TILE_PIXELS = 2**26  # px of all tiles of an image
PLACE_SETTINGS = frozenset(  # paths and locations: they stay in the run's config.yaml, and leave in no other file
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


class Config(BaseModel):
    """All settings of a detector. Immutable: `Config(epochs=5)`, `Config.read(path)` or `config.replace(...)`."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers know the settings as arguments

        def __init__(self, **settings: Any) -> None:
            """Raise InputError, one line, if a setting is unknown or invalid."""
            for key in settings:
                if key not in type(self).model_fields:
                    raise InputError(f"Config: unknown key {key!r}{did_you_mean(key, type(self).model_fields)}")
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise InputError(f"Config: {_reason(error)}") from error

    # data
    dataset: str = Field("none", description="name of the data set; names the run's folder")
    dataset_path: str = Field("", description="folder in MVTec AD's layout, or a folder of good images")
    more_paths: list[str] = Field([], description="folders of more good images; train --add lists its own here")
    img_suffix: str = Field("", description="use only images whose names end with this; empty: every image")
    mask_suffix: str = Field("_mask.png", description="what a ground-truth file's name adds to the stem of its image")
    exclude: str = Field("", description="file that lists good images not to learn from, one per line; empty: none")
    regions: str = Field(
        "", description="file that says where to look: JSON with polygons, or a mask; empty: everywhere"
    )
    grayscale: bool = Field(False, description="convert images to gray")
    bit_depth: int = Field(16, ge=8, le=16, description="significant bits of 16-bit images (12 for a 12-bit camera)")
    im_resize: int | tuple[int, int] | None = Field(
        None,
        description="height and width that images are resized to, px: 256 or 192x448 (height x width); "
        "-1: chosen from the good images",
    )
    resolution: int = Field(
        256,
        ge=MIN_SIDE,
        le=MAX_SIDE,
        description="images keep their aspect ratio and get as many pixels as a square of this side, px",
    )
    smallest_defect: float = Field(
        0.0,
        ge=0,
        description="in place of resolution: size of the smallest defect to be found, px of the image; 0: resolution",
    )
    crop_size: int = Field(128, description="height and width of training patches, px: 32, 64, 128, 256 or 512")
    bg_mask: Literal["", "W", "B"] = Field(
        "", description="background to ignore: W brighter than 200, B darker than 50"
    )

    align: bool = Field(
        True, description="turn parts that lie at any angle on an even background, if the good images favor it"
    )

    backbone: BackboneName = Field(
        "efficientnet_lite0",
        description="what features are computed with; gabor: fixed filters, which need no weights of others",
    )

    # augmentation
    do_aug: bool = Field(True, description="augment; False: the center of each resized image")
    online_aug: bool = Field(False, description="True: new patches every epoch; False: the same patches every epoch")
    augment_num: int = Field(10_000, ge=1, description="patches per epoch")
    aug_dir: str = Field("", description="with online_aug False: folder to write the patches to as PNG; empty: none")
    rotate_angle: float | None = Field(
        45.0,
        ge=0,
        le=180,
        description="maximum rotation in either direction, degrees; -1: as far as good images are turned, 5 or more",
    )
    p_rotate: float = Field(0.3, ge=0, le=1, description="share of patches that are rotated; alias p_ratate")
    p_horizontal_flip: float = Field(0.3, ge=0, le=1, description="share of patches that are flipped left to right")
    p_vertical_flip: float = Field(0.3, ge=0, le=1, description="share of patches that are flipped top to bottom")
    illumination_std: float = Field(
        0.0,
        ge=0,
        le=1,
        description="standard deviation of the smooth illumination augmentation; 0 disables it",
    )

    # network and training
    method: str = Field("", description="how to train and inspect")  # the default depends on the engine
    z_dim: int = Field(100, ge=1, le=65_536, description="length of the code between encoder and decoder")
    flc: int = Field(32, ge=1, le=1024, description="channels of the first convolution")
    epochs: int = Field(20, ge=1, description="passes over augment_num patches")
    minutes: float = Field(0.0, ge=0, description="training time in minutes, in place of epochs; 0: epochs")
    batch_size: int = Field(16, ge=1, description="patches per step, on all devices together")
    optimizer: Literal["adamw", "muon"] = Field("adamw", description="adamw, or muon: orthogonalized updates")
    lr: float = Field(2.0e-4, gt=0, le=1, description="learning rate")
    weight_decay: float = Field(1.0e-5, ge=0, le=1, description="weight decay; alias decay")
    schedule: Literal["one_cycle", "constant"] = Field(
        "one_cycle", description="one_cycle: from lr up to lr_peak_factor times lr and down to 0; constant: lr"
    )
    lr_peak_factor: float = Field(5.0, gt=0, description="maximum learning rate of one_cycle, as a multiple of lr")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="of training; auto: bf16 where PyTorch supports it natively; fp16: MindSpore only"
    )
    seed: int = Field(1234, ge=0, description="seed of the initial weights, the patches and the held-out images")
    checkpoint_seconds: float = Field(30.0, ge=0, description="time between checkpoints")
    load_ckpt_path: str = Field("", description="detector file whose weights the training starts from")
    engine: Literal["auto", "torch", "mindspore"] = Field(
        "auto", description="training framework; auto: torch if installed"
    )
    device_target: Literal["auto", "CPU", "GPU", "Ascend"] = Field("auto", description="device to train and inspect on")
    distribute: bool = Field(False, description="train on several devices; needs torchrun")

    # inspection
    stride: int = Field(32, ge=1, description="step between tiles, px")
    holdout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the good images held out to set the thresholds; 0: none, as in the reference",
    )
    threshold: Literal["false_alarm_rate", "percent", "max", "k_sigma", "max_area"] = Field(
        "false_alarm_rate", description="how thresholds are estimated from held-out good images"
    )
    false_alarm_rate: float = Field(
        0.01, gt=0, lt=0.5, description="for false_alarm_rate: expected share of good images that are rejected"
    )
    percent: float = Field(98.0, gt=0, le=100, description="for percent: percentile of the residuals")
    k_sigma: float = Field(3.0, ge=0, description="for k_sigma: standard deviations above the mean score")
    min_area: int = Field(100, ge=1, description="for max_area: area of the smallest defect, px")
    outliers: Literal["leave_out", "keep"] = Field(
        "leave_out", description="good images that may be defective: leave them out of the thresholds, or keep them"
    )
    drawn_defects: int = Field(
        40,
        ge=0,
        le=10_000,
        description="defects drawn for each size and contrast to measure what is found; 0: not measured",
    )
    ssim_threshold: float | None = Field(
        None, ge=0, description="SSIM residual above which a pixel is defective; -1: estimated"
    )
    l1_threshold: float | None = Field(
        None, ge=0, description="L1 residual above which a pixel is defective; -1: estimated"
    )
    distance_threshold: float | None = Field(
        None, ge=0, description="distance of features above which a pixel is defective; -1: estimated"
    )
    damage_threshold: float | None = Field(
        None, ge=0, description="log-odds of damage, plus 10, above which a pixel is defective; -1: estimated"
    )

    # evaluation and output
    image_level: bool = Field(
        True, description="last line of an evaluation: True: ok / nok / avg of images; False: of pixels, and AUC"
    )
    run_eval: bool = Field(
        True, description="write a report after training, on the test images or on held-out good images"
    )
    checkpoint_path: str = Field("", description="detector file for eval.py")
    save_dir: str = Field("./output", description="eval.py writes its images to a new folder in this folder")

    # accepted for compatibility: test images never choose a checkpoint
    start_epoch: int = Field(1, description="accepted, no effect: test images never choose a checkpoint")
    interval: int = Field(1, description="accepted, no effect (see start_epoch)")
    eval_epochs: list[int] = Field([], description="accepted, no effect (see start_epoch)")

    # ModelArts and object stores
    model_arts: bool = Field(False, description="download the data set from data_url first")
    data_url: str = Field("", description="location of the data set: obs:// or s3://")
    train_url: str = Field("", description="location that results are uploaded to: obs:// or s3://")
    checkpoint_url: str = Field("", description="location of the detector for eval.py: obs:// or s3://")
    cache_ckpt_file: str = Field("", description="accepted, no effect")

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

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans_as_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("should not be True or False")
        return value

    @field_validator("im_resize", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        sides = yaml_files.parse_sides(value)
        if sides is None:
            return None
        if not sides or not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
            raise ValueError(f"should be {MIN_SIDE} to {MAX_SIDE} px, or two such sides as in 192x448")
        size = Size(*sides)
        return size.height if size.height == size.width else tuple(size)

    @field_validator("more_paths", mode="before")
    @classmethod
    def _parse_folders(cls, value: Any) -> Any:
        folders = [value] if isinstance(value, str) else value
        if isinstance(folders, list) and not all(folders):
            raise ValueError("should be folders")
        return folders

    @field_validator("crop_size")
    @classmethod
    def _check_crop_size(cls, value: int) -> int:
        if value not in CROP_SIZES:
            raise ValueError(f"should be one of {', '.join(map(str, CROP_SIZES))}")
        return value

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        method = get_method(self.method)
        for key in self.model_fields_set & unused_settings(self.method):
            if getattr(self, key) != default_of(key, self.method):
                raise ValueError(f"{key} has no effect with method {self.method}; leave it out")
        if self.stride > self.crop_size:
            raise ValueError(f"stride {self.stride} is larger than crop_size {self.crop_size}: pixels would be skipped")
        if self.engine not in ("auto", *method.engines):
            raise ValueError(f"engine {self.engine} does not support method {self.method}")
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
            raise ValueError(f"stride {self.stride} cuts an image of {size} into {self.tile_count:,} tiles")
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
                given[key] = yaml_files.parse_list(value)
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
    def _validated(cls, values: dict[str, Any], source: str, overridden: Collection[str] = ()) -> Self:
        def origin(key: str) -> str:
            return COMMAND_LINE if key in overridden else source

        for key in values:
            if key not in cls.model_fields:
                raise InputError(f"{origin(key)}: unknown key {key!r}{did_you_mean(key, cls.model_fields)}")
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
    fields = list(Config.model_fields.items())
    starts = [index for index, (key, _) in enumerate(fields) if key in SECTIONS]
    for start, end in zip(starts, [*starts[1:], len(fields)], strict=True):
        yield SECTIONS[fields[start][0]], fields[start:end]


def default_of(key: str, method: str) -> Any:
    """Return the default of a setting with a method."""
    if key == "method":
        return default_method()
    return get_method(method).defaults.get(key, Config.model_fields[key].get_default(call_default_factory=True))


def main_user(key: str) -> str:
    """Return the name of the first method that uses a setting."""
    return next(method.name for method in methods() if key not in unused_settings(method.name))


def description(key: str, method: str) -> str:
    """Return the meaning of a setting, which methods use it, and how its default differs with the other methods."""
    text = str(Config.model_fields[key].description)
    if key == "method":
        return f"{text}: {'; '.join(f'{known.name}: {known.summary}' for known in methods())}"
    users = [known.name for known in methods() if key not in unused_settings(known.name)]
    others = [known.name for known in methods() if known.name not in users]
    only = [f"{users[0]} only" if len(users) == 1 else f"not {', '.join(others)}"] if others else []
    own = default_of(key, method)
    defaults = {name: default_of(key, name) for name in users}
    differing = [f"{name}: {yaml_files.to_yaml_value(key, value)}" for name, value in defaults.items() if value != own]
    return f"{text} ({'; '.join(only + differing)})" if only or differing else text


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
