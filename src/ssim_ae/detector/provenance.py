"""Where a detector comes from: its training and held-out images, its thresholds' origin, versions.

Images are identified by the hash of their content. A detector file may come from anyone, so all of it is validated.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt

from ssim_ae import __version__
from ssim_ae.images.folders import content_hash
from ssim_ae.spelling import counted, percentage

GIVEN = "given"  # the estimator of thresholds that were set by hand
MIN_CROSS_VALIDATED = 5  # images; of fewer, thresholds estimated without one of them may reject it
USUAL_ADVICE = "use --threshold false_alarm_rate"  # for thresholds that reject most good images
ADVICE = {  # and what else there is to say about an estimator
    GIVEN: "give higher thresholds",
    "percent": (
        "percent is a percentile of pixels, and an image is rejected for one pixel above the threshold; "
        f"{USUAL_ADVICE}, or a percent near 100"
    ),
}
VERSIONED_PACKAGES = ("numpy", "pillow", "onnxruntime", "openvino", "torch", "mindspore")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


COPIES = "copies"  # the estimator, if there is only one good image


class RateEstimate(_Strict):
    """An expected false-alarm rate in [0, 1] and the ends of its 90 % interval."""

    rate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{percentage(self.rate)} % (90 % interval {percentage(self.low)}-{percentage(self.high)} %)"


class CrossValidation(_Strict):
    """How many of the held-out images are rejected by thresholds that were given, or estimated without them."""

    images: NonNegativeInt
    rejected: NonNegativeInt


class ThresholdOrigin(_Strict):
    """How thresholds were estimated, and the false-alarm rate to expect."""

    estimator: str = GIVEN
    settings: dict[str, FiniteFloat | None] = {}  # of the estimator, and thresholds that were given
    held_out_images: NonNegativeInt = 0
    training_images: NonNegativeInt = 0
    cross_fitted_images: NonNegativeInt = 0  # of the held-out images: those that were fitted to, but left out in turn
    reviewed_images: NonNegativeInt = 0  # confirmed good images, chosen by their scores, that raised the thresholds
    left_out_images: NonNegativeInt = 0  # far outliers: they may be defective
    without_highest: FiniteFloat | None = None  # factor of the thresholds, without the image of the highest score
    expected: RateEstimate | None = None
    cross_validation: CrossValidation | None = None

    def problem(self) -> str:
        """Return what is wrong with thresholds that reject most good images, and what to do; empty if they do not."""
        tested = self.cross_validation
        if tested is None or 2 * tested.rejected <= tested.images:
            return ""
        if tested.images < MIN_CROSS_VALIDATED and self.estimator not in (GIVEN, "percent"):
            return ""  # these estimators depend on the scores of single images: without one, the limit is another
        return f"rejects {tested.rejected} of {tested.images} good images; {ADVICE.get(self.estimator, USUAL_ADVICE)}"

    def __str__(self) -> str:
        if self.estimator == GIVEN:
            tested = self.cross_validation
            rejected = f" Rejected good images: {tested.rejected} of {tested.images}." if tested else ""
            return f"Thresholds were given.{rejected}"
        if self.estimator == COPIES:
            return "The threshold is from changed copies of the only good image; how many false alarms is not known."
        images = counted(self.held_out_images, "held-out image")
        if self.cross_fitted_images:
            images = f"{counted(self.held_out_images, 'good image')}, each measured by a detector without it"
        if self.training_images:
            images = f"{self.held_out_images} held-out and {counted(self.training_images, 'training image')}"
        if self.expected:
            text = f"Expected false alarms: {'at most ' * bool(self.reviewed_images)}{self.expected}, from {images}."
        else:
            text = f"Thresholds by {self.estimator}, from {images}."
        if self.cross_validation:
            text += f" Cross-validation: {self.cross_validation.rejected} of {self.cross_validation.images} rejected."
        if self.reviewed_images:
            text += f" Raised for {counted(self.reviewed_images, 'confirmed good image')}, which are no fair sample."
        if self.left_out_images:
            text += f" Left out, because they may be defective: {counted(self.left_out_images, 'image')}."
            if self.expected:
                share = self.left_out_images / (self.held_out_images + self.training_images + self.left_out_images)
                text += f" If they are good, expect {percentage(self.expected.rate + share)} % false alarms."
        return text


class EpochSummary(_Strict):
    """The last row of the training's history."""

    epoch: int
    steps: int
    loss: float
    held_out_loss: float | None
    lr: float
    patches_per_second: float
    seconds: float


class ImageSplit(NamedTuple):
    """Images by their part in the training of a detector; in each part in the order they were given in."""

    training: list[Path]
    held_out: list[Path]
    unseen: list[Path]
    excluded: list[Path]


class Provenance(_Strict):
    """The record of a detector's training."""

    training_images: list[str] = []
    held_out_images: list[str] = []
    excluded_images: list[str] = []  # by the setting `exclude`
    thresholds: ThresholdOrigin = ThresholdOrigin()
    dataset: str = ""
    fingerprint: str = ""
    imported_from: str = ""  # the name of a checkpoint of the reference
    device: str = ""
    minutes: float = 0.0
    steps: int = 0
    finished: bool = True
    last_epoch: EpochSummary | None = None
    versions: dict[str, str] = {}

    def split(self, images: Iterable[Path]) -> ImageSplit:
        """Return the images that the detector was trained on, held-out and excluded ones, and those it has never seen.

        A held-out image counts as held out even if it is a duplicate of a training image. A file that does not exist
        is unseen.
        """
        split = ImageSplit([], [], [], [])
        part_of = dict.fromkeys(self.excluded_images, split.excluded)
        part_of |= dict.fromkeys(self.training_images, split.training)
        part_of |= dict.fromkeys(self.held_out_images, split.held_out)
        for path in images:
            part_of.get(content_hash(path) if path.is_file() else "", split.unseen).append(path)
        return split


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect scores."""
    found = {"python": platform.python_version(), "ssim-ae": __version__}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
