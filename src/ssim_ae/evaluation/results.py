"""Results of inspected test images, and their metrics by defect type and in total."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np

from ssim_ae.evaluation.metrics import Verdicts, auroc, bootstrap_samples, draw_samples, percentile_interval
from ssim_ae.evaluation.pixel_metrics import PIXEL_METRICS, PixelGroups, pixel_metrics
from ssim_ae.images.folders import ALL, GOOD, TestImage
from ssim_ae.maps.verdict import is_defective
from ssim_ae.outputs import short_path
from ssim_ae.proportions import wilson
from ssim_ae.spelling import counted


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result of one test image: its score, and whether it has a ground truth that can be used.

    `size` is the height and width of the image, px.
    """

    image: TestImage
    score: float
    has_ground_truth: bool
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

    `pixels` counts the pixels of all images with ground truth, as the reference does. A report shows the results
    `shown`: all, unless there are too many; then `how_shown` says how they were chosen.
    """

    dataset: str
    metrics: dict[str, Metrics]
    pixels: Verdicts
    results: tuple[ImageResult, ...]
    notes: tuple[str, ...]
    shown: tuple[ImageResult, ...] = ()
    how_shown: str = ""

    def reference_line(self, *, image_level: bool = True) -> str:
        """Return the last line of the reference's output, at image level or at pixel level."""
        total = self.metrics[ALL]
        if image_level:
            return f"ok: {total.ok.value}, nok: {total.nok.value}, avg: {total.avg.value}"
        return f"AUC: {total.pixel_auroc.value}, ok: {self.pixels.ok}, nok: {self.pixels.nok}, avg: {self.pixels.avg}"


def summarize(
    results: Sequence[ImageResult], pixels: PixelGroups, dataset: str, notes: tuple[str, ...] = ()
) -> Evaluation:
    """Compute the metrics of all results and of their pixels, and of each defect type if there are several."""
    defect_types = sorted({result.image.defect for result in results if result.defective})
    good = [result for result in results if not result.defective]
    metrics = {}
    for defect_type in defect_types if len(defect_types) > 1 else []:
        of_type = [result for result in results if result.image.defect == defect_type]
        metrics[defect_type] = metrics_of(good + of_type, pixels)
    metrics[ALL] = metrics_of(results, pixels)
    without_ground_truth = [result.image for result in results if not result.has_ground_truth]
    if without_ground_truth:
        images = counted(len(without_ground_truth), "defective image")
        notes += (f"{images} without ground truth: excluded from pixel metrics{_looked_for(without_ground_truth)}",)
    if note := pixels.note():
        notes += (note,)
    return Evaluation(dataset, metrics, pixels.verdicts(), tuple(results), notes)


def _looked_for(images: Sequence[TestImage]) -> str:
    """Name the file that was looked for as the ground truth of an image, if one was not found."""
    expected = next((image.expected_mask for image in images if image.expected_mask and not image.mask), None)
    if not expected:
        return ""
    return f"; looked for {Path(*expected.parts[-3:]).as_posix()}, set --mask_suffix if masks are named otherwise"


def metrics_of(results: Sequence[ImageResult], pixels: PixelGroups) -> Metrics:
    """Compute the metrics of results, and of the pixels of their defect types.

    The intervals of shares are Wilson score intervals, the other ones are bootstrap intervals over images.
    """
    scores = np.array([result.score for result in results])
    defective = np.array([result.defective for result in results])
    verdicts = Verdicts.of(scores, defective)
    correct = verdicts.good_accepted + verdicts.defective_rejected
    balanced, areas = [], []
    for images in draw_samples(defective):
        balanced.append(Verdicts.of(scores[images], defective[images]).balanced_accuracy)
        areas.append(auroc(scores[images], defective[images]))
    return Metrics(
        good=verdicts.good,
        defective=verdicts.defective,
        ok=Estimate(verdicts.ok, *wilson(verdicts.good_accepted, verdicts.good)),
        nok=Estimate(verdicts.nok, *wilson(verdicts.defective_rejected, verdicts.defective)),
        avg=Estimate(verdicts.avg, *wilson(correct, len(results))),
        balanced_accuracy=_estimate(balanced),
        image_auroc=_estimate(areas),
        **_pixel_estimates(pixels, dict.fromkeys(result.image.defect for result in results)),
    )


def _pixel_estimates(pixels: PixelGroups, defects: Iterable[str]) -> dict[str, Estimate]:
    """Estimate the metrics that compare anomaly maps with the ground truth, on the images of defect types."""
    of_types = pixels.of(defects)
    images = [image for of_type in of_types.values() for image in of_type]
    if not any(image.verdicts.defective for image in images):
        return dict.fromkeys(PIXEL_METRICS, Estimate(nan))
    samples = bootstrap_samples([defect != GOOD for defect, of_type in of_types.items() for _ in of_type])
    return {name: _estimate(values) for name, values in pixel_metrics(images, samples).items()}


def _estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Return the first value, that of all images, with the interval of the other ones, of bootstrap samples."""
    return Estimate(float(values[0]), *percentile_interval(values[1:]))
