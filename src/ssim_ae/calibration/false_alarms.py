"""The limit that new good images exceed at a stated rate, from the scores of a few.

A score is the highest of many values, and such maxima follow Gumbel's law (Gumbel 1958, "Statistics of Extremes"), or
where they differ by factors their logarithms do, which is Fréchet's law. Its two numbers come from two quantiles of the
scores, so that one spoilt image among the good ones does not move the limit far; the upper of them lies the further out
the more scores there are, for out there the law is only nearly theirs. How much further out the limit must lie because
the scores are few is drawn: of Gumbel's law, it is the same for all scores.

Images that a network has learned from tell the shape of it all, but what is odd about them has been learned too: their
scores are moved to the median of the others, and stretched where the others lie further apart. Factors are stretched as
they are and not their logarithms, for what is odd although it was learned is not raised to a power where it is new; so
of them the reach is only nearly what was drawn. And no more of the others may exceed the limit than the rate makes
credible, though always one.
"""

from functools import cache
from math import exp, lgamma, log, log1p
from typing import NamedTuple

import numpy as np

LOW, HIGH = 0.1, 0.9  # the quantiles, where there are few scores ...
BEYOND = 3  # ... and where there are more, so many lie beyond the upper one
DRAWN, MOST_DRAWN = 2_000_000, 20_000  # scores and sets of scores
FEWEST, ENOUGH = 10, 2_000  # fewer scores do not move the limit further out, but break the promise; more do not move it
FARTHEST = 1e6  # scales of the law, from its location to a limit
SURE = 0.9  # of the interval around a promise
LEAST = 1e-12  # of a score that has a logarithm, and of a spread
WIDEST = 10  # times as far apart as the learned scores, that others are
FAR = 5  # times the median distance from the median
CREDIBLE = 0.05  # the probability of that many scores above the limit, or more
NONE = np.zeros(0)


class Promise(NamedTuple):
    """The expected share of new good images above a limit, and the 90 % interval around it."""

    rate: float
    low: float
    high: float


def limit(scores: np.ndarray, rate: float, *, learned: np.ndarray = NONE, by_factors: bool = False) -> float:
    """Return the limit that one more score after (N,) exceeds with the probability `rate`, or `promise`; N >= 2.

    `learned` (M,): scores of images that were learned from. `by_factors`: scores differ by factors, not differences.
    """
    high, reach = _high(len(scores) + len(learned), rate), _reach(len(scores), len(learned), rate)
    if by_factors:
        location, scale = _fitted(np.log(np.maximum(_with_learned_factors(scores, learned), LEAST)), high)
        by_law = float(np.exp(location + scale * reach))
    else:
        location, scale = _fitted(_with_learned(scores, learned), high)
        by_law = float(location + scale * reach)
    return max(by_law, float(np.sort(scores)[::-1][_credible(len(scores), rate)])) if len(learned) else by_law


def promise(count: int, rate: float, *, learned: int = 0) -> Promise:
    """Return what `limit` from `count` scores, and so many `learned` ones, promises."""
    drawn = _drawn(min(count, ENOUGH), min(learned, ENOUGH), _high(count + learned, rate))
    shares = _exceeded(*drawn, _reach(count, learned, rate))
    low, high = np.quantile(shares, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Promise(float(shares.mean()), float(low), float(high))


def promise_of_highest(count: int) -> Promise:
    """Return what the highest of `count` scores promises as the limit, whatever their law: it is Beta's (1, count)."""
    low, high = (1 - (1 - share) ** (1 / count) for share in ((1 - SURE) / 2, (1 + SURE) / 2))
    return Promise(1 / (count + 1), low, high)


def _credible(count: int, rate: float) -> int:
    """Return how many of so many scores may exceed their limit, by the binomial law; at least one, but not all."""
    exceeding, fewer = 0, (1 - rate) ** count
    while 1 - fewer >= CREDIBLE and exceeding < count - 1:
        exceeding += 1
        ways = lgamma(count + 1) - lgamma(exceeding + 1) - lgamma(count - exceeding + 1)
        fewer += exp(ways + exceeding * log(rate) + (count - exceeding) * log1p(-rate))
    return min(max(1, exceeding), count - 1)


def _high(count: int, rate: float) -> float:
    """Return the upper quantile for so many scores: no further out than the limit."""
    return min(1 - rate, max(HIGH, 1 - BEYOND / min(count, ENOUGH)))


def _with_learned(scores: np.ndarray, learned: np.ndarray, *, narrowest: float = 1) -> np.ndarray:
    """(..., N) and (..., M) -> (..., N + M), the learned ones moved to the median of the others and stretched.

    They are stretched by `narrowest` at least, WIDEST at most.
    """
    if not learned.shape[-1]:
        return scores
    (median, spread), (own_median, own_spread) = map(_median_and_spread, (scores, learned))
    wider = np.clip(spread / np.maximum(own_spread, LEAST), narrowest, WIDEST)
    return np.concatenate([scores, median + wider * (learned - own_median)], axis=-1)


def _with_learned_factors(scores: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """(N,) and (M,) -> (N + M,), as above: stretched by two, 3 times the median are 5 times, and a third is a fifth."""
    if not len(learned):
        return scores
    (median, spread), (own_median, own_spread) = map(_median_and_spread, (scores, learned))
    median, own_median = np.maximum(median, LEAST), np.maximum(own_median, LEAST)
    wider = np.clip(spread / median / np.maximum(own_spread / own_median, LEAST), 1, WIDEST)
    factors = np.maximum(learned, LEAST) / own_median
    stretched = 1 + wider * (np.maximum(factors, 1 / factors) - 1)
    return np.concatenate([scores, median * np.where(factors > 1, stretched, 1 / stretched)])


def _fitted(scores: np.ndarray, upper: float) -> tuple[np.ndarray, np.ndarray]:
    """(..., N) -> location and scale (...) of the law with the same two quantiles, LOW and `upper`."""
    low, high = np.quantile(scores, [LOW, upper], axis=-1)
    scale = (high - low) / (_quantile(upper) - _quantile(LOW))
    return low - scale * _quantile(LOW), scale


def _median_and_spread(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., N) -> their median and mean distance from it, (..., 1), where none counts for more than FAR usual ones."""
    median = np.median(scores, axis=-1, keepdims=True)
    away = np.abs(scores - median)
    return median, np.minimum(away, FAR * np.median(away, axis=-1, keepdims=True)).mean(axis=-1, keepdims=True)


def _quantile(share: float) -> float:
    return float(-np.log(-np.log(share)))


@cache
def _drawn(count: int, learned: int, upper: float) -> tuple[np.ndarray, np.ndarray]:
    """Location and scale fitted to each of many sets of scores of the law with location 0 and scale 1.

    The learned ones are shrunk too: where they are in fact narrower, their stretch is as uncertain either way.
    """
    sets = min(MOST_DRAWN, DRAWN // (count + learned))
    drawn = np.random.default_rng(0).gumbel(size=(sets, count + learned))
    return _fitted(_with_learned(drawn[:, :count], drawn[:, count:], narrowest=0), upper)


@cache
def _reach(count: int, learned: int, rate: float) -> float:
    """How many scales from its location the limit lies, for the expected rate."""
    upper = _high(count + learned, rate)
    drawn = _drawn(min(max(count, FEWEST), ENOUGH), min(learned, ENOUGH), upper)
    low, high = 0.0, FARTHEST
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        if _exceeded(*drawn, middle).mean() > rate:
            low = middle
        else:
            high = middle
    return high


def _exceeded(locations: np.ndarray, scales: np.ndarray, reach: float) -> np.ndarray:
    """The share of all scores that exceeds the limit set by each set of scores."""
    shares: np.ndarray = -np.expm1(-np.exp(-(locations + scales * reach)))
    return shares
