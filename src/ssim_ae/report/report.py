"""Evaluate a detector, and write the report page."""

from __future__ import annotations

import shlex
from math import isfinite
from pathlib import Path
from typing import Any

from ssim_ae.detector.detector import DETECTOR_NAME, Detector
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.provenance import GIVEN
from ssim_ae.evaluation.evaluate import evaluate, evaluate_images, notes_of
from ssim_ae.evaluation.metrics import roc
from ssim_ae.evaluation.results import Estimate, Evaluation, ImageResult, Metrics
from ssim_ae.images.folders import ALL, GOOD, Dataset, TestImage
from ssim_ae.locations import shown_path
from ssim_ae.pages.detectability import detectability_data
from ssim_ae.pages.page import render_page
from ssim_ae.spelling import counted
from ssim_ae.storage import write_atomic
from ssim_ae.training.history import read_history

PAGE_NAME = "index.html"
SCRIPTS = ("charts.js", "rates.js", "filters.js", "report.js")  # in the order of their dependencies


def write_report(path: Path, detector: Detector, dataset: Dataset, folder: Path) -> Evaluation:
    """Evaluate the detector of the file at `path`; write metrics, images and the report page into `folder`.

    Without test images, the detector is evaluated on good images of the data set: on its held-out images, or if there
    are none on those that it was not trained on, or if there are none on its training images.
    """
    if dataset.test:
        evaluation, kind = evaluate(detector, dataset, folder), "test image"
    else:
        images, kind = _images_in_report(detector, dataset)
        good, notes = [TestImage(image, GOOD) for image in images], notes_of(dataset)
        evaluation = evaluate_images(detector, good, dataset.name, folder, notes)
    data = _page_data(path, detector, evaluation, kind, tested=bool(dataset.test))
    write_atomic(folder / PAGE_NAME, render_page("report", f"{dataset.name}: report", data, SCRIPTS))
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
        "detector_path": None if exported else shlex.quote(shown_path(path)),
        "detector": None if exported else shlex.quote(str(path.parent if path.name == DETECTOR_NAME else path)),
        "heading": heading,
        "summary": heading + counts,
        "tested": tested,
        "has_defective": total.defective > 0,
        "detectability": found.model_dump() if (found := detectability_data(detector.detectability)) else None,
        "residual_thresholds": detector.thresholds._asdict(),
        "view": {"size": detector.view.size, "resized": detector.view.im_resize},
        "threshold_origin": _threshold_origin(detector),
        "about": [*_about(detector), *evaluation.notes],
        "metrics": {name: _estimates(row) for name, row in evaluation.metrics.items()},
        "roc": _roc_points(evaluation.results) if total.good and total.defective else None,
        "history": [
            {"loss": _finite(epoch.loss), "held_out_loss": _finite(epoch.held_out_loss)}
            for epoch in read_history(path.parent)
        ],
        "images": [
            {
                "name": result.image.name,
                "defect_type": result.image.defect,
                "defective": result.defective,
                "score": result.score,
                "height": result.size[0],
                "width": result.size[1],
            }
            for result in evaluation.results
        ],
    }


def _roc_points(results: tuple[ImageResult, ...]) -> list[tuple[float, float]]:
    """Return pairs of false-positive and true-positive rate."""
    rates = roc([result.score for result in results], [result.defective for result in results])
    return list(zip(rates[0].tolist(), rates[1].tolist(), strict=True))


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
    ssim, l1 = detector.thresholds
    origin = "set manually" if provenance.thresholds.estimator == GIVEN else "estimated without test images"
    channels = "Gray" if config.grayscale else "RGB"
    paragraphs = [
        f"Thresholds: SSIM residual {ssim:.4g}, L1 residual {l1:.4g}, {origin}.",
        f"Method {config.method}: {detector.method.describe(config)}. "
        f"{channels} patches of {config.crop_size} px; images resized to {config.im_resize} px.",
    ]
    if trained := len(provenance.training_images):
        duration = f" in {provenance.minutes:.1f} minutes on {provenance.device}" if provenance.device else ""
        paragraphs.append(f"Trained on {counted(trained, 'good image')}{duration}.")
    if provenance.imported_from:
        paragraphs.append(f"Imported from the checkpoint {provenance.imported_from} of the reference.")
    if provenance.versions:
        versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
        paragraphs.append(f"Versions: {versions}.")
    return paragraphs
