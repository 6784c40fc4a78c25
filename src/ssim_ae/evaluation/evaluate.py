"""Inspect the test images of a data set, and write down how well it went."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ssim_ae.console import progress
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.detector.predictions import safe_cell
from ssim_ae.errors import InputError
from ssim_ae.evaluation import pictures
from ssim_ae.evaluation.results import Case, Estimate, Evaluation, summarise
from ssim_ae.images.files import read_mask
from ssim_ae.images.folders import GOOD, Dataset, TestImage, find_dataset
from ssim_ae.storage import write_whole

MASK_TOLERANCE = 0.02  # by which the proportions of a mask may differ from its image's


def evaluate(
    detector: Detector, dataset: Dataset | str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
) -> Evaluation:
    """Inspect the test images of a data set or its folder; write figures (JSON, CSV) and pictures into `folder`.

    A test image that cannot be read is left out and noted. InputError where there are none.
    """
    if not isinstance(dataset, Dataset):
        suffixes = {"img_suffix": detector.config.img_suffix, "mask_suffix": detector.config.mask_suffix}
        dataset = find_dataset(dataset, **suffixes)
    check_has_test_images(dataset)
    test, notes = _unseen(dataset.test, detector)
    return evaluate_images(detector, test, dataset.name, Path(folder) if folder else None, notes)


def check_has_test_images(dataset: Dataset) -> None:
    """InputError where there are none."""
    if not dataset.test:
        raise InputError(f"{dataset.root}: no test images; looked in its folder test")


def evaluate_images(
    detector: Detector, images: Sequence[TestImage], dataset: str, folder: Path | None = None, notes: Sequence[str] = ()
) -> Evaluation:
    """Inspect images as `evaluate` does, whether the detector was made from them or not."""
    notes = list(notes)
    by_path = {image.path: image for image in images}
    twice = [name for name, count in Counter(image.name for image in images).items() if count > 1]
    if twice:
        raise InputError(f"{dataset}: two images are named {twice[0]}; rename one")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)

    def finish(path: Path, inspection: Inspection) -> tuple[Case, str]:
        case, note = _case(by_path[path], detector, inspection)
        if folder:
            pictures.write_case(folder / "images", case, inspection)
        return case, note

    cases: list[Case] = []
    with progress("inspecting images", len(by_path)) as bar:
        for result in detector.map_inspections(list(by_path), finish):
            bar.advance()
            if isinstance(result, InputError):
                notes.append(f"left out: {result}")
                continue
            cases.append(result[0])
            notes += filter(None, result[1:])
    if not cases:
        raise InputError(f"{dataset}: no image to evaluate on could be read")
    evaluation = summarise(cases, dataset, tuple(notes))
    if folder:
        _write_figures(evaluation, folder)
        pictures.write_contact_sheet(folder, evaluation.cases, evaluation.dataset)
    return evaluation


def _unseen(test: Sequence[TestImage], detector: Detector) -> tuple[list[TestImage], list[str]]:
    """Return the test images that had no part in the detector's training, and a note if there are others."""
    unseen = set(detector.provenance.split([image.path for image in test]).unseen)
    count = sum(image.path not in unseen for image in test)
    notes = [f"{count} test images skipped: they are training or held-out images of the detector"] if count else []
    return [image for image in test if image.path in unseen], notes


def _case(image: TestImage, detector: Detector, inspection: Inspection) -> tuple[Case, str]:
    """Return the case, and what is to be noted of it."""
    note = ""
    try:
        truth = _truth(image, detector, inspection)
    except InputError as error:
        truth, note = None, f"ground truth left out: {error}"
    return Case(image, inspection.score, inspection.anomaly, truth), note


def _truth(image: TestImage, detector: Detector, inspection: Inspection) -> np.ndarray | None:
    if image.defect == GOOD:
        return np.zeros(inspection.anomaly.shape, bool)
    if not image.mask:
        return None
    mask = read_mask(image.mask)
    if not mask.any():
        raise InputError(f"{image.mask}: says of a defective image that no pixel is")
    height, width = inspection.pixels.shape[:2]
    if abs(mask.shape[0] * width - mask.shape[1] * height) > MASK_TOLERANCE * mask.shape[1] * height:
        raise InputError(f"{image.mask}: {mask.shape[1]} x {mask.shape[0]} px for an image of {width} x {height}")
    truth = detector.view.crop_mask(mask)
    if not truth.any():
        raise InputError(f"{image.mask}: nothing is left of the defect at {truth.shape[1]} x {truth.shape[0]} px")
    return truth


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
            if isinstance(figure, Estimate):
                numbers = ["" if not isfinite(x) else f"{x:.6f}" for x in (figure.value, figure.low, figure.high)]
                yield [safe_cell(name), key, *numbers, row.good, row.defective]


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
