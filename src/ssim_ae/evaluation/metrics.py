"""Metrics of anomaly scores and defect masks, with confidence intervals."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, nan
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssim_ae.maps.regions import label
from ssim_ae.maps.verdict import is_defective

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Indices = NDArray[np.integer[Any]]
Interval = tuple[float, float]


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
    order, ends = _decreasing(scores.ravel())
    positive = labels.ravel()[order]
    thresholds = np.concatenate([[inf], scores.ravel()[order[ends]]])
    return _rates(np.cumsum(~positive)[ends]), _rates(np.cumsum(positive)[ends]), thresholds


def pro_curve(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike]) -> tuple[Floats, Floats]:
    """Return false-positive rates and per-region overlaps (steps + 1,) at every distinct score, in decreasing order.

    Maps and boolean masks are pairs of arrays (rows, columns). The overlap is the share of a region at or above the
    score, averaged over the 8-connected regions of all masks. The rate is the share, at or above the score, of the
    pixels outside all masks (Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, section 5). NaN if there
    are no regions or no pixels outside them.
    """
    pairs = _pairs(maps, masks)
    order, ends = _decreasing(np.concatenate([scores.ravel() for scores, _ in pairs]))
    outside = np.concatenate([~mask.ravel() for _, mask in pairs])
    weights = np.concatenate([_region_weights(mask).ravel() for _, mask in pairs])
    return _rates(np.cumsum(outside[order])[ends]), _rates(np.cumsum(weights[order])[ends])


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


def au_pro(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike], *, limit: float = 0.3) -> float:
    """Return the normalized area under the per-region overlap up to a false-positive rate; see `pro_curve`."""
    return area_under(*pro_curve(maps, masks), limit=limit)


def pixel_f1(predicted: Iterable[ArrayLike], truth: Iterable[ArrayLike]) -> float:
    """Return the F1 score over all pixels of pairs of boolean masks (rows, columns); NaN if all masks are empty."""
    hits = 0
    marked = 0
    for found, mask in _pairs(predicted, truth):
        hits += int(np.count_nonzero(found.astype(bool) & mask))
        marked += int(np.count_nonzero(found) + np.count_nonzero(mask))
    return _share(2 * hits, marked)


def bootstrap(
    statistic: Callable[[Indices], float], groups: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Return the 95 % percentile interval of a statistic of images (Efron and Tibshirani 1993, section 13.3).

    The images are resampled with replacement within each group. `groups` (images,) holds the group of each image;
    `statistic` gets the indices of the resampled images.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not groups.size:
        raise ValueError(f"expected groups (images,), got shape {groups.shape}")
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    resampled = (np.concatenate([rng.choice(group, len(group)) for group in members]) for _ in range(resamples))
    low, high = np.percentile([statistic(images) for images in resampled], [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Verdicts:
    """Numbers of good and defective images, and of those with the correct verdict."""

    good: int
    defective: int
    good_accepted: int
    defective_rejected: int

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> Self:
        """Count verdicts at the default threshold; scores and labels are (images,), labels are true for defective."""
        scores, labels = _pair(scores, labels)
        correct = is_defective(scores) == labels
        counts = (~labels, labels, correct & ~labels, correct & labels)
        return cls(*(int(np.count_nonzero(count)) for count in counts))

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


@dataclass(frozen=True)
class PixelHistograms:
    """Histograms of pixel scores (images, levels), from which the metrics of resampled images are computed quickly.

    The metrics approach those of `auroc` and `au_pro` as the number of levels grows, and are exact if there are at
    least as many levels as pixels.
    """

    negatives: Floats
    positives: Floats
    regions: Floats  # positives, each weighted by 1 / the area of its region in px

    @classmethod
    def of(cls, maps: Iterable[ArrayLike], masks: Iterable[ArrayLike], *, levels: int = 2000) -> Self:
        """Count pixels of pairs of maps and boolean masks (rows, columns) by up to `levels` quantiles of all scores."""
        pairs = _pairs(maps, masks)
        scores = np.sort(np.concatenate([scores.ravel() for scores, _ in pairs]))
        bounds = np.unique(scores[np.linspace(0, len(scores) - 1, levels).round().astype(int)])
        binned = [(np.searchsorted(bounds, scores.ravel()), mask) for scores, mask in pairs]

        def count(weights_of: Callable[[Mask], NDArray[Any]]) -> Floats:
            return np.stack([np.bincount(bins, weights_of(mask).ravel(), len(bounds)) for bins, mask in binned])

        return cls(count(np.logical_not), count(np.asarray), count(_region_weights))

    def auroc(self, images: Indices) -> float:
        """Return the area under the ROC curve of the pixels of the images with these indices."""
        return area_under(_resampled_rates(self.negatives, images), _resampled_rates(self.positives, images))

    def au_pro(self, images: Indices, *, limit: float = 0.3) -> float:
        """Return the normalized area under the per-region overlap of the images with these indices."""
        rates, overlaps = _resampled_rates(self.negatives, images), _resampled_rates(self.regions, images)
        return area_under(rates, overlaps, limit=limit)


def _resampled_rates(histograms: Floats, images: Indices) -> Floats:
    weights = np.bincount(images, minlength=len(histograms))
    return _rates(np.cumsum((weights @ histograms)[::-1]))


def _rates(cumulative: NDArray[Any]) -> Floats:
    """Normalize cumulative counts to rates from 0 to 1; NaN if the total is 0."""
    rates: Floats = np.concatenate([[0.0], cumulative])
    return rates / (rates[-1] or nan)


def _decreasing(scores: Floats) -> tuple[Indices, Indices]:
    """Return the decreasing order of scores (pixels,), and the last position of each distinct score in it."""
    if not scores.size:
        raise ValueError(f"expected scores, got shape {scores.shape}")
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    return order, np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)


def _region_weights(mask: Mask) -> Floats:
    """Return 1 / the area of its region for each pixel of the mask, 0 outside the mask."""
    labels, _ = label(mask)
    sizes = np.bincount(labels.ravel())
    weights: Floats = mask / sizes[labels]
    return weights


def _share(part: float, total: int) -> float:
    return float(part / total) if total else nan


def _pairs(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike]) -> list[tuple[Floats, Mask]]:
    maps, masks = list(maps), list(masks)
    if len(maps) != len(masks):
        raise ValueError(f"expected equal numbers of maps and masks, got {len(maps)} and {len(masks)}")
    return [_pair(scores, mask) for scores, mask in zip(maps, masks, strict=True)]


def _pair(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Mask]:
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if scores.shape != labels.shape:
        raise ValueError(f"expected scores and labels of the same shape, got {scores.shape} and {labels.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"expected no NaN, got {np.isnan(scores).sum()} in scores of shape {scores.shape}")
    return scores, labels
