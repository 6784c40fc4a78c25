"""The settings: their types, ranges, defaults and meanings.

The keys and defaults are those of the reference's YAML files, unless the method has its own defaults; the schedule
one_cycle reaches the reference's held-out loss in a tenth of its epochs (docs/explanation/speed.md).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ssim_ae.features.backbones import BackboneName
from ssim_ae.images.size import Size

CROP_SIZES = (32, 64, 128, 256, 512)  # px
BOOLEANS = (bool, bool | None)
MIN_SIDE, MAX_SIDE = 32, 4096  # px, of resized images
THRESHOLD_SETTINGS = (  # one per residual of any method
    *("ssim_threshold", "l1_threshold", "distance_threshold", "damage_threshold", "absence_threshold"),
)


class Settings(BaseModel):
    """All settings, each checked by itself. `Config` checks how they go together."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

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

    texture: bool | None = Field(
        None,
        description="the images show a texture: no place is like the same place of other images; they keep their size, "
        "at most 512 px, unless resolution is given; -1: decided from the good images",
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
    z_dim: int = Field(
        100, ge=1, le=65_536, description="length of the code between encoder and decoder; 500 on a texture"
    )
    flc: int = Field(32, ge=1, le=1024, description="channels of the first convolution")
    epochs: int = Field(20, ge=1, description="passes over augment_num patches; 50 if reference learns a texture")
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
    distribute: bool = Field(False, description="train on several devices; needs torchrun, or msrun with MindSpore")

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
    absence_threshold: float | None = Field(
        None, ge=0, description="odds against damage above which the part is missing; -1: estimated"
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

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans_as_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation not in BOOLEANS:
            raise ValueError("should be a number, or a text in quotes")
        return value

    @field_validator("im_resize", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        sides = _parse_sides(value)
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


def _parse_sides(value: Any) -> list[int] | None:
    """Return height and width of a size that is given as a number, a pair, or text such as 192x448.

    None if it is None, and no sides if it is none of these.
    """
    if value is None:
        return None
    parts = value.lower().split("x") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) == 1:
        parts = [parts[0] if isinstance(parts, list | tuple) else parts] * 2
    try:
        sides = [int(part) for part in parts if not isinstance(part, bool) and int(part) == float(part)]
    except (TypeError, ValueError, OverflowError):
        return []
    return sides if len(sides) == len(parts) == 2 else []
