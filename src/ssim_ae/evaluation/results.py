"""Results of inspected test images, and their metrics by defect type and in total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np

from ssim_ae.evaluation.metrics import (
    PixelHistograms,
    Verdicts,
    area_under,
    auroc,
    bootstrap,
    pixel_f1,
    pro_curve,
)
from ssim_ae.images.folders import ALL, GOOD, TestImage
from ssim_ae.maps.verdict import is_defective
from ssim_ae.outputs import short_path
from ssim_ae.proportions import wilson
from ssim_ae.spelling import counted


@dataclass(frozen=True)
class ImageResult:
    """The result of one test image: score, anomaly map (H, W), and ground truth (H, W) bool or None.

    `size` is the height and width of the image, px.
    """

    image: TestImage
    score: float
    anomaly: np.ndarray
    ground_truth: np.ndarray | None
    size: tuple[int, int]

    @property
    def files(self) -> str:
        """Return what the paths of its image files begin with: its name, cut where it is too long for a file."""
        return short_path(self.image.name)

    @property
    def defective(self) -> bool:
        """Whether the image has a defect."""
        return self.image.defect != GOOD

    @property
    def rejected(self) -> bool:
        """Whether the verdict at the default threshold is `nok`."""
        return is_defective(self.score)

    @property
    def correct(self) -> bool:
        """Whether the verdict is correct."""
        return self.rejected == self.defective


@dataclass(frozen=True)
class Estimate:
    """The value of a metric in [0, 1] with its 95 % interval; NaN if it cannot be computed."""

    value: float
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class Metrics:
    """Metrics of the images of one defect type and the good images.

    Pixel metrics are computed at the size of the anomaly maps, S x S px per image.
    """

    good: int
    defective: int
    ok: Estimate
    nok: Estimate
    avg: Estimate
    balanced_accuracy: Estimate
    image_auroc: Estimate
    pixel_auroc: Estimate
    au_pro_30: Estimate
    au_pro_05: Estimate
    pixel_f1: Estimate


@dataclass(frozen=True)
class PixelAccuracy:
    """The pixel metrics of the reference: shares of good, defective and all pixels that are classified correctly."""

    ok: float
    nok: float
    avg: float


@dataclass(frozen=True)
class Evaluation:
    """Metrics by defect type, with the total (`all`) last, and the results that they are computed from."""

    dataset: str
    metrics: dict[str, Metrics]
    pixels: PixelAccuracy
    results: tuple[ImageResult, ...]
    notes: tuple[str, ...]

    def reference_line(self, *, image_level: bool = True) -> str:
        """Return the last line of the reference's output, at image level or at pixel level."""
        total = self.metrics[ALL]
        if image_level:
            return f"ok: {total.ok.value}, nok: {total.nok.value}, avg: {total.avg.value}"
        return f"AUC: {total.pixel_auroc.value}, ok: {self.pixels.ok}, nok: {self.pixels.nok}, avg: {self.pixels.avg}"


def summarize(results: Sequence[ImageResult], dataset: str, notes: tuple[str, ...] = ()) -> Evaluation:
    """Compute the metrics of all results, and of each defect type if there are several."""
    defect_types = sorted({result.image.defect for result in results if result.defective})
    good = [result for result in results if not result.defective]
    metrics = {}
    for defect_type in defect_types if len(defect_types) > 1 else []:
        metrics[defect_type] = metrics_of(good + [result for result in results if result.image.defect == defect_type])
    metrics[ALL] = metrics_of(results)
    without_ground_truth = [result.image for result in results if result.ground_truth is None]
    if without_ground_truth:
        images = counted(len(without_ground_truth), "defective image")
        notes += (f"{images} without ground truth: excluded from pixel metrics{_looked_for(without_ground_truth)}",)
    return Evaluation(dataset, metrics, _pixel_accuracy(results), tuple(results), notes)


def _looked_for(images: Sequence[TestImage]) -> str:
    """Name the file that was looked for as the ground truth of an image, if one was not found."""
    expected = next((image.expected_mask for image in images if image.expected_mask and not image.mask), None)
    if not expected:
        return ""
    return f"; looked for {Path(*expected.parts[-3:]).as_posix()}, set --mask_suffix if masks are named otherwise"


def metrics_of(results: Sequence[ImageResult]) -> Metrics:
    """Compute the metrics of results.

    The intervals of shares are Wilson score intervals, the other ones are bootstrap intervals over images.
    """
    scores = np.array([result.score for result in results])
    defective = np.array([result.defective for result in results])
    verdicts = Verdicts.of(scores, defective)
    correct = verdicts.good_accepted + verdicts.defective_rejected

    def image_auroc(indices: np.ndarray) -> float:
        return auroc(scores[indices], defective[indices])

    def balanced_accuracy(indices: np.ndarray) -> float:
        return Verdicts.of(scores[indices], defective[indices]).balanced_accuracy

    return Metrics(
        good=verdicts.good,
        defective=verdicts.defective,
        ok=Estimate(verdicts.ok, *wilson(verdicts.good_accepted, verdicts.good)),
        nok=Estimate(verdicts.nok, *wilson(verdicts.defective_rejected, verdicts.defective)),
        avg=Estimate(verdicts.avg, *wilson(correct, len(results))),
        balanced_accuracy=Estimate(verdicts.balanced_accuracy, *bootstrap(balanced_accuracy, defective)),
        image_auroc=Estimate(auroc(scores, defective), *bootstrap(image_auroc, defective)),
        **_pixel_metrics([result for result in results if result.ground_truth is not None]),
    )


def _pixel_metrics(results: Sequence[ImageResult]) -> dict[str, Estimate]:
    """Compute the metrics that compare anomaly maps with the ground truth, which all results have."""
    maps = [result.anomaly for result in results]
    truths = [result.ground_truth for result in results if result.ground_truth is not None]
    if not any(truth.any() for truth in truths):
        return dict.fromkeys(("pixel_auroc", "au_pro_30", "au_pro_05", "pixel_f1"), Estimate(nan))
    defective = np.array([result.defective for result in results])
    histograms = PixelHistograms.of(maps, truths)
    rates, overlaps = pro_curve(maps, truths)

    def au_pro(limit: float) -> Estimate:
        interval = bootstrap(lambda indices: histograms.au_pro(indices, limit=limit), defective)
        return Estimate(area_under(rates, overlaps, limit=limit), *interval)

    return {
        "pixel_auroc": Estimate(auroc(np.stack(maps), np.stack(truths)), *bootstrap(histograms.auroc, defective)),
        "au_pro_30": au_pro(0.3),
        "au_pro_05": au_pro(0.05),
        "pixel_f1": _pixel_f1([is_defective(anomaly) for anomaly in maps], truths, defective),
    }


def _pixel_f1(masks: Sequence[np.ndarray], truths: Sequence[np.ndarray], defective: np.ndarray) -> Estimate:
    """Compute the F1 score of pixels; its interval is computed from the counts of each image."""
    hits = np.array([np.count_nonzero(mask & truth) for mask, truth in zip(masks, truths, strict=True)])
    marked = np.array([mask.sum() + truth.sum() for mask, truth in zip(masks, truths, strict=True)])

    def resampled_f1(indices: np.ndarray) -> float:
        return 2 * hits[indices].sum() / marked[indices].sum() if marked[indices].any() else nan

    return Estimate(pixel_f1(masks, truths), *bootstrap(resampled_f1, defective))


def _pixel_accuracy(results: Sequence[ImageResult]) -> PixelAccuracy:
    pairs = [
        (is_defective(result.anomaly), result.ground_truth) for result in results if result.ground_truth is not None
    ]
    good = sum(int((~truth).sum()) for _, truth in pairs)
    defective = sum(int(truth.sum()) for _, truth in pairs)
    good_accepted = sum(int((~mask & ~truth).sum()) for mask, truth in pairs)
    defective_rejected = sum(int((mask & truth).sum()) for mask, truth in pairs)
    return PixelAccuracy(
        ok=good_accepted / good if good else nan,
        nok=defective_rejected / defective if defective else nan,
        avg=(good_accepted + defective_rejected) / (good + defective) if good + defective else nan,
    )
