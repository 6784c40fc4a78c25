"""Pixel metrics of any number of images, computed from a small histogram of each anomaly map."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
MAX_CELLS = 2**21  # of the sums of histograms that are in memory together
MAX_GROUPS = 1024  # of images, that are drawn as a whole for the intervals
MIN_GROUPS = 32  # of a defect type with as many images


class Histogram(NamedTuple):
    """The bins of scores that are not empty (n,), in ascending order, and the sum of the weights in each (n,).

    The bin of a score is its floating-point number in bits without its `dropped` lowest bits: the bits of non-negative
    numbers have the order of the numbers. As few bits are dropped as leave at most MAX_BINS bins.
    """

    bins: NDArray[np.uint32]
    sums: Floats
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

    def plus(self, other: Self) -> Self:
        """Return the sum of both, of at most MAX_SUMMED_BINS bins."""
        dropped = max(self.dropped, other.dropped)
        parts = self.coarser(dropped), other.coarser(dropped)
        bins, inverse = np.unique(np.concatenate([part.bins for part in parts]), return_inverse=True)
        # Beyond 2**24, float32 does not count every pixel.
        sums = np.bincount(inverse, np.concatenate([part.sums for part in parts]), len(bins)).astype(float)
        return type(self)(bins, sums, dropped).coarser(dropped + bits_to_drop(bins, MAX_SUMMED_BINS))


def bits_to_drop(bins: NDArray[np.uint32], limit: int) -> int:
    """Return how many lowest bits of bins (n,), in ascending order, leave at most `limit` different bins."""
    return bisect_left(range(32), -limit, key=lambda bits: -1 - int(np.count_nonzero(np.diff(bins >> np.uint32(bits)))))


@dataclass(frozen=True)
class PixelCounts:
    """Pixels with ground truth: counts by verdict, and histograms of their scores, of up to 100 kB for one image."""

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

    def __add__(self, other: Self) -> Self:
        histograms = (getattr(self, kind).plus(getattr(other, kind)) for kind in ("good", "defective", "regions"))
        return type(self)(self.verdicts + other.verdicts, *histograms)


class PixelGroups:
    """The pixel counts of images by defect type, in memory that does not grow with the number of images.

    Each of up to MAX_GROUPS images is a group of its own. Those of more images are dealt to groups in turn within their
    type, at most MAX_GROUPS groups for all types (but MIN_GROUPS for each). This changes no metric by more than the
    rounding of the scores, and bootstrap samples are drawn from groups in place of images.
    """

    def __init__(self, defects: Sequence[str]) -> None:
        """Prepare groups for images of the types `defects` (images,)."""
        is_small = len(defects) <= MAX_GROUPS
        self._limit = MAX_GROUPS if is_small else max(MIN_GROUPS, MAX_GROUPS // len(set(defects)))
        self._groups: dict[str, list[PixelCounts]] = {}
        self._added: Counter[str] = Counter()

    def add(self, defect: str, image: PixelCounts) -> None:
        """Add the pixels of an image of the type `defect`."""
        groups = self._groups.setdefault(defect, [])
        if len(groups) < self._limit:
            groups.append(image)
        else:
            groups[self._added[defect] % self._limit] += image
        self._added[defect] += 1

    def of(self, defects: Iterable[str]) -> dict[str, list[PixelCounts]]:
        """Return the groups of each of the defect types that have some."""
        return {defect: self._groups[defect] for defect in defects if defect in self._groups}

    def verdicts(self) -> Verdicts:
        """Return the counts of the pixels of all images by verdict."""
        groups = (group.verdicts for of_type in self._groups.values() for group in of_type)
        return sum(groups, Verdicts(0, 0, 0, 0))

    def note(self) -> str:
        """Return how the groups change the intervals, or an empty string if each is one image."""
        images, groups = self._added.total(), sum(map(len, self._groups.values()))
        if images == groups:
            return ""
        return f"intervals of pixel metrics from {groups} groups of the {images} images with ground truth"


def pixel_metrics(images: Sequence[PixelCounts], samples: Indices) -> dict[str, Floats]:
    """Return pixel AUROC, AU-PRO and the F1 score of defective pixels for each sample of images, each (samples,).

    `samples` (samples, n) holds the indices of the n images, or groups of images, of each sample. AU-PRO is the area
    under the per-region overlap, the share of a region at or above a score in the mean of all regions, up to a
    false-positive rate of .3 or .05 (Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, section 5). A metric is
    NaN in a sample without defective pixels, or without good ones.
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
    of_kinds = [[getattr(image, kind) for image in images] for kind in ("good", "defective", "regions")]
    bins, dropped = _common_bins([histogram for of_kind in of_kinds for histogram in of_kind])
    at_once = max(1, MAX_CELLS // len(bins))
    for start in range(0, len(samples), at_once):
        counts = np.array([np.bincount(sample, minlength=len(images)) for sample in samples[start : start + at_once]])
        sums = [_weighted_sums(of_kind, counts.astype(float), bins, dropped) for of_kind in of_kinds]
        for each in sums:
            np.cumsum(each[:, ::-1], axis=1, out=each)
        yield from zip(*(map(rates, each) for each in sums), strict=True)


def _common_bins(histograms: Sequence[Histogram]) -> tuple[NDArray[np.uint32], int]:
    """Return the bins of all histograms together, and how many bits to drop for at most MAX_SUMMED_BINS of them."""
    dropped = max(histogram.dropped for histogram in histograms)
    bins = np.zeros(0, np.uint32)
    for start in range(0, len(histograms), IMAGES_AT_ONCE):
        some = [histogram.coarser(dropped).bins for histogram in histograms[start : start + IMAGES_AT_ONCE]]
        bins = np.unique(np.concatenate([bins, *some]))
        more = bits_to_drop(bins, MAX_SUMMED_BINS)
        bins, dropped = np.unique(bins >> np.uint32(more)), dropped + more
    return bins, dropped


def _weighted_sums(histograms: Sequence[Histogram], weights: Floats, bins: NDArray[np.uint32], dropped: int) -> Floats:
    """Add histograms with each row of weights (samples, images), by the bins of all (bins,): (samples, bins)."""
    total = np.zeros((len(weights), len(bins)))
    for start in range(0, len(histograms), IMAGES_AT_ONCE):
        some = histograms[start : start + IMAGES_AT_ONCE]
        dense = np.zeros((len(some), len(bins)))
        for row, histogram in zip(dense, some, strict=True):
            coarser = histogram.coarser(dropped)
            row[np.searchsorted(bins, coarser.bins)] = coarser.sums
        total += weights[:, start : start + IMAGES_AT_ONCE] @ dense
    return total


def _region_weights(mask: Mask) -> Floats:
    """Return 1 / the area of its region for each pixel of a mask, in raster order (pixels,)."""
    if not mask.any():
        return np.zeros(0)
    regions = label(mask)[0][mask]
    weights: Floats = 1 / np.bincount(regions)[regions]
    return weights
