"""Evaluate a detector, and write the report page."""

from __future__ import annotations

import shlex
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.provenance import GIVEN
from ssim_ae.detector.run_folder import DETECTOR_NAME, run_of
from ssim_ae.evaluation.evaluate import evaluate_images, notes_of, unseen_images
from ssim_ae.evaluation.metrics import roc
from ssim_ae.evaluation.results import Estimate, Evaluation, ImageResult, Metrics
from ssim_ae.images.folders import ALL, GOOD, Dataset, as_test_images
from ssim_ae.locations import shown_path
from ssim_ae.maps.levels import LEVEL_THRESHOLDS
from ssim_ae.maps.residuals import described
from ssim_ae.pages.detectability import detectability_data
from ssim_ae.pages.page import render_page
from ssim_ae.spelling import counted, duration
from ssim_ae.storage import replacement_folder, write_atomic
from ssim_ae.training.history import read_history

PAGE_NAME = "index.html"
MAX_ROC_POINTS = 2000
SCRIPTS = ("charts.js", "rates.js", "filters.js", "report.js")  # in the order of their dependencies
FIGURES = ("scores", "roc", "loss")  # that plots.py writes, each if there are data for it


def report_folder(path: Path, config: Config, dataset: Dataset) -> Path:
    """Return the folder of the report of the detector file at `path` on a data set.

    A run's report of the data set of its training is in `report`; every other data set has a folder of its own.
    """
    parts = ["report"]
    if path.name != DETECTOR_NAME:
        parts.append(path.stem)
    if Path(dataset.root).resolve() != Path(config.dataset_path).resolve():
        parts.append(dataset.name)
    return path.parent / "-".join(parts)


def write_report(path: Path, detector: Detector, dataset: Dataset, folder: Path, figures: str = "") -> Evaluation:
    """Evaluate the detector of the file at `path`; write metrics, images and the report page into `folder`.

    It replaces the report in the folder as a whole; InputError if the folder holds other files. `figures`, png or svg,
    also writes the curves as figures for a paper.

    Without test images, the detector is evaluated on good images of the data set: on its held-out images, or if there
    are none on those that it was not trained on, or if there are none on its training images.
    """
    notes: list[str] = []
    if dataset.test:
        images, notes = unseen_images(dataset, detector)
        kind = "test image"
    else:
        good, kind = _images_in_report(detector, dataset)
        images = as_test_images(good)
    with replacement_folder(folder) as new:
        evaluation = evaluate_images(detector, images, dataset.name, new, [*notes_of(dataset), *notes])
        data = _page_data(path, detector, evaluation, kind, tested=bool(dataset.test))
        write_atomic(new / PAGE_NAME, render_page("report", f"{dataset.name}: report", data, SCRIPTS))
        if figures:
            from ssim_ae.report.plots import write_plots

            write_plots(evaluation, path.parent, new, figures)
    return evaluation


def _images_in_report(detector: Detector, dataset: Dataset) -> tuple[list[Path], str]:
    """Return the good images to evaluate a detector on, and what kind of images they are."""
    split = detector.provenance.split(dataset.good)
    if split.held_out:
        return split.held_out, "held-out image"
    if split.unseen:
        return split.unseen, "unseen good image"
    return split.training, "training image"


def _page_data(path: Path, detector: Detector, evaluation: Evaluation, kind: str, *, tested: bool) -> dict[str, Any]:
    """Return the data that report.js reads."""
    total = evaluation.metrics[ALL]
    heading = counted(len(evaluation.results), kind)
    counts = f": {total.good} good, {total.defective} defective" if tested else "; no test images available"
    exported = read_detector(path).model is not None
    return {
        "dataset": evaluation.dataset,
        "detector_path": None if exported else shlex.quote(shown_path(run_of(path) or path)),
        "heading": heading,
        "summary": heading + counts,
        "tested": tested,
        "has_defective": total.defective > 0,
        "detectability": found.model_dump() if (found := detectability_data(detector)) else None,
        "residual_thresholds": dict(detector.thresholds),
        "has_regions": detector.regions is not None,
        "reconstructs": detector.method.reconstructs,
        "view": {"size": detector.view.size, "resized": detector.view.working_size},
        "threshold_origin": _threshold_origin(detector),
        "about": [*_about(detector), *evaluation.notes],
        "metrics": {name: _estimates(row) for name, row in evaluation.metrics.items()},
        "roc": roc_points(evaluation.results) if total.good and total.defective else None,
        "history": [
            {"loss": _finite(epoch.loss), "held_out_loss": _finite(epoch.held_out_loss)}
            for epoch in read_history(path.parent)
        ],
        "how_shown": evaluation.how_shown,
        "others": _others(evaluation),
        "images": [
            {
                "name": result.image.name,
                "files": result.files,
                "defect_type": result.image.defect,
                "defective": result.defective,
                "score": result.score,
                "height": result.size[0],
                "width": result.size[1],
            }
            for result in evaluation.shown
        ],
    }


def _others(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Count the images that are not shown by defect type and by how many of LEVEL_THRESHOLDS the score exceeds.

    The verdicts at any threshold of the page depend on nothing else.
    """
    shown = {result.image.path for result in evaluation.shown}
    scores: dict[str, list[float]] = {}
    for result in evaluation.results:
        if result.image.path not in shown:
            scores.setdefault(result.image.defect, []).append(result.score)
    return [
        {
            "defect_type": defect,
            "defective": defect != GOOD,
            "counts": np.bincount(np.searchsorted(LEVEL_THRESHOLDS, np.array(of_type, np.float32))).tolist(),
        }
        for defect, of_type in scores.items()
    ]


def roc_points(results: tuple[ImageResult, ...]) -> list[tuple[float, float]]:
    """Return pairs of false-positive and true-positive rate, of many only those that a drawing can distinguish."""
    rates = roc([result.score for result in results], [result.defective for result in results])
    points = np.stack(rates[:2], axis=1)
    if len(points) > MAX_ROC_POINTS:
        cells = np.floor(points * MAX_ROC_POINTS / 2)
        is_new = np.any(np.diff(cells, axis=0, prepend=-1) > 0, axis=1)
        is_new[-1] = True
        points = points[is_new]
    return [(x, y) for x, y in points.tolist()]


def _estimates(row: Metrics) -> dict[str, list[float | None]]:
    """Return value, lower and upper bound of each metric; None for numbers that are not finite."""
    return {
        metric: [_finite(number) for number in (estimate.value, estimate.low, estimate.high)]
        for metric, estimate in vars(row).items()
        if isinstance(estimate, Estimate)
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None


def _threshold_origin(detector: Detector) -> str:
    """Describe how the default threshold was determined."""
    origin = detector.provenance.thresholds
    if origin.estimator == GIVEN:
        return "The default threshold was set manually."
    return f"The default threshold was calibrated on good images. {origin}"


def _about(detector: Detector) -> list[str]:
    """Describe thresholds, method, training and versions, a paragraph each."""
    config, provenance = detector.config, detector.provenance
    origin = "set manually" if provenance.thresholds.estimator == GIVEN else "estimated without test images"
    channels = "Gray" if config.grayscale else "RGB"
    patches = f" patches of {config.crop_size} px; images" if config.uses("crop_size") else " images"
    paragraphs = [
        f"Thresholds: {described(detector.thresholds)}, {origin}.",
        f"Method {config.method}: {detector.method.describe(config)}. "
        f"{channels}{patches} resized to {config.working_size}.",
    ]
    if detector.regions:
        paragraphs.append(f"Regions: {detector.regions}.")
    if trained := len(provenance.training_images):
        how = f" in {duration(provenance.minutes)} on {provenance.device}" if provenance.device else ""
        paragraphs.append(f"Trained on {counted(trained, 'good image')}{how}.")
    if provenance.imported_from:
        paragraphs.append(f"Imported from the checkpoint {provenance.imported_from} of the reference.")
    if provenance.versions:
        versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
        paragraphs.append(f"Versions: {versions}.")
    return paragraphs
