"""Calibrate a detector: thresholds from good images it has not learned from, and what they promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ssim_ae.calibration.false_alarms import ExpectedRate
from ssim_ae.calibration.thresholds import estimate, few_images_notes, promised
from ssim_ae.config import Config
from ssim_ae.console import note, progress
from ssim_ae.detector.detector import Detector
from ssim_ae.errors import InputError
from ssim_ae.maps.coarse_residuals import NormalStatistics, cross_fitted
from ssim_ae.maps.residuals import Residuals, Thresholds, anomaly_map

FOLDS = 5
MOST_LEARNED, MOST_PIXELS = 200, 2**24  # images that were learned from: more tell no more about how scores spread
MOST_NAMED = 10  # files
GIVEN = "given"  # the estimator, where there was none
Image = TypeVar("Image")  # a path or a hash


class Calibration(NamedTuple):
    """Thresholds, the residuals usual in good images where they are relative to them, and how both came about."""

    thresholds: Thresholds
    usual: NormalStatistics | None
    origin: dict[str, Any]


def calibrate(detector: Detector, paths: Sequence[Path], config: Config, learned: Sequence[Path] = ()) -> Calibration:
    """Estimate thresholds as `config` says from the good images at `paths`, without those that cannot be read.

    Of those that were `learned` from, `repair` takes what is usual too, and how scores spread. Where the config gives
    both thresholds, and nothing else is to be found out, no image is looked at.
    """
    given = Thresholds(config.ssim_threshold, config.l1_threshold)
    if min(given) >= 0 and (config.method == "reference" or not paths):
        return given_thresholds(given)
    names, maps = _residuals(detector, paths)
    known, usual = list[Residuals](), None
    if config.method == "repair" and maps:
        most = min(MOST_LEARNED, MOST_PIXELS // maps[0].ssim.size)
        known_names, known = _residuals(detector, _evenly(learned, most))
        names, usual, both = names + known_names, NormalStatistics.of(maps + known), cross_fitted(maps + known)
        maps, known = both[: len(maps)], both[len(maps) :]
    if min(given) >= 0:
        return given_thresholds(given, usual)
    thresholds = estimate(maps, config, known)
    told = promised(len(maps), config, len(known))
    origin = {
        "estimator": config.threshold,
        "false_alarm_rate": config.false_alarm_rate,
        "percent": config.percent,
        "k_sigma": config.k_sigma,
        "min_area": config.min_area,
        "given": given._asdict(),
        "good_images": len(maps),
        "learned_images": len(known) if told and config.threshold == "false_alarm_rate" else 0,
        "promise": told._asdict() if told else None,
        "false_alarms": false_alarms(maps, config, known),
    }
    for text in few_images_notes(maps, config, len(known)):
        note(text)
    if told:  # by other rules so many are defective that their names say nothing
        _note_defective(names, maps + known, thresholds, config)
    return Calibration(thresholds, usual, origin)


def given_thresholds(thresholds: Thresholds, usual: NormalStatistics | None = None) -> Calibration:
    """Return thresholds that somebody gave: they rest on no images, and promise nothing."""
    origin = {
        "estimator": GIVEN,
        "given": thresholds._asdict(),
        "good_images": 0,
        "promise": None,
        "false_alarms": None,
    }
    return Calibration(thresholds, usual, origin)


def _residuals(detector: Detector, paths: Sequence[Path]) -> tuple[list[str], list[Residuals]]:
    """Return the names of the images that can be read, and their residuals."""
    names, maps = list[str](), list[Residuals]()
    with progress("estimating thresholds", len(paths)) as bar:
        for path, found in zip(paths, detector.residuals_all(paths), strict=True):
            bar.advance()
            if isinstance(found, InputError):
                note(f"left out: {found}")
            else:
                names.append(path.name)
                maps.append(found)
    return names, maps


def _note_defective(names: Sequence[str], good: Sequence[Residuals], thresholds: Thresholds, config: Config) -> None:
    """Name the good images that would be called defective, the farthest from good first: perhaps they are."""
    scores = [_score(maps, thresholds, config) for maps in good]
    defective = [name for score, name in sorted(zip(scores, names, strict=True), reverse=True) if score > 1]
    if defective:
        named = ", ".join(defective[:MOST_NAMED]) + (", ..." if len(defective) > MOST_NAMED else "")
        note(f"{len(defective)} of {len(good)} good images would be called defective; are they good? {named}")


def _score(maps: Residuals, thresholds: Thresholds, config: Config) -> float:
    opened = anomaly_map(maps, thresholds, method=config.method, min_area=config.smallest_region)
    return float(opened.max())


def _evenly(paths: Sequence[Path], most: int) -> Sequence[Path]:
    return [paths[index] for index in np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int)]


def in_words(origin: Mapping[str, Any]) -> str:
    """Say what the limit rests on, of a calibration's `origin`."""
    words = f"{origin['estimator']} on {origin['good_images']} good images"
    if learned := origin.get("learned_images"):
        words += f", and the spread of {learned} it learned from"
    if told := origin.get("promise"):
        rate, low, high = (100 * told[name] for name in ExpectedRate._fields)
        words += f", promises {rate:.2g} % false alarms (90 % interval {low:.2g}-{high:.2g} %)"
    if (alarms := origin["false_alarms"]) is not None:
        words += f"; cross-validated, {100 * alarms:.1f} % of them are called defective"
    return words


def false_alarms(maps: Sequence[Residuals], config: Config, learned: Sequence[Residuals] = ()) -> float | None:
    """Return the share of good images called defective by thresholds estimated without them; None below 2 images."""
    if len(maps) < 2:
        return None
    order = np.random.default_rng([config.seed, 5]).permutation(len(maps))
    alarms = 0
    for fold in np.array_split(order, min(FOLDS, len(maps))):
        left_out = set(fold.tolist())
        thresholds = estimate([maps[i] for i in order if i not in left_out], config, learned)
        for index in fold:
            alarms += _score(maps[index], thresholds, config) > 1
    return alarms / len(maps)


def threshold_images(held_out: Sequence[Image], trained: Sequence[Image]) -> tuple[Sequence[Image], Sequence[Image]]:
    """Return the images that set thresholds, and those beside them that were learned from.

    They are the held-out ones; without any the last fifth, as in the reference.
    """
    fifth = max(1, len(trained) // 5)
    return (held_out, trained) if held_out else (trained[-fifth:], trained[:-fifth])
