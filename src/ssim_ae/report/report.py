"""Evaluate a detector, and write the page that shows how it went."""

from __future__ import annotations

import shlex
from math import isfinite
from pathlib import Path
from typing import Any

from ssim_ae.detection.calibrate import threshold_images
from ssim_ae.detection.detector import Detector
from ssim_ae.detection.recalibrate import held_out_images
from ssim_ae.evaluation.evaluate import evaluate, evaluate_images
from ssim_ae.evaluation.figures import ALL, Evaluation, Figure, Figures
from ssim_ae.evaluation.metrics import roc
from ssim_ae.images.folders import GOOD, Dataset, TestImage
from ssim_ae.pages.page import page
from ssim_ae.storage import write_whole
from ssim_ae.training.history import read_history

PAGE_NAME = "index.html"


def report(path: Path, detector: Detector, dataset: Dataset, folder: Path) -> Evaluation:
    """Evaluate the detector of the file at `path`; write figures, pictures and the page that shows them into `folder`.

    Without test images it is shown on the good images that were held out of its training. InputError without those.
    """
    if dataset.test:
        evaluation = evaluate(detector, dataset, folder)
    else:
        held_out = [TestImage(image, GOOD) for image in held_out_images(detector, path)]
        evaluation = evaluate_images(detector, held_out, dataset.name, folder)
    data = _data(path, detector, evaluation, tested=bool(dataset.test))
    scripts = ("charts.js", "report.js")
    write_whole(folder / PAGE_NAME, page("report", f"{dataset.name}: report", data, scripts))
    return evaluation


def _data(path: Path, detector: Detector, evaluation: Evaluation, *, tested: bool) -> dict[str, Any]:
    cases = evaluation.cases
    whole = evaluation.figures[ALL]
    wrong, right, _ = roc([case.score for case in cases], [case.defective for case in cases])
    return {
        "dataset": evaluation.dataset,
        "path": shlex.quote(str(path)),
        "summary": f"{len(cases)} test images: {whole.good} good, {whole.defective} defective"
        if tested
        else f"{len(cases)} good images held out of its training, which set its limit; no test images to measure with",
        "heading": "Every test image" if tested else "The good images held out of its training",
        "tested": tested,
        "defective": whole.defective > 0,
        "thresholds": detector.thresholds._asdict(),
        "where": _promise(detector),
        "origin": [*_origin(detector), *evaluation.notes],
        "figures": {name: _figures(row) for name, row in evaluation.figures.items()},
        "roc": list(zip(wrong.tolist(), right.tolist(), strict=True)) if whole.good and whole.defective else None,
        "history": [{"loss": row.loss, "held_out_loss": row.held_out_loss} for row in read_history(path.parent)],
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


def _figures(row: Figures) -> dict[str, list[float | None]]:
    """Value and interval of each, null where there is none."""
    figures = {key: figure for key, figure in vars(row).items() if isinstance(figure, Figure)}
    return {
        key: [number if isfinite(number) else None for number in (figure.value, figure.low, figure.high)]
        for key, figure in figures.items()
    }


def _promise(detector: Detector) -> str:
    """What the detector's own limit rests on."""
    origin = detector.provenance.get("thresholds", {})
    alarms = origin.get("false_alarms")
    rests = f"Its own limit: {origin.get('estimator', 'given')}, from {origin.get('good_images', 0)} good images."
    return rests if alarms is None else f"{rests} Cross-validated, {100 * alarms:.1f} % of them are called defective."


def _origin(detector: Detector) -> list[str]:
    config, made = detector.config, detector.provenance
    held_out, trained = made.get("held_out_images", []), made.get("trained_images", [])
    limits = len(threshold_images(held_out, trained)) if trained or held_out else 0
    texts = [
        f"Thresholds: SSIM residual {detector.thresholds.ssim:.4g}, L1 residual {detector.thresholds.l1:.4g}, from "
        f"{limits} good images {'held out of the training' if held_out else 'it learned from'}. "
        "No test image had a part in training, thresholds or the choice of a checkpoint.",
        f"Patches of {config.crop_size} px, {'gray' if config.grayscale else 'colour'}, a code of {config.z_dim} "
        f"numbers; images resized to {config.im_resize} px. Learned from {len(trained)} good images"
        + (f" in {made['minutes']:.1f} minutes on {made['device']}." if "minutes" in made else "."),
    ]
    versions = made.get("versions")
    return [*texts, ", ".join(f"{name} {version}" for name, version in versions.items())] if versions else texts
