"""Metrics of merit of anomaly scores and defect masks, and how far they can be trusted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, nan, sqrt
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssim_ae.maps.regions import label

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Indices = NDArray[np.integer[Any]]
Interval = tuple[float, float]

Z_95 = NormalDist().inv_cdf(0.975)  # standard deviations either way that hold 95 % of a normal distribution


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann and Whitney 1947).

    Scores and boolean labels share any shape. NaN where a class is missing.
    """
    scores, labels = _pair(scores, labels)
    # Sorted needles keep the search within the cache.
    negatives, positives = np.sort(scores[~labels]), np.sort(scores[labels])
    below = np.searchsorted(negatives, positives, side="left").sum()
    not_above = np.searchsorted(negatives, positives, side="right").sum()
    return _share((below + not_above) / 2, len(negatives) * len(positives))


def roc(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """False- and true-positive rates (steps + 1,) of `scores >= threshold`, and the falling thresholds.

    Every distinct score is a threshold, after a first one of infinity. The rate of a missing class is NaN.
    """
    scores, labels = _pair(scores, labels)
    order, ends = _falling(scores.ravel())
    positive = labels.ravel()[order]
    thresholds = np.concatenate([[inf], scores.ravel()[order[ends]]])
    return _rates(np.cumsum(~positive)[ends]), _rates(np.cumsum(positive)[ends]), thresholds


def pro_curve(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike]) -> tuple[Floats, Floats]:
    """False-positive rates and per-region overlaps (steps + 1,) of all maps at every distinct score, falling.

    Maps and boolean masks (rows, columns) come in pairs. The overlap is the mean, over the 8-connected
    regions of all masks, of the share of the region at or above the score; the rate is the share of the
    pixels outside all masks (Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, section 5). NaN
    where there are no such regions or pixels.
    """
    pairs = _pairs(maps, masks)
    order, ends = _falling(np.concatenate([scores.ravel() for scores, _ in pairs]))
    outside = np.concatenate([~mask.ravel() for _, mask in pairs])
    weights = np.concatenate([_region_weights(mask).ravel() for _, mask in pairs])
    return _rates(np.cumsum(outside[order])[ends]), _rates(np.cumsum(weights[order])[ends])


def area_under(rates: Floats, heights: Floats, *, limit: float = 1.0) -> float:
    """Area under a curve over rates 0..limit, as a share of the largest it can be; NaN if the curve is."""
    if not 0 < limit <= 1:
        raise ValueError(f"expected a limit above 0 and up to 1, got {limit}")
    if np.isnan(rates[-1]) or np.isnan(heights[-1]):
        return nan
    inside = np.searchsorted(rates, limit, side="right")
    cut_rates = np.append(rates[:inside], limit)
    cut_heights = np.append(heights[:inside], np.interp(limit, rates, heights))
    return float(np.diff(cut_rates) @ (cut_heights[1:] + cut_heights[:-1]) / 2 / limit)


def au_pro(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike], *, limit: float = 0.3) -> float:
    """Normalised area under the per-region overlap up to a false-positive rate, see `pro_curve`."""
    return area_under(*pro_curve(maps, masks), limit=limit)


def pixel_f1(predicted: Iterable[ArrayLike], truth: Iterable[ArrayLike]) -> float:
    """F1 score over all pixels of pairs of boolean masks (rows, columns); NaN where all are empty."""
    hits = marked = 0
    for found, mask in _pairs(predicted, truth):
        hits += int(np.count_nonzero(found.astype(bool) & mask))
        marked += int(np.count_nonzero(found) + np.count_nonzero(mask))
    return _share(2 * hits, marked)


def wilson(successes: int, total: int) -> Interval:
    """95 % score interval of a share; NaN for a total of 0 (Wilson 1927)."""
    if not 0 <= successes <= total:
        raise ValueError(f"expected 0 to {total} successes, got {successes}")
    if not total:
        return nan, nan
    failures = total - successes
    centre = successes + Z_95**2 / 2
    reach = Z_95 * sqrt(successes * failures / total + Z_95**2 / 4)
    low, high = ((centre + side) / (total + Z_95**2) for side in (-reach, reach))
    # Rounding must not push the bound of a share of 0 or 1 past it.
    return low if successes else 0.0, high if failures else 1.0


def bootstrap(
    statistic: Callable[[Indices], float], groups: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> Interval:
    """95 % percentile interval of a statistic of images (Efron and Tibshirani 1993, section 13.3).

    The statistic is given indices of images, drawn with replacement within each of the groups (images,).
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not groups.size:
        raise ValueError(f"expected groups (images,), got shape {groups.shape}")
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = (np.concatenate([rng.choice(group, len(group)) for group in members]) for _ in range(resamples))
    low, high = np.percentile([statistic(images) for images in drawn], [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Verdicts:
    """How many images of each kind were judged, and how many of them rightly."""

    good: int
    defective: int
    good_right: int
    defective_right: int

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> Self:
        """Judge images (images,) with a score above 1 defective; labels are true where they are."""
        scores, labels = _pair(scores, labels)
        right = (scores > 1) == labels
        counts = (~labels, labels, right & ~labels, right & labels)
        return cls(*(int(np.count_nonzero(count)) for count in counts))

    @property
    def ok(self) -> float:
        """Share of the good images judged good; NaN without any."""
        return _share(self.good_right, self.good)

    @property
    def nok(self) -> float:
        """Share of the defective images judged defective; NaN without any."""
        return _share(self.defective_right, self.defective)

    @property
    def avg(self) -> float:
        """Share of all images judged rightly; NaN without any."""
        return _share(self.good_right + self.defective_right, self.good + self.defective)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of `ok` and `nok`; NaN where a class is missing."""
        return (self.ok + self.nok) / 2


@dataclass(frozen=True)
class PixelHistograms:
    """Pixels of each image counted by score level (images, levels), so that images can be drawn anew.

    Its figures approach those of `auroc` and `au_pro` as levels become finer, and equal them from as many
    levels as pixels.
    """

    negatives: Floats
    positives: Floats
    regions: Floats  # Positives, each weighing one over the area of its region.

    @classmethod
    def of(cls, maps: Iterable[ArrayLike], masks: Iterable[ArrayLike], *, levels: int = 2000) -> Self:
        """Count pairs of maps and boolean masks (rows, columns) at up to `levels` quantiles of all scores."""
        pairs = _pairs(maps, masks)
        scores = np.sort(np.concatenate([scores.ravel() for scores, _ in pairs]))
        tops = np.unique(scores[np.linspace(0, len(scores) - 1, levels).round().astype(int)])
        levelled = [(np.searchsorted(tops, scores.ravel()), mask) for scores, mask in pairs]

        def count(weigh: Callable[[Mask], NDArray[Any]]) -> Floats:
            return np.stack([np.bincount(at, weigh(mask).ravel(), len(tops)) for at, mask in levelled])

        return cls(count(np.logical_not), count(np.asarray), count(_region_weights))

    def auroc(self, images: Indices) -> float:
        """Area under the ROC curve of the pixels of drawn images, given by their indices."""
        return area_under(_drawn_rates(self.negatives, images), _drawn_rates(self.positives, images))

    def au_pro(self, images: Indices, *, limit: float = 0.3) -> float:
        """Normalised area under the per-region overlap of drawn images, given by their indices."""
        rates, overlaps = _drawn_rates(self.negatives, images), _drawn_rates(self.regions, images)
        return area_under(rates, overlaps, limit=limit)


def _drawn_rates(histograms: Floats, images: Indices) -> Floats:
    draws = np.bincount(images, minlength=len(histograms))
    return _rates(np.cumsum((draws @ histograms)[::-1]))


def _rates(cumulated: NDArray[Any]) -> Floats:
    """From 0 to 1, NaN if nothing was cumulated."""
    rates: Floats = np.concatenate([[0.0], cumulated])
    return rates / (rates[-1] or nan)


def _falling(scores: Floats) -> tuple[Indices, Indices]:
    """Order of falling scores (pixels,), and where in it each distinct score ends."""
    if not scores.size:
        raise ValueError(f"expected scores, got shape {scores.shape}")
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    return order, np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)


def _region_weights(mask: Mask) -> Floats:
    """Zero outside, and one over the area of its region for every pixel of the mask."""
    labels, _ = label(mask)
    sizes = np.bincount(labels.ravel())
    weights: Floats = mask / sizes[labels]
    return weights


def _share(part: float, total: int) -> float:
    return float(part / total) if total else nan


def _pairs(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike]) -> list[tuple[Floats, Mask]]:
    maps, masks = list(maps), list(masks)
    if len(maps) != len(masks):
        raise ValueError(f"expected as many maps as masks, got {len(maps)} and {len(masks)}")
    return [_pair(scores, mask) for scores, mask in zip(maps, masks, strict=True)]


def _pair(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Mask]:
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if scores.shape != labels.shape:
        raise ValueError(f"expected scores and labels of one shape, got {scores.shape} and {labels.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"expected no NaN, got {np.isnan(scores).sum()} in scores of shape {scores.shape}")
    return scores, labels
