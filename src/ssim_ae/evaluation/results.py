"""What inspected test images add up to: figures with intervals, by defect type and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from ssim_ae.evaluation.metrics import (
    PixelHistograms,
    Verdicts,
    area_under,
    auroc,
    bootstrap,
    pixel_f1,
    pro_curve,
    wilson,
)
from ssim_ae.images.folders import ALL, GOOD, TestImage

PRO_LIMITS = (0.3, 0.05)  # false-positive rates up to which AU-PRO is integrated


@dataclass(frozen=True)
class Case:
    """A test image as inspected: score, anomaly map (S, S), and ground truth (S, S) bool if there is any."""

    image: TestImage
    score: float
    anomaly: np.ndarray
    truth: np.ndarray | None

    @property
    def defective(self) -> bool:
        """What the image truly is."""
        return self.image.defect != GOOD

    @property
    def right(self) -> bool:
        """Whether the verdict is."""
        return (self.score > 1) == self.defective


@dataclass(frozen=True)
class Estimate:
    """A figure of merit in [0, 1] with its 95 % interval; NaN where it cannot be computed."""

    value: float
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class Metrics:
    """All figures of one defect type against the good images. Pixels count as inspected, S x S an image."""

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
class PixelRates:
    """The reference's pixel figures: ok and nok are shares of good and defective pixels judged right."""

    ok: float
    nok: float
    avg: float


@dataclass(frozen=True)
class Evaluation:
    """What was found: figures by defect type, `all` last, and the cases behind them."""

    dataset: str
    figures: dict[str, Metrics]
    pixels: PixelRates
    cases: tuple[Case, ...]
    notes: tuple[str, ...]

    def reference_line(self, *, image_level: bool = True) -> str:
        """Return the closing line in the reference's form."""
        whole = self.figures[ALL]
        if image_level:
            return f"ok: {whole.ok.value}, nok: {whole.nok.value}, avg: {whole.avg.value}"
        return f"AUC: {whole.pixel_auroc.value}, ok: {self.pixels.ok}, nok: {self.pixels.nok}, avg: {self.pixels.avg}"


def summarise(cases: Sequence[Case], dataset: str, notes: tuple[str, ...] = ()) -> Evaluation:
    """Compute all figures of inspected cases."""
    types = sorted({case.image.defect for case in cases if case.defective})
    good = [case for case in cases if not case.defective]
    figures = {}
    for name in types if len(types) > 1 else []:
        figures[name] = metrics_of(good + [case for case in cases if case.image.defect == name])
    figures[ALL] = metrics_of(cases)
    without_mask = sum(case.truth is None for case in cases)
    if without_mask:
        notes += (f"{without_mask} defective images have no ground truth: left out of the pixel figures",)
    return Evaluation(dataset, figures, _pixel_rates(cases), tuple(cases), notes)


def metrics_of(cases: Sequence[Case]) -> Metrics:
    """Compute the figures of some cases, with intervals: Wilson's for shares, by resampling images for areas."""
    scores = np.array([case.score for case in cases])
    defective = np.array([case.defective for case in cases])
    verdicts = Verdicts.of(scores, defective)

    def share(value: float, right: int, total: int) -> Estimate:
        return Estimate(value, *wilson(right, total))

    right = verdicts.good_right + verdicts.defective_right

    def image_auroc(indices: np.ndarray) -> float:
        return auroc(scores[indices], defective[indices])

    def balanced(indices: np.ndarray) -> float:
        return Verdicts.of(scores[indices], defective[indices]).balanced_accuracy

    marked = [case for case in cases if case.truth is not None]
    return Metrics(
        good=verdicts.good,
        defective=verdicts.defective,
        ok=share(verdicts.ok, verdicts.good_right, verdicts.good),
        nok=share(verdicts.nok, verdicts.defective_right, verdicts.defective),
        avg=share(verdicts.avg, right, len(cases)),
        balanced_accuracy=Estimate(verdicts.balanced_accuracy, *bootstrap(balanced, defective)),
        image_auroc=Estimate(image_auroc(np.arange(len(cases))), *bootstrap(image_auroc, defective)),
        **_pixel_figures(marked),
    )


def _pixel_figures(cases: Sequence[Case]) -> dict[str, Estimate]:
    maps = [case.anomaly for case in cases]
    masks = [case.truth for case in cases if case.truth is not None]
    if not any(mask.any() for mask in masks):
        return dict.fromkeys(("pixel_auroc", "au_pro_30", "au_pro_05", "pixel_f1"), Estimate(nan))
    defective = np.array([case.defective for case in cases])
    histograms = PixelHistograms.of(maps, masks)
    rates, overlaps = pro_curve(maps, masks)

    def pro(limit: float) -> Estimate:
        interval = bootstrap(lambda images: histograms.au_pro(images, limit=limit), defective)
        return Estimate(area_under(rates, overlaps, limit=limit), *interval)

    found = [anomaly > 1 for anomaly in maps]
    hits = np.array([np.count_nonzero(mask & truth) for mask, truth in zip(found, masks, strict=True)])
    marked = np.array([mask.sum() + truth.sum() for mask, truth in zip(found, masks, strict=True)])

    def drawn_f1(images: np.ndarray) -> float:
        return 2 * hits[images].sum() / marked[images].sum() if marked[images].any() else nan

    return {
        "pixel_auroc": Estimate(auroc(np.stack(maps), np.stack(masks)), *bootstrap(histograms.auroc, defective)),
        "au_pro_30": pro(PRO_LIMITS[0]),
        "au_pro_05": pro(PRO_LIMITS[1]),
        "pixel_f1": Estimate(pixel_f1(found, masks), *bootstrap(drawn_f1, defective)),
    }


def _pixel_rates(cases: Sequence[Case]) -> PixelRates:
    pairs = [(case.anomaly > 1, case.truth) for case in cases if case.truth is not None]
    good = sum(int((~truth).sum()) for _, truth in pairs)
    defective = sum(int(truth.sum()) for _, truth in pairs)
    good_right = sum(int((~found & ~truth).sum()) for found, truth in pairs)
    defective_right = sum(int((found & truth).sum()) for found, truth in pairs)
    return PixelRates(
        good_right / good if good else nan,
        defective_right / defective if defective else nan,
        (good_right + defective_right) / (good + defective) if good + defective else nan,
    )
