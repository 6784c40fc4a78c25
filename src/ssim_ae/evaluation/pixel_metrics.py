"""Pixel metrics of any number of images, computed from a small histogram of each anomaly map."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssim_ae.evaluation.metrics import Floats, Indices, Mask, Verdicts, area_under, rates
from ssim_ae.maps.regions import label

PIXEL_METRICS = ("pixel_auroc", "au_pro_30", "au_pro_05", "pixel_f1")
MAX_BINS = 4096  # of a histogram
MAX_SUMMED_BINS = 2 * MAX_BINS  # of the histograms of all images together
IMAGES_AT_ONCE = 256  # whose histograms are added together
MAX_CELLS = 2**22  # of the sums of histograms that are in memory together


class Histogram(NamedTuple):
    """The bins of scores that are not empty (n,), in ascending order, and the sum of the weights in each (n,).

    The bin of a score is its floating-point number in bits without its `dropped` lowest bits: the bits of non-negative
    numbers have the order of the numbers. As few bits are dropped as leave at most MAX_BINS bins.
    """

    bins: NDArray[np.uint32]
    sums: NDArray[np.float32]
    dropped: int = 0

    @classmethod
    def of(cls, scores: NDArray[np.float32], weights: Floats | None = None) -> Self:
        """Add the weights of scores (pixels,), which are not negative; without weights, count the scores."""
        numbers = np.abs(scores).view(np.uint32)  # -0 becomes 0
        if weights is None:
            bins, sums = np.unique(numbers, return_counts=True)
        else:
            bins, inverse = np.unique(numbers, return_inverse=True)
            sums = np.bincount(inverse, weights)
        return cls(bins, sums.astype(np.float32)).coarser(bits_to_drop(bins, MAX_BINS))

    def coarser(self, dropped: int) -> Self:
        """Return the histogram with `dropped` lowest bits dropped in total."""
        if dropped == self.dropped or not len(self.bins):
            return self
        bins = self.bins >> np.uint32(dropped - self.dropped)
        firsts = np.flatnonzero(np.diff(bins, prepend=bins[0] + 1))
        return type(self)(bins[firsts], np.add.reduceat(self.sums, firsts), dropped)


def bits_to_drop(bins: NDArray[np.uint32], limit: int) -> int:
    """Return how many lowest bits of bins (n,), in ascending order, leave at most `limit` different bins."""
    return bisect_left(range(32), -limit, key=lambda bits: -1 - int(np.count_nonzero(np.diff(bins >> np.uint32(bits)))))


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of one image with ground truth: counts by verdict, and histograms of their scores, of up to 100 kB."""

    verdicts: Verdicts
    good: Histogram
    defective: Histogram
    regions: Histogram  # defective pixels, each with the weight 1 / the area of its 8-connected region in px

    @classmethod
    def of(cls, anomaly: ArrayLike, ground_truth: ArrayLike, inspected: ArrayLike = True) -> Self:
        """Count the `inspected` pixels of an anomaly map (H, W) by its ground truth (H, W) bool.

        Raises ValueError for values of the map that are negative or NaN.
        """
        anomaly, mask = np.asarray(anomaly, np.float32), np.asarray(ground_truth, bool)
        if anomaly.shape != mask.shape:
            raise ValueError(f"expected scores and labels of the same shape, got {anomaly.shape} and {mask.shape}")
        inspected = np.broadcast_to(inspected, mask.shape)
        mask = mask & inspected
        verdicts = Verdicts.of(anomaly[inspected], mask[inspected])
        if anomaly.min() < 0:
            raise ValueError(f"expected scores of 0 or more, got {anomaly.min()}")
        defective = anomaly[mask]
        regions = Histogram.of(defective, _region_weights(mask))
        return cls(verdicts, Histogram.of(anomaly[~mask & inspected]), Histogram.of(defective), regions)


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
    histograms = _with_equal_bins(
        [getattr(image, kind) for kind in ("good", "defective", "regions") for image in images]
    )
    bins = _all_bins(histograms)
    at_once = max(1, MAX_CELLS // len(bins))
    for start in range(0, len(samples), at_once):
        counts = np.array([np.bincount(sample, minlength=len(images)) for sample in samples[start : start + at_once]])
        of_kinds = (histograms[first : first + len(images)] for first in range(0, len(histograms), len(images)))
        sums = [_weighted_sums(of_kind, counts.astype(float), bins) for of_kind in of_kinds]
        yield from zip(*(map(rates, each[:, ::-1].cumsum(axis=1)) for each in sums), strict=True)


def _with_equal_bins(histograms: Sequence[Histogram]) -> list[Histogram]:
    """Drop the same bits from all histograms, as few as leave at most MAX_SUMMED_BINS bins in all of them together."""
    dropped = max(histogram.dropped for histogram in histograms)
    histograms = [histogram.coarser(dropped) for histogram in histograms]
    dropped += bits_to_drop(_all_bins(histograms), MAX_SUMMED_BINS)
    return [histogram.coarser(dropped) for histogram in histograms]


def _all_bins(histograms: Sequence[Histogram]) -> NDArray[np.uint32]:
    return np.unique(np.concatenate([histogram.bins for histogram in histograms]))


def _weighted_sums(histograms: Sequence[Histogram], weights: Floats, bins: NDArray[np.uint32]) -> Floats:
    """Add histograms with each row of weights (samples, images), by the bins of all (bins,): (samples, bins)."""
    total = np.zeros((len(weights), len(bins)))
    for start in range(0, len(histograms), IMAGES_AT_ONCE):
        some = histograms[start : start + IMAGES_AT_ONCE]
        dense = np.zeros((len(some), len(bins)))
        for row, histogram in zip(dense, some, strict=True):
            row[np.searchsorted(bins, histogram.bins)] = histogram.sums
        total += weights[:, start : start + IMAGES_AT_ONCE] @ dense
    return total


def _region_weights(mask: Mask) -> Floats:
    """Return 1 / the area of its region for each pixel of a mask, in raster order (pixels,)."""
    if not mask.any():
        return np.zeros(0)
    regions = label(mask)[0][mask]
    weights: Floats = 1 / np.bincount(regions)[regions]
    return weights
