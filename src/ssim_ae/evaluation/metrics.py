"""Figures of merit of anomaly scores and defect masks, and how far they can be trusted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssim_ae.detection.regions import label

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Interval = tuple[float, float]


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann and Whitney 1947).

    Scores and boolean labels share any shape. NaN where a class is missing.
    """
    scores, labels = _scored(scores, labels)
    # Sorted needles keep the search within the cache.
    negatives, positives = np.sort(scores[~labels]), np.sort(scores[labels])
    below = np.searchsorted(negatives, positives, side="left").sum()
    not_above = np.searchsorted(negatives, positives, side="right").sum()
    return float(_share((below + not_above) / 2, len(negatives) * len(positives)))


def roc(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """False- and true-positive rates (steps + 1,) of `scores >= threshold` at falling thresholds.

    Every distinct score is a threshold, after a first one of infinity. The rate of a missing class is NaN.
    """
    scores, labels = _scored(scores, labels)
    order, ends = _steps(scores)
    positive = labels[order]
    thresholds = np.concatenate([[np.inf], scores[order][ends]])
    return _rates(~positive, ends), _rates(positive, ends), thresholds


def pro_curve(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike]) -> tuple[Floats, Floats]:
    """False-positive rates and per-region overlaps (steps + 1,) at falling thresholds.

    Maps and boolean masks (rows, columns) come in pairs. The overlap is the mean, over the 8-connected
    regions of all masks, of the share of the region scored above the threshold; the rate is the share of
    all pixels outside the masks (Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, section 5.1).
    """
    pairs = _mapped(maps, masks)
    order, ends = _steps(np.concatenate([scores.ravel() for scores, _ in pairs]))
    outside = np.concatenate([~mask.ravel() for _, mask in pairs])
    weights = np.concatenate([_region_weights(mask).ravel() for _, mask in pairs])
    return _rates(outside[order], ends), _rates(weights[order], ends)


def area_under(rates: Floats, heights: Floats, *, limit: float = 1.0) -> float:
    """Area under a curve over rates 0..limit, as a share of the largest it can be; NaN if the curve is."""
    if not 0 < limit <= 1:
        raise ValueError(f"expected a limit above 0 and up to 1, got {limit}")
    if np.isnan(rates[-1]) or np.isnan(heights[-1]):
        return nan
    inside = np.searchsorted(rates, limit, side="right")
    cut_rates = np.append(rates[:inside], limit)
    cut_heights = np.append(heights[:inside], np.interp(limit, rates, heights))
    return float(np.trapezoid(cut_heights, cut_rates) / limit)


def au_pro(maps: Iterable[ArrayLike], masks: Iterable[ArrayLike], *, limit: float = 0.3) -> float:
    """Normalised area under the per-region overlap up to a false-positive rate, see `pro_curve`."""
    return area_under(*pro_curve(maps, masks), limit=limit)


def pixel_f1(predicted: Iterable[ArrayLike], truth: Iterable[ArrayLike]) -> float:
    """F1 score of the pixels of all pairs of boolean masks; NaN where neither side marks any."""
    hits = marked = 0
    for found, mask in _mapped(predicted, truth):
        found = found.astype(bool)
        hits += np.count_nonzero(found & mask)
        marked += np.count_nonzero(found) + np.count_nonzero(mask)
    return float(_share(2 * hits, marked))


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
        scores, labels = _scored(scores, labels)
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

    Its figures approach those of `auroc` and `au_pro` as the levels become finer, and equal them when
    there are no fewer levels than pixels.
    """

    negatives: Floats
    positives: Floats
    regions: Floats  # Positives, each weighing one over the size of its region.

    @classmethod
    def of(cls, maps: Iterable[ArrayLike], masks: Iterable[ArrayLike], *, levels: int = 2000) -> Self:
        """Count maps and boolean masks (rows, columns), in pairs, at up to `levels` quantiles of all scores."""
        pairs = _mapped(maps, masks)
        ordered = np.sort(np.concatenate([scores.ravel() for scores, _ in pairs]))
        tops = np.unique(ordered[np.linspace(0, len(ordered) - 1, levels).round().astype(int)])

        def histograms(weigh: Callable[[Mask], NDArray[Any]]) -> Floats:
            level = ((np.searchsorted(tops, scores.ravel()), weigh(mask).ravel()) for scores, mask in pairs)
            return np.stack([np.bincount(at, weights, len(tops)) for at, weights in level])

        return cls(histograms(np.logical_not), histograms(np.asarray), histograms(_region_weights))
