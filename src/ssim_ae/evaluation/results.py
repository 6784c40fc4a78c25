"""Results of inspected test images, and their metrics by defect type and in total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np

from ssim_ae.evaluation.metrics import Verdicts, auroc, bootstrap_samples, percentile_interval
from ssim_ae.evaluation.pixel_metrics import PIXEL_METRICS, PixelCounts, pixel_metrics
from ssim_ae.images.folders import ALL, GOOD, TestImage
from ssim_ae.maps.verdict import is_defective
from ssim_ae.outputs import short_path
from ssim_ae.proportions import wilson
from ssim_ae.spelling import counted


@dataclass(frozen=True)
class ImageResult:
    """The result of one test image: its score, and the counts of its pixels, None without ground truth.

    `size` is the height and width of the image, px.
    """

    image: TestImage
    score: float
    pixels: PixelCounts | None
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

    Pixel metrics are computed at the size of the anomaly maps.
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
class Evaluation:
    """Metrics by defect type, with the total (`all`) last, and the results that they are computed from.

    `pixels` counts the pixels of all images with ground truth, as the reference does.
    """

    dataset: str
    metrics: dict[str, Metrics]
    pixels: Verdicts
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
    without_ground_truth = [result.image for result in results if result.pixels is None]
    if without_ground_truth:
        images = counted(len(without_ground_truth), "defective image")
        notes += (f"{images} without ground truth: excluded from pixel metrics{_looked_for(without_ground_truth)}",)
    pixels = sum((result.pixels.verdicts for result in results if result.pixels), Verdicts(0, 0, 0, 0))
    return Evaluation(dataset, metrics, pixels, tuple(results), notes)


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
    samples = bootstrap_samples(defective)
    return Metrics(
        good=verdicts.good,
        defective=verdicts.defective,
        ok=Estimate(verdicts.ok, *wilson(verdicts.good_accepted, verdicts.good)),
        nok=Estimate(verdicts.nok, *wilson(verdicts.defective_rejected, verdicts.defective)),
        avg=Estimate(verdicts.avg, *wilson(correct, len(results))),
        balanced_accuracy=_estimate(
            [Verdicts.of(scores[images], defective[images]).balanced_accuracy for images in samples]
        ),
        image_auroc=_estimate([auroc(scores[images], defective[images]) for images in samples]),
        **_pixel_estimates(results),
    )


def _pixel_estimates(results: Sequence[ImageResult]) -> dict[str, Estimate]:
    """Estimate the metrics that compare anomaly maps with the ground truth, on the results that have one."""
    images = [result.pixels for result in results if result.pixels]
    if not any(image.verdicts.defective for image in images):
        return dict.fromkeys(PIXEL_METRICS, Estimate(nan))
    samples = bootstrap_samples([result.defective for result in results if result.pixels])
    return {name: _estimate(values) for name, values in pixel_metrics(images, samples).items()}


def _estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Return the first value, that of all images, with the interval of the other ones, of bootstrap samples."""
    return Estimate(float(values[0]), *percentile_interval(values[1:]))
