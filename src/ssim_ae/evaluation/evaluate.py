"""Inspect the test images of a data set and say how well it went, per defect type and in all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np

from ssim_ae.console import progress
from ssim_ae.detection.detector import Detector, Inspection
from ssim_ae.errors import InputError
from ssim_ae.evaluation import pictures
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
from ssim_ae.images.files import read_mask
from ssim_ae.images.folders import GOOD, Dataset, TestImage, content_hash, find_dataset
from ssim_ae.storage import write_whole

ALL = "all"
MASK_TOLERANCE = 0.02  # by which the proportions of a mask may differ from its image's
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
class Figure:
    """A figure of merit in [0, 1] with its 95 % interval; NaN where it cannot be computed."""

    value: float
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class Figures:
    """All figures of one defect type against the good images. Pixels count as inspected, S x S an image."""

    good: int
    defective: int
    ok: Figure
    nok: Figure
    avg: Figure
    balanced_accuracy: Figure
    image_auroc: Figure
    pixel_auroc: Figure
    au_pro_30: Figure
    au_pro_05: Figure
    pixel_f1: Figure


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
    figures: dict[str, Figures]
    pixels: PixelRates
    cases: tuple[Case, ...]
    notes: tuple[str, ...]

    def reference_line(self, *, image_level: bool = True) -> str:
        """Return the closing line in the reference's form."""
        whole = self.figures[ALL]
        if image_level:
            return f"ok: {whole.ok.value}, nok: {whole.nok.value}, avg: {whole.avg.value}"
        return f"AUC: {whole.pixel_auroc.value}, ok: {self.pixels.ok}, nok: {self.pixels.nok}, avg: {self.pixels.avg}"


def evaluate(
    detector: Detector, dataset: Dataset | str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
) -> Evaluation:
    """Inspect the test images of a data set or its folder; write figures (JSON, CSV) and pictures into `folder`.

    A test image that cannot be read is left out and noted. InputError where there are none.
    """
    if not isinstance(dataset, Dataset):
        suffixes = {"img_suffix": detector.config.img_suffix, "mask_suffix": detector.config.mask_suffix}
        dataset = find_dataset(dataset, **suffixes)
    target = Path(folder) if folder else None
    if not dataset.test:
        raise InputError(f"{dataset.root}: no test images; looked in its folder test")
    if target:
        target.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = []
    test, notes = _unseen(dataset.test, detector)
    with progress("inspecting test images", len(test)) as bar:
        found = detector.inspect_all(image.path for image in test)
        for image, inspection in zip(test, found, strict=True):
            bar.advance()
            if isinstance(inspection, InputError):
                notes.append(f"left out: {inspection}")
                continue
            try:
                truth = _truth(image, detector, inspection)
            except InputError as error:
                truth = None
                notes.append(f"ground truth left out: {error}")
            cases.append(Case(image, inspection.score, inspection.anomaly, truth))
            if target:
                pictures.write_case(target / "images", image.name, inspection)
    if not cases:
        raise InputError(f"{dataset.root}: no test image could be read")
    evaluation = summarise(cases, dataset.name, tuple(notes))
    if target:
        _write_figures(evaluation, target)
        pictures.write_contact_sheet(target, evaluation.cases, evaluation.dataset)
    return evaluation


def summarise(cases: Sequence[Case], dataset: str, notes: tuple[str, ...] = ()) -> Evaluation:
    """Compute all figures of inspected cases."""
    types = sorted({case.image.defect for case in cases if case.defective})
    good = [case for case in cases if not case.defective]
    figures = {}
    for name in types if len(types) > 1 else []:
        figures[name] = figures_of(good + [case for case in cases if case.image.defect == name])
    figures[ALL] = figures_of(cases)
    without_mask = sum(case.truth is None for case in cases)
    if without_mask:
        notes += (f"{without_mask} defective images have no ground truth: left out of the pixel figures",)
    return Evaluation(dataset, figures, _pixel_rates(cases), tuple(cases), notes)


def figures_of(cases: Sequence[Case]) -> Figures:
    """Compute the figures of some cases, with intervals: Wilson's for shares, by resampling images for areas."""
    scores = np.array([case.score for case in cases])
    defective = np.array([case.defective for case in cases])
    verdicts = Verdicts.of(scores, defective)

    def share(value: float, right: int, total: int) -> Figure:
        return Figure(value, *wilson(right, total))

    right = verdicts.good_right + verdicts.defective_right

    def image_auroc(indices: np.ndarray) -> float:
        return auroc(scores[indices], defective[indices])

    def balanced(indices: np.ndarray) -> float:
        return Verdicts.of(scores[indices], defective[indices]).balanced_accuracy

    marked = [case for case in cases if case.truth is not None]
    return Figures(
        good=verdicts.good,
        defective=verdicts.defective,
        ok=share(verdicts.ok, verdicts.good_right, verdicts.good),
        nok=share(verdicts.nok, verdicts.defective_right, verdicts.defective),
        avg=share(verdicts.avg, right, len(cases)),
        balanced_accuracy=Figure(verdicts.balanced_accuracy, *bootstrap(balanced, defective)),
        image_auroc=Figure(image_auroc(np.arange(len(cases))), *bootstrap(image_auroc, defective)),
        **_pixel_figures(marked),
    )


def _pixel_figures(cases: Sequence[Case]) -> dict[str, Figure]:
    maps = [case.anomaly for case in cases]
    masks = [case.truth for case in cases if case.truth is not None]
    if not any(mask.any() for mask in masks):
        return dict.fromkeys(("pixel_auroc", "au_pro_30", "au_pro_05", "pixel_f1"), Figure(nan))
    defective = np.array([case.defective for case in cases])
    histograms = PixelHistograms.of(maps, masks)
    rates, overlaps = pro_curve(maps, masks)

    def pro(limit: float) -> Figure:
        interval = bootstrap(lambda images: histograms.au_pro(images, limit=limit), defective)
        return Figure(area_under(rates, overlaps, limit=limit), *interval)

    found = [anomaly > 1 for anomaly in maps]
    hits = np.array([np.count_nonzero(mask & truth) for mask, truth in zip(found, masks, strict=True)])
    marked = np.array([mask.sum() + truth.sum() for mask, truth in zip(found, masks, strict=True)])

    def drawn_f1(images: np.ndarray) -> float:
        return 2 * hits[images].sum() / marked[images].sum() if marked[images].any() else nan

    return {
        "pixel_auroc": Figure(auroc(np.stack(maps), np.stack(masks)), *bootstrap(histograms.auroc, defective)),
        "au_pro_30": pro(PRO_LIMITS[0]),
        "au_pro_05": pro(PRO_LIMITS[1]),
        "pixel_f1": Figure(pixel_f1(found, masks), *bootstrap(drawn_f1, defective)),
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


def _unseen(test: Sequence[TestImage], detector: Detector) -> tuple[list[TestImage], list[str]]:
    """Leave out images that the detector was made from, and say so."""
    seen = {*detector.provenance.get("trained_images", ()), *detector.provenance.get("held_out_images", ())}
    unseen = [image for image in test if not seen or not image.path.is_file() or content_hash(image.path) not in seen]
    count = len(test) - len(unseen)
    return unseen, [f"{count} test images left out: the detector was made from them"] if count else []


def _truth(image: TestImage, detector: Detector, inspection: Inspection) -> np.ndarray | None:
    if image.defect == GOOD:
        return np.zeros(inspection.anomaly.shape, bool)
    if not image.mask:
        return None
    mask = read_mask(image.mask)
    height, width = inspection.image.shape[:2]
    if abs(mask.shape[0] * width - mask.shape[1] * height) > MASK_TOLERANCE * mask.shape[1] * height:
        raise InputError(f"{image.mask}: {mask.shape[1]} x {mask.shape[0]} px for an image of {width} x {height}")
    return detector.view.truth(mask)


def _write_figures(evaluation: Evaluation, folder: Path) -> None:
    figures = {name: asdict(row) for name, row in evaluation.figures.items()}
    scores = {case.image.name: {"score": case.score, "right": case.right} for case in evaluation.cases}
    document = {
        "dataset": evaluation.dataset,
        "figures": figures,
        "pixels": asdict(evaluation.pixels),
        "images": scores,
        "notes": evaluation.notes,
    }
    write_whole(folder / "figures.json", json.dumps(_without_nan(document), indent=1) + "\n")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows(_csv_rows(evaluation))
    write_whole(folder / "figures.csv", table.getvalue())


def _csv_rows(evaluation: Evaluation) -> Iterator[list[Any]]:
    yield ["type", "figure", "value", "low_95", "high_95", "good", "defective"]
    for name, row in evaluation.figures.items():
        for key, figure in vars(row).items():
            if isinstance(figure, Figure):
                numbers = ["" if not isfinite(x) else f"{x:.6f}" for x in (figure.value, figure.low, figure.high)]
                yield [name, key, *numbers, row.good, row.defective]


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
