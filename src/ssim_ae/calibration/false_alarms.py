"""Estimate the score that new good images exceed at a given rate, from the scores of a few good images.

Model: a score is the maximum of many values, so scores follow a Gumbel distribution (Gumbel 1958, "Statistics of
Extremes"). Scores that differ by factors follow a Fréchet distribution: their logarithms follow a Gumbel distribution.

Fit: location and scale are computed from two quantiles of the scores, so one outlier has little influence. Real scores
follow the model only approximately, so the upper quantile moves into the tail as the number of scores grows.

Few scores: the limit is a prediction limit (Hahn and Meeker 1991, "Statistical Intervals"). It is `scales_to_limit`
scales above the fitted location, a factor at which the probability that a new score exceeds the limit, averaged over
all sets of scores, is the requested rate. It depends only on the numbers of scores and the rate; it is simulated.

Training images: their scores contribute to the shape of the distribution. The network has fitted these images, so their
scores are lower and less spread; they are moved to the median of the held-out scores and stretched to their spread.
For the Fréchet distribution, the relative distance from the median is stretched: stretched by 2, a score of 10 medians
becomes one of 19. Stretching the logarithm would make it 100. The simulated factor is therefore only approximate.

With training images, the limit is also raised until not too many held-out scores exceed it: at most as many as a
binomial test accepts at the requested rate, but always one.
"""

from functools import cache
from math import exp, lgamma, log, log1p
from typing import NamedTuple

import numpy as np

LOWER_QUANTILE = 0.1  # probability of the lower of the two quantiles that fix the distribution
MIN_TAIL_QUANTILE = 0.9  # probability of the upper one, for few scores
SCORES_ABOVE_TAIL_QUANTILE = 3  # number of scores above the upper one, for many scores
MIN_SIMULATED_COUNT = 10  # scores; fewer do not raise the limit further, the expected rate exceeds the requested one
MAX_SIMULATED_COUNT = 2_000  # scores; more do not change the limit noticeably
SIMULATED_SCORES = 2_000_000  # in all sets of one simulation; limits its memory
MAX_SIMULATED_SETS = 20_000  # sets of scores in one simulation
MAX_SCALES_TO_LIMIT = 1e6  # upper end of the bisection, in scales of the distribution
BISECTION_TOLERANCE = 1e-6  # relative width at which the bisection ends
INTERVAL_COVERAGE = 0.9  # probability of the interval of the expected rate
SIGNIFICANCE = 0.05  # level of the binomial test
MAX_STRETCH = 10.0  # factor by which training scores are stretched at most
OUTLIER_DISTANCE = 5.0  # median distances from the median; larger distances are clipped to it
MIN_POSITIVE = 1e-12  # lower bound of scores and spreads before a logarithm or a division
NO_SCORES = np.zeros(0)


class ExpectedRate(NamedTuple):
    """Expected false-alarm rate of a limit, and the bounds of its 90 % interval; shares in [0, 1]."""

    rate: float
    low: float
    high: float


def prediction_limit(
    scores: np.ndarray, rate: float, *, training_scores: np.ndarray = NO_SCORES, use_log: bool = False
) -> float:
    """Return the value that the score of a new good image exceeds with probability `rate`.

    `scores` (N,) of held-out images, N >= 2; `training_scores` (M,) of images that the network was trained on.
    `use_log`: fit the Gumbel distribution to the logarithms of the scores.
    Few scores make the probability larger than `rate`: see `expected_false_alarm_rate`.
    """
    pooled = pool_scores(scores, training_scores, use_log=use_log)
    if use_log:
        pooled = np.log(np.maximum(pooled, MIN_POSITIVE))
    location, scale = fit_gumbel(pooled, _tail_quantile(len(pooled), rate))
    fitted = location + scale * _scales_to_limit(len(scores), len(training_scores), rate)
    limit = float(np.exp(fitted) if use_log else fitted)
    if not len(training_scores):
        return limit
    descending = np.sort(scores)[::-1]
    return max(limit, float(descending[_max_exceedances(len(scores), rate)]))


def expected_false_alarm_rate(count: int, rate: float, *, training_count: int = 0) -> ExpectedRate:
    """Return the expected false-alarm rate of the `prediction_limit` of `count` held-out scores."""
    fits = _simulated_fits(
        min(count, MAX_SIMULATED_COUNT),
        min(training_count, MAX_SIMULATED_COUNT),
        _tail_quantile(count + training_count, rate),
    )
    rates = _exceedance_probability(*fits, _scales_to_limit(count, training_count, rate))
    low, high = np.quantile(rates, _interval_probabilities())
    return ExpectedRate(float(rates.mean()), float(low), float(high))


def expected_rate_above_maximum(count: int) -> ExpectedRate:
    """Return the expected false-alarm rate if the limit is the maximum of `count` scores.

    Whatever the distribution of the scores, the rate follows a Beta(1, count) distribution.
    """
    low, high = (1 - (1 - probability) ** (1 / count) for probability in _interval_probabilities())
    return ExpectedRate(1 / (count + 1), low, high)


def pool_scores(scores: np.ndarray, training_scores: np.ndarray, *, use_log: bool) -> np.ndarray:
    """Return held-out scores (N,) and rescaled training scores (M,) as one array (N + M,)."""
    if not len(training_scores):
        return scores
    match = match_relative_variance if use_log else match_variance
    return np.concatenate([scores, match(training_scores, scores)])


def match_variance(training_scores: np.ndarray, scores: np.ndarray, *, min_stretch: float = 1) -> np.ndarray:
    """Return training scores (..., M) moved to the median of `scores` (..., N) and stretched to their spread.

    The stretch is at least `min_stretch` and at most MAX_STRETCH.
    """
    median, spread = _median_and_spread(scores)
    training_median, training_spread = _median_and_spread(training_scores)
    stretch = np.clip(spread / np.maximum(training_spread, MIN_POSITIVE), min_stretch, MAX_STRETCH)
    matched: np.ndarray = median + stretch * (training_scores - training_median)
    return matched


def match_relative_variance(training_scores: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return training scores (M,) as `match_variance` does, with distances from the median measured as ratios.

    Stretched by 2, a score of 3 times the median becomes 5 times, and a third of the median becomes a fifth.
    """
    median, spread = _median_and_spread(scores)
    training_median, training_spread = _median_and_spread(training_scores)
    median, training_median = np.maximum(median, MIN_POSITIVE), np.maximum(training_median, MIN_POSITIVE)
    relative_spread = np.maximum(training_spread / training_median, MIN_POSITIVE)
    stretch = np.clip(spread / median / relative_spread, 1, MAX_STRETCH)
    factors = np.maximum(training_scores, MIN_POSITIVE) / training_median
    stretched = 1 + stretch * (np.maximum(factors, 1 / factors) - 1)
    matched: np.ndarray = median * np.where(factors > 1, stretched, 1 / stretched)
    return matched


def fit_gumbel(scores: np.ndarray, tail_quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Return location and scale (...) of the Gumbel distributions with the same two quantiles as scores (..., N).

    The quantiles are those at the probabilities LOWER_QUANTILE and `tail_quantile`.
    """
    low, high = np.quantile(scores, [LOWER_QUANTILE, tail_quantile], axis=-1)
    standard_low, standard_high = _standard_gumbel_quantile(LOWER_QUANTILE), _standard_gumbel_quantile(tail_quantile)
    scale = (high - low) / (standard_high - standard_low)
    return low - scale * standard_low, scale


def _median_and_spread(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return median and mean absolute distance from it, both (..., 1), of scores (..., N), with outliers clipped."""
    median = np.median(scores, axis=-1, keepdims=True)
    distances = np.abs(scores - median)
    largest = OUTLIER_DISTANCE * np.median(distances, axis=-1, keepdims=True)
    return median, np.minimum(distances, largest).mean(axis=-1, keepdims=True)


def _tail_quantile(count: int, rate: float) -> float:
    """Return the probability of the tail quantile for `count` scores: at most that of the limit itself."""
    many = 1 - SCORES_ABOVE_TAIL_QUANTILE / min(count, MAX_SIMULATED_COUNT)
    return min(1 - rate, max(MIN_TAIL_QUANTILE, many))


def _standard_gumbel_quantile(probability: float) -> float:
    return float(-np.log(-np.log(probability)))


def _exceedance_probability(locations: np.ndarray, scales: np.ndarray, scales_to_limit: float) -> np.ndarray:
    """Return the probability that a standard Gumbel variable exceeds the limit of each fit."""
    probabilities: np.ndarray = -np.expm1(-np.exp(-(locations + scales * scales_to_limit)))
    return probabilities


@cache
def _simulated_fits(count: int, training_count: int, tail_quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Return locations and scales fitted to many sets of scores from the standard Gumbel distribution.

    Simulated training scores are stretched by less than 1 as well. They have the spread of the held-out scores, so the
    estimated stretch is as often below 1 as above. Real ones have a smaller spread, and the error is also two-sided.
    """
    sets = min(MAX_SIMULATED_SETS, SIMULATED_SCORES // (count + training_count))
    scores = np.random.default_rng(0).gumbel(size=(sets, count + training_count))
    if training_count:
        scores[:, count:] = match_variance(scores[:, count:], scores[:, :count], min_stretch=0)
    return fit_gumbel(scores, tail_quantile)


@cache
def _scales_to_limit(count: int, training_count: int, rate: float) -> float:
    """Return the distance from location to limit, in scales, at which the mean exceedance probability is `rate`."""
    fits = _simulated_fits(
        min(max(count, MIN_SIMULATED_COUNT), MAX_SIMULATED_COUNT),
        min(training_count, MAX_SIMULATED_COUNT),
        _tail_quantile(count + training_count, rate),
    )
    low, high = 0.0, MAX_SCALES_TO_LIMIT
    while high - low > BISECTION_TOLERANCE * high:
        middle = (low + high) / 2
        if _exceedance_probability(*fits, middle).mean() > rate:
            low = middle
        else:
            high = middle
    return high


def _max_exceedances(count: int, rate: float) -> int:
    """Return how many of `count` scores may exceed the limit for a binomial test to accept `rate`.

    At least one and fewer than all may, whatever the test says.
    """
    exceedances, cumulative = 0, (1 - rate) ** count
    while 1 - cumulative >= SIGNIFICANCE and exceedances < count - 1:
        exceedances += 1
        log_combinations = lgamma(count + 1) - lgamma(exceedances + 1) - lgamma(count - exceedances + 1)
        cumulative += exp(log_combinations + exceedances * log(rate) + (count - exceedances) * log1p(-rate))
    return min(max(1, exceedances), count - 1)


def _interval_probabilities() -> tuple[float, float]:
    return (1 - INTERVAL_COVERAGE) / 2, (1 + INTERVAL_COVERAGE) / 2
