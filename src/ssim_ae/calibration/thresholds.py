"""Thresholds from good images alone.

`percent` is the reference's: a percentile of each residual's pixels. The others look at the opened maps that verdicts
come from: each residual by itself gets the threshold that the estimator gives it (L1 with `repair` four times that, so
that it counts for a quarter), then both together one factor.
"""

from collections.abc import Iterator, Sequence
from math import inf, sqrt

import numpy as np

from ssim_ae.calibration.false_alarms import (
    ExpectedRate,
    expected_false_alarm_rate,
    expected_rate_above_maximum,
    prediction_limit,
)
from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.maps.residuals import Residuals, Thresholds, anomaly_map, level_of_area

FEW_WINDOWS, FEW_IMAGES = 10, 20  # fewer are worth a warning
L1_WEIGHT = 0.25  # of the L1 residual beside SSIM's, with `repair`: a little more light is enough to raise it
JUST_ABOVE = 1 + 1e-5  # the largest held-out score must not round to more than the limit


def estimate(held_out: Sequence[Residuals], config: Config, learned: Sequence[Residuals] = ()) -> Thresholds:
    """Return the thresholds for `config.threshold`; a threshold >= 0 in the config overrides its estimate.

    `learned`: of images that were learned from; `false_alarm_rate` looks at how their scores spread.
    InputError without held-out images, unless both thresholds are given, and where all is background.
    """
    given = Thresholds(config.ssim_threshold, config.l1_threshold)
    if min(given) >= 0:
        return given
    if not held_out:
        raise InputError("no good images to estimate thresholds from")
    if not any(maps.foreground.any() for maps in held_out):
        raise InputError(f"bg_mask {config.bg_mask}: every good image is all background; leave it empty")
    if config.threshold == "percent":
        estimated = percentiles(held_out, config.percent)
    else:
        estimated = _balanced(held_out, config, learned, given)
    return Thresholds(*(fixed if fixed >= 0 else found for fixed, found in zip(given, estimated, strict=True)))


def percentiles(held_out: Sequence[Residuals], percent: float) -> Thresholds:
    """Return the `percent`-th percentile of all residual pixels, as the reference does."""
    return Thresholds(
        float(np.percentile(np.stack([maps.ssim for maps in held_out]), percent)),
        float(np.percentile(np.stack([maps.l1 for maps in held_out]), percent)),
    )


def mean_and_deviations(scores: np.ndarray, k_sigma: float) -> float:
    """Return the mean of (N,) scores + `k_sigma` deviations of one more score around a mean of few; N >= 2."""
    return float(scores.mean() + k_sigma * scores.std(ddof=1) * sqrt(1 + 1 / len(scores)))


def promised(images: int, config: Config, learned: int = 0) -> ExpectedRate | None:
    """Return what an estimate from so many images promises of new good ones, if it promises anything."""
    if not images or max(config.ssim_threshold, config.l1_threshold) >= 0:
        return None
    if config.threshold == "max" or (config.threshold == "false_alarm_rate" and images == 1):
        return expected_rate_above_maximum(images)
    if config.threshold != "false_alarm_rate":
        return None
    return expected_false_alarm_rate(images, config.false_alarm_rate, training_count=learned)


def few_images_notes(held_out: Sequence[Residuals], config: Config, learned: int = 0) -> Iterator[str]:
    """Yield warnings where the held-out images are too few for what is asked of them."""
    windows = sum(maps.ssim.size for maps in held_out) / 11**2  # neighbouring px share their SSIM window
    above = windows * (100 - config.percent) / 100
    if config.threshold == "percent" and above < FEW_WINDOWS:
        yield (
            f"{len(held_out)} good images are few for the {config.percent:g}th percentile: "
            f"it rests on about {above:.0f} independent windows; lower percent or hold out more"
        )
    if len(held_out) < FEW_IMAGES:
        told = promised(len(held_out), config, learned)
        rates = f": up to {100 * told.high:.1f} % of new good images may be called defective" if told else ""
        yield f"thresholds rest on {len(held_out)} good images{rates}; more good images make them surer"


def _balanced(
    held_out: Sequence[Residuals], config: Config, learned: Sequence[Residuals], given: Thresholds
) -> Thresholds:
    """Estimate both; one that is given takes its residual out of the search for the other."""
    ssim = _limit(held_out, Thresholds(1, inf), config, learned) if given.ssim < 0 else inf
    l1 = _limit(held_out, Thresholds(inf, 1), config, learned) if given.l1 < 0 else inf
    if config.method == "repair":
        l1 /= L1_WEIGHT
    together = _limit(held_out, Thresholds(ssim, l1), config, learned)
    return Thresholds(ssim * together, l1 * together)


def _limit(
    held_out: Sequence[Residuals], thresholds: Thresholds, config: Config, learned: Sequence[Residuals]
) -> float:
    """Return the value of the anomaly maps under `thresholds` that the estimator makes the limit."""
    maps = [anomaly_map(maps, thresholds, method=config.method) for maps in held_out]
    if config.threshold == "max_area":  # the paper's rule (Bergmann et al. 2018, section 4.2)
        return max(float(level_of_area(opened, config.min_area)) for opened in maps) * JUST_ABOVE
    scores = np.array([opened.max() for opened in maps], np.float64)
    if config.threshold == "max" or len(scores) == 1:
        return float(scores.max()) * JUST_ABOVE
    if config.threshold == "k_sigma":
        return mean_and_deviations(scores, config.k_sigma)
    learned_scores = np.array(
        [anomaly_map(maps, thresholds, method=config.method).max() for maps in learned], np.float64
    )
    by_factors = config.method == "repair"  # for its residuals are multiples of what is usual
    return (
        prediction_limit(scores, config.false_alarm_rate, training_scores=learned_scores, log_scores=by_factors)
        * JUST_ABOVE
    )
