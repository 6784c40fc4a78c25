"""Evaluate a detector, and write the page that shows how it went."""

from __future__ import annotations

import shlex
from math import isfinite
from pathlib import Path
from typing import Any

from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.provenance import GIVEN
from ssim_ae.evaluation.evaluate import evaluate, evaluate_images
from ssim_ae.evaluation.metrics import roc
from ssim_ae.evaluation.results import Estimate, Evaluation, Metrics
from ssim_ae.images.folders import ALL, GOOD, Dataset, TestImage
from ssim_ae.pages.page import page
from ssim_ae.storage import write_whole
from ssim_ae.training.history import read_history

PAGE_NAME = "index.html"


def report(path: Path, detector: Detector, dataset: Dataset, folder: Path) -> Evaluation:
    """Evaluate the detector of the file at `path`; write figures, pictures and the page that shows them into `folder`.

    Without test images it is shown on the good images that were held out of its training, or that it has never seen.
    """
    if dataset.test:
        evaluation, shown = evaluate(detector, dataset, folder), "test images"
    else:
        good, shown = _good_images(detector, dataset)
        evaluation = evaluate_images(detector, [TestImage(image, GOOD) for image in good], dataset.name, folder)
    data = _data(path, detector, evaluation, shown, tested=bool(dataset.test))
    scripts = ("charts.js", "report.js")
    write_whole(folder / PAGE_NAME, page("report", f"{dataset.name}: report", data, scripts))
    return evaluation


def _good_images(detector: Detector, dataset: Dataset) -> tuple[list[Path], str]:
    """Return good images to show, and what they are."""
    split = detector.provenance.split(dataset.good)
    if split.held_out:
        return split.held_out, "held-out good images, which set the threshold"
    if split.unseen:
        return split.unseen, "good images that the detector was not trained on"
    return split.training, "good images that the detector was trained on"


def _data(path: Path, detector: Detector, evaluation: Evaluation, shown: str, *, tested: bool) -> dict[str, Any]:
    cases = evaluation.cases
    whole = evaluation.figures[ALL]
    wrong, right, _ = roc([case.score for case in cases], [case.defective for case in cases])
    return {
        "dataset": evaluation.dataset,
        "path": None if read_detector(path).model else shlex.quote(str(path)),
        "summary": f"{len(cases)} {shown}"
        + (f": {whole.good} good, {whole.defective} defective" if tested else "; no test images to measure with"),
        "heading": f"{len(cases)} {shown.partition(',')[0]}",
        "tested": tested,
        "defective": whole.defective > 0,
        "thresholds": detector.thresholds._asdict(),
        "where": f"Default threshold: {detector.provenance.thresholds}",
        "origin": [*_about(detector), *evaluation.notes],
        "figures": {name: _figures(row) for name, row in evaluation.figures.items()},
        "roc": list(zip(wrong.tolist(), right.tolist(), strict=True)) if whole.good and whole.defective else None,
        "history": [
            {"loss": _finite(row.loss), "held_out_loss": _finite(row.held_out_loss)}
            for row in read_history(path.parent)
        ],
        "images": [
            {
                "name": case.image.name,
                "type": case.image.defect,
                "defective": case.defective,
                "score": case.score,
            }
            for case in cases
        ],
    }


def _figures(row: Metrics) -> dict[str, list[float | None]]:
    """Value and interval of each, null where there is none."""
    figures = {key: figure for key, figure in vars(row).items() if isinstance(figure, Estimate)}
    return {
        key: [_finite(number) for number in (figure.value, figure.low, figure.high)] for key, figure in figures.items()
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None


def _about(detector: Detector) -> list[str]:
    """Describe a detector in a few sentences."""
    config, provenance = detector.config, detector.provenance
    given = provenance.thresholds.estimator == GIVEN
    trained = len(provenance.training_images)
    texts = [
        f"Thresholds: SSIM residual {detector.thresholds.ssim:.4g}, L1 residual {detector.thresholds.l1:.4g}"
        + (", given." if given else ", estimated without test images."),
        f"Method {config.method}: {detector.method.describe(config)}. Patches of {config.crop_size} px, "
        f"{'gray' if config.grayscale else 'color'}; images resized to {config.im_resize} px."
        + (f" Trained on {trained} good images" if trained else "")
        + (
            f" in {provenance.minutes:.1f} minutes on {provenance.device}."
            if provenance.device
            else "." * bool(trained)
        ),
        f"Imported from the reference's checkpoint {provenance.imported_from}." if provenance.imported_from else "",
        ", ".join(f"{name} {version}" for name, version in provenance.versions.items()),
    ]
    return [text for text in texts if text]
