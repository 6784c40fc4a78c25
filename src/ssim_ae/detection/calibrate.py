"""Calibrate a detector: thresholds from good images it has not learned from, and what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import note, progress
from ssim_ae.detection.detector import Detector
from ssim_ae.detection.residuals import Residuals, Thresholds, anomaly_map
from ssim_ae.detection.thresholds import estimate, few_images_notes
from ssim_ae.errors import InputError

FOLDS = 5
GIVEN = "given"  # the estimator, where there was none
Image = TypeVar("Image")  # a path or a hash


class Calibration(NamedTuple):
    """Thresholds, and how they came about."""

    thresholds: Thresholds
    origin: dict[str, Any]


def calibrate(detector: Detector, paths: Sequence[Path], config: Config) -> Calibration:
    """Estimate thresholds as `config` says from the good images at `paths`, without those that cannot be read.

    Where the config gives both, no image is looked at.
    """
    if min(given := Thresholds(config.ssim_threshold, config.l1_threshold)) >= 0:
        return as_given(given)
    maps = []
    with progress("estimating thresholds", len(paths)) as bar:
        for found in detector.residuals_all(paths):
            bar.advance()
            if isinstance(found, InputError):
                note(f"left out: {found}")
            else:
                maps.append(found)
    thresholds = estimate(maps, config)
    origin = {
        "estimator": config.threshold,
        "percent": config.percent,
        "k_sigma": config.k_sigma,
        "min_area": config.min_area,
        "given": given._asdict(),
        "good_images": len(maps),
        "false_alarms": false_alarms(maps, config),
    }
    for text in few_images_notes(maps, config.percent):
        note(text)
    return Calibration(thresholds, origin)


def as_given(thresholds: Thresholds) -> Calibration:
    """Return thresholds that somebody gave: they rest on no images, and promise nothing."""
    origin = {"estimator": GIVEN, "given": thresholds._asdict(), "good_images": 0, "false_alarms": None}
    return Calibration(thresholds, origin)


def false_alarms(maps: Sequence[Residuals], config: Config, folds: int = FOLDS) -> float | None:
    """Return the share of good images called defective by thresholds estimated without them; None below 2 images."""
    if len(maps) < 2:
        return None
    order = np.random.default_rng([config.seed, 5]).permutation(len(maps))
    alarms = 0
    for fold in np.array_split(order, min(folds, len(maps))):
        left_out = set(fold.tolist())
        thresholds = estimate([maps[i] for i in order if i not in left_out], config)
        for index in fold:
            opened = anomaly_map(maps[index], thresholds, min_area=config.smallest_region)
            alarms += bool(opened.max() > 1)
    return alarms / len(maps)


def threshold_images(held_out: Sequence[Image], trained: Sequence[Image]) -> Sequence[Image]:
    """Return the images that set thresholds: the held-out ones; without any the last fifth, as in the reference."""
    return held_out or trained[-max(1, len(trained) // 5) :]
