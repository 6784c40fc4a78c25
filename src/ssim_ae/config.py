"""Config: the reference's flat YAML keys, typed and validated in one place.

The defaults are the reference's, but for the training: one_cycle comes to its held-out loss in a tenth of its epochs
(docs/speed.md).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from ssim_ae.errors import InputError, first_line
from ssim_ae.spelling import SPELLINGS, nearest

COMMAND_LINE = "command line"
CROP_SIZES = (32, 64, 128, 256, 512)
LARGEST_LAYER = 2**26  # numbers, of channels as large as what the network is shown
LARGEST_COVER = 2**26  # px of all tiles of an image
REPAIR = {  # the defaults that method `repair` has of its own; mirrored, a good part may be a bad one
    "im_resize": 144,
    "online_aug": True,
    "rotate_angle": -1.0,
    "p_rotate": 0.5,
    "p_horizontal_flip": 0.0,
    "p_vertical_flip": 0.0,
    "light": 0.08,
    "flc": 16,
    "epochs": 10,
    "optimizer": "muon",
}

EARLIER = {"optimizer": "adamw", "light": 0.0}  # keys that files of earlier versions lack, and what those did


class Config(BaseModel):
    """All settings of a detector. Immutable; `Config(epochs=5)`, `Config.read(path)` or `config.replace(...)`."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    # data
    dataset: str = Field("none", description="name of the data set; names the run's folder")
    dataset_path: str = Field("", description="folder in MVTec AD's layout, or just a folder of good images")
    img_suffix: str = Field("", description="take only images whose names end so; empty: every image")
    mask_suffix: str = Field("_mask.png", description="what a ground-truth file's name adds to its image's stem")
    grayscale: bool = Field(False, description="read images as gray")
    bit_depth: int = Field(
        16, ge=9, le=16, description="significant bits of 16-bit gray images (12 for a 12-bit camera)"
    )
    im_resize: int = Field(256, ge=32, le=4096, description="images are resized to this height and width, px")
    crop_size: int = Field(128, description="height and width of the network's input, px: 32, 64, 128, 256 or 512")
    bg_mask: Literal["", "W", "B"] = Field(
        "", description="background to ignore: W brighter than 200, B darker than 50"
    )

    # augmentation
    do_aug: bool = Field(True, description="augment; False: the centre of the resized images as they are")
    online_aug: bool = Field(False, description="True: new patches every epoch; False: the same ones every epoch")
    augment_num: int = Field(10_000, ge=1, description="patches an epoch")
    aug_dir: str = Field(
        "", description="with online_aug False: write the patches here as PNG to look at; empty: don't"
    )
    rotate_angle: float = Field(
        45.0,
        ge=-1,
        le=180,
        description="largest rotation either way, degrees; < 0: 180 where good parts lie at any, else 5",
    )
    p_rotate: float = Field(0.3, ge=0, le=1, description="share of patches rotated (p_ratate is accepted too)")
    p_horizontal_flip: float = Field(0.3, ge=0, le=1, description="share of patches mirrored left to right")
    p_vertical_flip: float = Field(0.3, ge=0, le=1, description="share of patches mirrored top to bottom")
    light: float = Field(0.0, ge=0, le=1, description="patches are lit unevenly, the deviation of it; 0: as they are")

    # network and training
    method: Literal["reference", "repair"] = Field(
        "reference",
        description="repair: a U-Net that repairs damage; reference: an autoencoder with a narrow code",
    )
    z_dim: int = Field(100, ge=1, le=65_536, description="length of the code between encoder and decoder")
    flc: int = Field(32, ge=1, le=1024, description="channels of the first convolution")
    epochs: int = Field(20, ge=1, description="passes over augment_num patches (the reference: 200)")
    minutes: float = Field(0.0, ge=0, description="train for so many minutes in place of `epochs`; 0: epochs")
    batch_size: int = Field(16, ge=1, description="patches a step, over all devices together (the reference: 128)")
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: orthogonal steps, in a third of the patches as far; adamw: as the reference"
    )
    lr: float = Field(2.0e-4, gt=0, le=1, description="learning rate")
    decay: float = Field(1.0e-5, ge=0, le=1, description="weight decay")
    schedule: Literal["one_cycle", "constant"] = Field(
        "one_cycle",
        description="one_cycle: up to lr_peak times lr and down to nothing; constant: lr, as the reference",
    )
    lr_peak: float = Field(5.0, gt=0, description="highest rate of one_cycle, as a multiple of lr")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="of training; auto: bf16 where PyTorch has it fast; fp16: MindSpore's"
    )
    seed: int = Field(1234, ge=0, description="of the initial weights, the patches and the held-out images")
    checkpoint_seconds: float = Field(30.0, ge=0, description="time between checkpoints, from which --resume goes on")
    load_ckpt_path: str = Field("", description="start from the weights of this detector file")
    engine: Literal["auto", "torch", "mindspore"] = Field("auto", description="what trains; auto: torch if installed")
    device_target: Literal["auto", "CPU", "GPU", "Ascend"] = Field("auto", description="where to train and inspect")
    distribute: bool = Field(False, description="train on several devices; needs torchrun")

    # inspection
    stride: int = Field(32, ge=1, description="step from tile to tile, px")
    holdout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the good images kept from training to set the thresholds; 0: the reference's way",
    )
    threshold: Literal["false_alarm_rate", "percent", "max", "k_sigma", "max_area"] = Field(
        "false_alarm_rate", description="how the thresholds come from held-out good images"
    )
    false_alarm_rate: float = Field(0.01, gt=0, lt=0.5, description="share of new good images called defective")
    percent: float = Field(98.0, gt=0, le=100, description="percentile of the residuals that sets their thresholds")
    k_sigma: float = Field(3.0, ge=0, description="k_sigma: the limit is the mean score plus this many deviations")
    min_area: int = Field(100, ge=1, description="max_area: smallest region that counts as a defect, px")
    ssim_threshold: float = Field(-1.0, description="SSIM residual above which a pixel is defective; < 0: estimated")
    l1_threshold: float = Field(-1.0, description="L1 residual above which a pixel is defective; < 0: estimated")

    # evaluation and output
    image_level: bool = Field(True, description="closing line with ok / nok / avg of images; False: of pixels, and AUC")
    run_eval: bool = Field(
        True, description="write the report after training: on the test images, or on held-out good ones"
    )
    checkpoint_path: str = Field("", description="detector file that eval.py uses")
    save_dir: str = Field("./output", description="eval.py writes its pictures to a new folder in here")

    # the reference's, without effect here: the test images never choose a checkpoint
    start_epoch: int = Field(1, description="accepted, without effect: test images never choose a checkpoint")
    interval: int = Field(1, description="accepted, without effect (see start_epoch)")
    eval_epochs: list[int] = Field([], description="accepted, without effect (see start_epoch)")

    # ModelArts and object stores
    model_arts: bool = Field(False, description="the data set is fetched from data_url first")
    data_url: str = Field("", description="where the data set lies: obs:// or s3://")
    train_url: str = Field("", description="where the results are sent: obs:// or s3://")
    checkpoint_url: str = Field("", description="where eval.py finds the detector: obs:// or s3://")
    cache_ckpt_file: str = Field("", description="accepted, without effect")

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_method(cls, values: Any) -> Any:
        return REPAIR | values if isinstance(values, dict) and values.get("method") == "repair" else values

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_not_booleans(cls, value: Any, info: Any) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("should not be True or False")
        return value

    @field_validator("crop_size")
    @classmethod
    def _network_exists(cls, value: int) -> int:
        if value not in CROP_SIZES:
            raise ValueError(f"should be one of {', '.join(map(str, CROP_SIZES))}")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.im_resize < self.crop_size:
            raise ValueError(f"im_resize {self.im_resize} is smaller than crop_size {self.crop_size}")
        if self.stride > self.crop_size:
            raise ValueError(f"stride {self.stride} is larger than crop_size {self.crop_size}: pixels would be skipped")
        if self.method == "repair" and self.engine == "mindspore":
            raise ValueError("engine mindspore trains the reference's method alone, not repair")
        if self.method == "repair" and (self.im_resize % (self.crop_size // 8) or self.im_resize < 64):
            raise ValueError(
                f"with repair and crop_size {self.crop_size} im_resize should be a multiple of {self.crop_size // 8}, "
                f"64 or more, not {self.im_resize}"
            )
        if self.minutes and self.distribute:
            raise ValueError("minutes: workers' clocks differ; with distribute give epochs")
        if self.batch_size > self.augment_num:
            raise ValueError(
                f"batch_size {self.batch_size} is larger than augment_num {self.augment_num}: no full batch"
            )
        if self.tile_size**2 * self.flc > LARGEST_LAYER:
            raise ValueError(f"flc {self.flc} is too much for patches of {self.tile_size} px")
        if self.tiles * self.tile_size**2 > LARGEST_COVER:
            raise ValueError(f"stride {self.stride} cuts an image of {self.im_resize} px into {self.tiles:,} tiles")
        if not self.do_aug and self._larger_than_a_patch:
            raise ValueError(
                f"do_aug False trains on the images' centres, but crop_size {self.crop_size} "
                f"does not cover im_resize {self.im_resize}"
            )
        return self

    @property
    def channels(self) -> int:
        """1 for gray, 3 for colour."""
        return 1 if self.grayscale else 3

    @property
    def epoch_steps(self) -> int:
        """Steps an epoch: the last batch, if not full, is dropped."""
        return self.augment_num // self.batch_size

    @property
    def steps(self) -> int:
        """Steps of the whole training, where no minutes are given."""
        return self.epochs * self.epoch_steps

    @property
    def tiled(self) -> bool:
        """True where an image is inspected in overlapping tiles, False where its centre is inspected at once."""
        return self._larger_than_a_patch and self.method == "reference"

    @property
    def tile_size(self) -> int:
        """Height and width of what the network is shown in inspection, px: with repair all of an image at once."""
        return self.im_resize if self.method == "repair" else self.crop_size

    @property
    def patch(self) -> tuple[int, int, int]:
        """Channels, height and width of what the network is shown in inspection."""
        return self.channels, self.tile_size, self.tile_size

    @property
    def tiles(self) -> int:
        """Tiles that an image is cut into for inspection."""
        return (1 + -(-(self.mask_size - self.tile_size) // self.stride)) ** 2

    @property
    def mask_size(self) -> int:
        """Height and width of what is inspected, px (the reference's name)."""
        return self.im_resize if self.tiled else self.tile_size

    @property
    def _larger_than_a_patch(self) -> bool:
        return self.im_resize - self.crop_size >= self.stride

    @property
    def smallest_region(self) -> int:
        """Px below which a region above the limit is no defect: only max_area has such a limit."""
        return self.min_area if self.threshold == "max_area" else 1

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str] | None,
        overrides: Mapping[str, Any] | None = None,
        *,
        defaults: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read a YAML file, if any, and set `overrides` over it; of keys that neither has take `defaults`, if any.

        InputError names file, key and nearest valid key.
        """
        above = _respelt(dict(overrides or {}), COMMAND_LINE)
        for key, value in above.items():
            if isinstance(value, str) and key in cls.model_fields and cls.model_fields[key].annotation == list[int]:
                above[key] = yaml.safe_load(value)
        below = dict(defaults or {}) | (_read_yaml(Path(path)) if path else {})
        return cls._checked(below | above, str(path or COMMAND_LINE), overridden=above)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed, validated."""
        return self._checked(self.model_dump() | changes, "config")

    @classmethod
    def _checked(cls, values: dict[str, Any], source: str, overridden: Collection[str] = ()) -> Self:
        def origin(key: str) -> str:
            return COMMAND_LINE if key in overridden else source

        for key in values:
            if key not in cls.model_fields:
                raise InputError(f"{origin(key)}: unknown key {key!r}{nearest(key, cls.model_fields)}")
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            reason = first["msg"].removeprefix("Value error, ")
            where = f"{key}: {reason}, not {first['input']!r:.100}" if key else reason
            raise InputError(f"{origin(str(first['loc'][0]) if key else '')}: {where}") from error

    def to_yaml(self) -> str:
        """Return the settings as YAML, every key with its meaning."""
        blocks = []
        for title, keys in sections():
            lines = [f"# {title}"]
            for key, field in keys:
                lines.append(f"{key}: {_yaml(getattr(self, key))}".ljust(34) + f"  # {field.description}")
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks) + "\n"


SECTIONS = {
    "dataset": "Data",
    "do_aug": "Augmentation",
    "method": "Network and training",
    "stride": "Inspection and thresholds",
    "image_level": "Evaluation and output",
    "start_epoch": "Accepted for the reference's sake",
    "model_arts": "ModelArts and object stores",
}


def sections() -> Iterator[tuple[str, list[tuple[str, FieldInfo]]]]:
    """Yield each group of keys: its title, and its keys with their descriptions."""
    fields = list(Config.model_fields.items())
    starts = [index for index, (key, _) in enumerate(fields) if key in SECTIONS]
    for start, end in zip(starts, [*starts[1:], len(fields)], strict=True):
        yield SECTIONS[fields[start][0]], fields[start:end]


def _yaml(value: Any) -> str:
    """A string is quoted: 1e5 may be a name."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that also reads 2e-4 as a number and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        # A reference config has a second document, its help texts.
        values = next(iter(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Loader)), None)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InputError(
            f"{path}: not a YAML file{where}: {getattr(error, 'problem', None) or first_line(error)}"
        ) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: should be lines of the form 'key: value'")
    return _respelt(values, str(path))


def _respelt(values: dict[Any, Any], source: str) -> dict[str, Any]:
    """Return `values` with the accepted other spellings replaced by the right ones."""
    respelt: dict[str, Any] = {}
    for key, value in values.items():
        right = SPELLINGS.get(key, str(key))
        if right in respelt and respelt[right] != value:
            raise InputError(f"{source}: {right!r} is given twice, under two spellings, with two values")
        respelt[right] = value
    return respelt
