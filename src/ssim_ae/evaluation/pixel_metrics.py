"""Pixel metrics of any number of images, computed from a small histogram of each anomaly map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssim_ae.evaluation.metrics import Floats, Indices, Mask, Verdicts, area_under, rates
from ssim_ae.maps.regions import label

PIXEL_METRICS = ("pixel_auroc", "au_pro_30", "au_pro_05", "pixel_f1")
BIN_BITS = 15  # lowest bits of a float32 that a bin leaves out, of 31: 256 bins from a score to its double
IMAGES_AT_ONCE = 256  # whose histograms are added together
MAX_CELLS = 2**22  # of the sums of histograms that are in memory together


class Histogram(NamedTuple):
    """The bins that are not empty (n,), in ascending order, and the sum of the weights of the pixels in each (n,)."""

    bins: NDArray[np.uint16]
    sums: NDArray[np.float32]

    @classmethod
    def of(cls, bins: NDArray[Any], weights: Floats | None = None) -> Self:
        """Add the weights of pixels (pixels,) by their bins (pixels,); without weights, count the pixels."""
        sums = np.bincount(bins, weights)
        filled = np.flatnonzero(sums)
        return cls(filled.astype(np.uint16), sums[filled].astype(np.float32))


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of one image with ground truth: counts by verdict, and histograms of their scores.

    A bin holds the scores that differ by at most 0.4 %. Scores of one bin count as equal.
    """

    verdicts: Verdicts
    good: Histogram
    defective: Histogram
    regions: Histogram  # defective pixels, each with the weight 1 / the area of its 8-connected region in px

    @classmethod
    def of(cls, anomaly: ArrayLike, ground_truth: ArrayLike) -> Self:
        """Count the pixels of an anomaly map (H, W) by its ground truth (H, W) bool.

        Raises ValueError for values of the map that are negative or NaN.
        """
        anomaly, mask = np.asarray(anomaly, np.float32), np.asarray(ground_truth, bool)
        verdicts = Verdicts.of(anomaly, mask)
        bins, weights = _bins(anomaly), _region_weights(mask)
        defective = bins[mask]
        return cls(verdicts, Histogram.of(bins[~mask]), Histogram.of(defective), Histogram.of(defective, weights))


def _bins(scores: NDArray[np.float32]) -> NDArray[Any]:
    """Return the bins of scores, of the same shape: the upper bits of their floating-point numbers.

    The bits of non-negative numbers have the order of the numbers. Raises ValueError for negative numbers and NaN.
    """
    if not (scores >= 0).all():
        raise ValueError(f"expected scores of 0 or more, got {scores.min()}")
    return np.abs(scores).view(np.uint32) >> BIN_BITS  # -0 becomes 0


def pixel_metrics(images: Sequence[PixelCounts], samples: Indices) -> dict[str, Floats]:
    """Return pixel AUROC, AU-PRO and the F1 score of defective pixels for each sample of images, each (samples,).

    `samples` (samples, n) holds the indices of the n images of each sample. AU-PRO is the area under the per-region
    overlap, the share of a region at or above a score in the mean of all regions, up to a false-positive rate of .3
    or .05 (Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, section 5). A metric is NaN in a sample without
    defective pixels, or without good ones.
    """
    areas = [
        (area_under(good, defective), area_under(good, regions, limit=0.3), area_under(good, regions, limit=0.05))
        for good, defective, regions in _curves(images, samples)
    ]
    verdicts = [image.verdicts for image in images]
    hits = np.array([each.defective_rejected for each in verdicts])
    marked = np.array([each.good - each.good_accepted + each.defective_rejected + each.defective for each in verdicts])
    with np.errstate(invalid="ignore"):
        f1 = 2 * hits[samples].sum(axis=1) / marked[samples].sum(axis=1)
    return dict(zip(PIXEL_METRICS, [*np.array(areas).T, f1], strict=True))


def _curves(images: Sequence[PixelCounts], samples: Indices) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield the rates of good pixels, of defective pixels and of regions by descending score, for each sample."""
    kinds = [[getattr(image, kind) for image in images] for kind in ("good", "defective", "regions")]
    bins = np.unique(np.concatenate([histogram.bins for kind in kinds for histogram in kind]))[::-1]
    at_once = max(1, MAX_CELLS // len(bins))
    for start in range(0, len(samples), at_once):
        counts = [np.bincount(sample, minlength=len(images)) for sample in samples[start : start + at_once]]
        cumulative = [_weighted_sums(kind, np.array(counts, float), bins).cumsum(axis=1) for kind in kinds]
        yield from zip(*(map(rates, each) for each in cumulative), strict=True)


def _weighted_sums(histograms: Sequence[Histogram], weights: Floats, bins: NDArray[np.uint16]) -> Floats:
    """Add histograms with each row of weights (samples, images), by descending bins (bins,): (samples, bins)."""
    column = np.zeros(int(bins[0]) + 1, int)
    column[bins] = np.arange(len(bins))
    total = np.zeros((len(weights), len(bins)))
    for start in range(0, len(histograms), IMAGES_AT_ONCE):
        some = histograms[start : start + IMAGES_AT_ONCE]
        dense = np.zeros((len(some), len(bins)))
        for row, histogram in zip(dense, some, strict=True):
            row[column[histogram.bins]] = histogram.sums
        total += weights[:, start : start + IMAGES_AT_ONCE] @ dense
    return total


def _region_weights(mask: Mask) -> Floats:
    """Return 1 / the area of its region for each pixel of a mask, in raster order (pixels,)."""
    if not mask.any():
        return np.zeros(0)
    regions = label(mask)[0][mask]
    weights: Floats = 1 / np.bincount(regions)[regions]
    return weights
