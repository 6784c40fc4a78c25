"""Metrics of anomaly scores and defect masks, with confidence intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssim_ae.maps.verdict import is_defective

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Indices = NDArray[np.integer[Any]]


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the probability that a positive scores above a negative; ties count half (Mann and Whitney 1947).

    Scores and boolean labels have the same shape, which is arbitrary. NaN if a class is missing.
    """
    scores, labels = _pair(scores, labels)
    # Searching for sorted values keeps memory accesses within the cache.
    negatives, positives = np.sort(scores[~labels]), np.sort(scores[labels])
    below = np.searchsorted(negatives, positives, side="left").sum()
    not_above = np.searchsorted(negatives, positives, side="right").sum()
    return _share((below + not_above) / 2, len(negatives) * len(positives))


def roc(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return false-positive rates, true-positive rates and the decreasing thresholds, each (steps + 1,).

    A score is positive if it is at or above the threshold. The first threshold is infinity, the others are the
    distinct scores. The rates of a missing class are NaN.
    """
    scores, labels = _pair(scores, labels)
    if not scores.size:
        raise ValueError(f"expected scores, got shape {scores.shape}")
    order = np.argsort(scores, axis=None)[::-1]
    descending, positive = scores.ravel()[order], labels.ravel()[order]
    ends = np.append(np.flatnonzero(descending[1:] != descending[:-1]), len(order) - 1)  # of equal scores
    thresholds = np.concatenate([[inf], descending[ends]])
    return rates(np.cumsum(~positive)[ends]), rates(np.cumsum(positive)[ends]), thresholds


def rates(cumulative: NDArray[Any]) -> Floats:
    """Divide cumulative counts (steps,) by the total: rates (steps + 1,) from 0 to 1; NaN if the total is 0."""
    steps: Floats = np.concatenate([[0.0], cumulative])
    return steps / (steps[-1] or nan)


def area_under(rates: Floats, heights: Floats, *, limit: float = 1.0) -> float:
    """Return the area under a curve over rates from 0 to `limit`, divided by `limit`; NaN if the curve is NaN."""
    if not 0 < limit <= 1:
        raise ValueError(f"expected a limit above 0 and up to 1, got {limit}")
    if np.isnan(rates[-1]) or np.isnan(heights[-1]):
        return nan
    inside = np.searchsorted(rates, limit, side="right")
    cut_rates = np.append(rates[:inside], limit)
    cut_heights = np.append(heights[:inside], np.interp(limit, rates, heights))
    return float(np.diff(cut_rates) @ (cut_heights[1:] + cut_heights[:-1]) / 2 / limit)


def draw_samples(groups: ArrayLike, *, resamples: int = 1000, seed: int = 0) -> Iterator[Indices]:
    """Yield the indices of all images, then of `resamples` random samples of them, each (images,).

    The images are drawn with replacement within each group. `groups` (images,) holds the group of each image.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not groups.size:
        raise ValueError(f"expected groups (images,), got shape {groups.shape}")
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    yield np.arange(len(groups), dtype=np.int32)
    for _ in range(resamples):
        yield np.concatenate([rng.choice(group, len(group)) for group in members]).astype(np.int32)


def bootstrap_samples(groups: ArrayLike, *, resamples: int = 1000, seed: int = 0) -> Indices:
    """Return what `draw_samples` yields, (1 + resamples, images)."""
    return np.stack(list(draw_samples(groups, resamples=resamples, seed=seed)))


def percentile_interval(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Return the 95 % percentile interval of the values of bootstrap samples (Efron and Tibshirani 1993, 13.3)."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Verdicts:
    """Numbers of good and defective images or pixels, and of those with the correct verdict."""

    good: int
    defective: int
    good_accepted: int
    defective_rejected: int

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> Self:
        """Count verdicts at the default threshold; labels are true for defective, and have the shape of the scores."""
        scores, labels = _pair(scores, labels)
        correct = is_defective(scores) == labels
        counts = (~labels, labels, correct & ~labels, correct & labels)
        return cls(*(int(np.count_nonzero(count)) for count in counts))

    def __add__(self, other: Self) -> Self:
        return replace(self, **{name: number + getattr(other, name) for name, number in vars(self).items()})

    @property
    def ok(self) -> float:
        """Share of good images that are accepted; NaN without good images."""
        return _share(self.good_accepted, self.good)

    @property
    def nok(self) -> float:
        """Share of defective images that are rejected; NaN without defective images."""
        return _share(self.defective_rejected, self.defective)

    @property
    def avg(self) -> float:
        """Share of all images with the correct verdict; NaN without images."""
        return _share(self.good_accepted + self.defective_rejected, self.good + self.defective)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of `ok` and `nok`; NaN if a class is missing."""
        return (self.ok + self.nok) / 2


def _share(part: float, total: int) -> float:
    return float(part / total) if total else nan


def _pair(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Mask]:
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if scores.shape != labels.shape:
        raise ValueError(f"expected scores and labels of the same shape, got {scores.shape} and {labels.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"expected no NaN, got {np.isnan(scores).sum()} in scores of shape {scores.shape}")
    return scores, labels
