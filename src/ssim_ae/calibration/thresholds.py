"""Estimators of thresholds, from good images alone.

`percent` is the reference's: a percentile of the pixels of each residual. The others use the anomaly maps: each
residual by itself gets the threshold that the estimator returns, divided by the weight of the residual; then one common
factor scales both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, prod, sqrt

import numpy as np

from ssim_ae.calibration.false_alarms import (
    ExpectedRate,
    expected_false_alarm_rate,
    expected_rate_above_maximum,
    prediction_limit,
)
from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.maps.area import level_of_area
from ssim_ae.maps.residuals import Residuals, Thresholds
from ssim_ae.methods import method_of
from ssim_ae.network.ssim import WINDOW
from ssim_ae.spelling import counted

FEW_IMAGES = 20  # with fewer held-out images a warning is printed
FEW_WINDOWS = 10  # with fewer independent SSIM windows above a percentile a warning is printed
WINDOW_AREA = WINDOW**2  # px: neighboring pixels share their SSIM window
ROUNDING_MARGIN = 1 + 1e-5  # the maximum held-out score must not round to more than the threshold


def given_thresholds(config: Config) -> Thresholds | None:
    """Return the thresholds that a configuration gives; None unless it gives all."""
    given = config.given_thresholds
    return given if len(given) == len(method_of(config).residual_names) else None


def estimate(held_out: Sequence[Residuals], config: Config, training: Sequence[Residuals] = ()) -> Thresholds:
    """Return the thresholds of the estimator `config.threshold`; a threshold in the configuration is kept.

    `false_alarm_rate` uses the spread of the scores of `training` images as well. Raises InputError without held-out
    images, unless all thresholds are given, and if every image is background.
    """
    if given := given_thresholds(config):
        return given
    if not held_out:
        options = " and ".join(f"--{name}_threshold" for name in method_of(config).residual_names)
        raise InputError(f"thresholds: no good images to estimate them from; give {options}")
    if not any(maps.weights.any() for maps in held_out):
        where = "background or ignored" if config.regions else "background"
        raise InputError(f"bg_mask {config.bg_mask}: every good image is all {where}; leave it empty")
    if config.threshold == "percent":
        estimated = method_of(config).thresholds(percentiles(held_out, config.percent))
    else:
        estimated = _balanced(held_out, config, training)
    return {**estimated, **config.given_thresholds}


def percentiles(held_out: Sequence[Residuals], percent: float) -> list[float]:
    """Return the `percent`-th percentile of all pixels of each residual, as the reference does.

    With regions, it is that of the pixels with a weight, multiplied by it.
    """
    maps = np.concatenate([_counted(residuals) for residuals in held_out], axis=1)
    return [float(np.percentile(pixels, percent)) for pixels in maps]


def _counted(residuals: Residuals) -> np.ndarray:
    """Return the pixels of each residual that count for percentiles, (R, pixels)."""
    maps, weights = residuals
    if weights.dtype == bool:  # the reference counts the background, too
        return maps.reshape(len(maps), -1)
    counted_pixels: np.ndarray = (maps * weights)[:, weights > 0]
    return counted_pixels


def mean_and_deviations(scores: np.ndarray, k_sigma: float) -> float:
    """Return mean + `k_sigma` standard deviations of one more score, estimated from scores (N,), N >= 2."""
    return float(scores.mean() + k_sigma * scores.std(ddof=1) * sqrt(1 + 1 / len(scores)))


def expected_rate(held_out: int, config: Config, training: int = 0) -> ExpectedRate | None:
    """Return the false-alarm rate to expect of an estimate from so many images; None if the estimator has none."""
    if not held_out or config.given_thresholds:
        return None
    if config.threshold == "max" or (config.threshold == "false_alarm_rate" and held_out == 1):
        return expected_rate_above_maximum(held_out)
    if config.threshold != "false_alarm_rate":
        return None
    return expected_false_alarm_rate(held_out, config.false_alarm_rate, training_count=training)


def few_images_warnings(held_out: Sequence[Residuals], config: Config, training: int = 0) -> Iterator[str]:
    """Yield a warning for each respect in which the held-out images are few for the estimator."""
    windows = sum(prod(residuals.size) for residuals in held_out) / WINDOW_AREA
    above = windows * (100 - config.percent) / 100
    if config.threshold == "percent" and above < FEW_WINDOWS:
        yield (
            f"thresholds: {counted(len(held_out), 'good image')} for percentile {config.percent:g}, too few "
            f"(about {counted(round(above), 'independent window')} above it); lower percent or hold out more images"
        )
    if len(held_out) < FEW_IMAGES:
        expected = expected_rate(len(held_out), config, training)
        rates = f"; up to {100 * expected.high:.1f} % of new good images may be rejected" if expected else ""
        yield f"thresholds: estimated from only {counted(len(held_out), 'good image')}{rates}; add good images"


def _balanced(held_out: Sequence[Residuals], config: Config, training: Sequence[Residuals]) -> Thresholds:
    """Estimate all thresholds; a residual whose threshold is given is left out of the estimate of the others."""
    method = method_of(config)
    alone = dict.fromkeys(method.residual_names, inf)
    thresholds = dict(alone)
    for name, weight in zip(method.residual_names, method.residual_weights(config), strict=True):
        if name not in config.given_thresholds:
            thresholds[name] = _estimated_threshold(held_out, alone | {name: 1.0}, config, training) / weight
    factor = _estimated_threshold(held_out, thresholds, config, training)
    return {name: value * factor for name, value in thresholds.items()}


def _estimated_threshold(
    held_out: Sequence[Residuals], thresholds: Thresholds, config: Config, training: Sequence[Residuals]
) -> float:
    """Return the estimator's threshold of the anomaly maps under preliminary `thresholds` of the residuals."""
    method = method_of(config)
    maps = [method.anomaly_map(residuals, thresholds) for residuals in held_out]
    if config.threshold == "max_area":  # the paper's rule (Bergmann et al. 2018, section 4.2)
        return max(float(level_of_area(anomaly, config.min_area)) for anomaly in maps) * ROUNDING_MARGIN
    scores = _scores(maps)
    if config.threshold == "max" or len(scores) == 1:
        return float(scores.max()) * ROUNDING_MARGIN
    if config.threshold == "k_sigma":
        return mean_and_deviations(scores, config.k_sigma)
    training_scores = _scores([method.anomaly_map(residuals, thresholds) for residuals in training])
    use_log = method.score_distribution == "frechet"
    limit = prediction_limit(scores, config.false_alarm_rate, training_scores=training_scores, use_log=use_log)
    return limit * ROUNDING_MARGIN


def _scores(maps: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([anomaly.max() for anomaly in maps], np.float64)
