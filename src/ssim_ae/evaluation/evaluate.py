"""Evaluate a detector on the test images of a data set, and write metrics and images into a folder."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.console import progress
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.detector.predictions import safe_cell
from ssim_ae.errors import InputError
from ssim_ae.evaluation.contact_sheet import write_contact_sheet
from ssim_ae.evaluation.image_files import copy_bytes, write_images
from ssim_ae.evaluation.metrics_file import METRICS_NAME
from ssim_ae.evaluation.pixel_metrics import PixelCounts, PixelGroups
from ssim_ae.evaluation.results import Estimate, Evaluation, ImageResult, summarize
from ssim_ae.evaluation.shown_images import MAX_SHOWN, choose_shown
from ssim_ae.images.folders import GOOD, Dataset, TestImage, as_test_images, content_hash, find_dataset
from ssim_ae.images.masks import Mask, read_mask
from ssim_ae.spelling import counted, listed
from ssim_ae.storage import atomic_file, replacement_folder, write_atomic

MAX_NAMED = 5  # images in a note
MAX_NOTES = 100  # of images that are skipped, and of ground truth that is ignored; others are counted
ASPECT_RATIO_TOLERANCE = 0.02  # relative difference between the aspect ratios of a mask and its image


class _Finished(NamedTuple):
    """The result of an image, and the counts of its pixels, None without ground truth.

    `note` is why its ground truth cannot be used, and `doubt` what is doubtful about its mask, if anything.
    `is_ignored` is whether its ground truth lies in ignored regions alone.
    """

    result: ImageResult
    pixels: PixelCounts | None
    note: str
    doubt: str
    is_ignored: bool


def evaluate(
    detector: Detector, dataset: Dataset | str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
) -> Evaluation:
    """Evaluate a detector on the test images of a data set, given as an object or as its folder.

    If `folder` is given, metrics.json, metrics.csv, contact_sheet.png and the images of each test image replace what an
    earlier evaluation wrote into it. Unreadable test images, and training or held-out images of the detector, are
    skipped with a note. Good images of a labeled data set that the detector has not seen are test images, too.
    InputError if there is no test image, or if the folder holds other files.
    """
    if not isinstance(dataset, Dataset):
        suffixes = {"img_suffix": detector.config.img_suffix, "mask_suffix": detector.config.mask_suffix}
        dataset = find_dataset(dataset, **suffixes)
    check_has_test_images(dataset)
    images, notes = unseen_images(dataset, detector)
    notes = [*notes_of(dataset), *notes]
    with replacement_folder(Path(folder)) if folder else nullcontext() as new:
        return evaluate_images(detector, images, dataset.name, new, notes)


def notes_of(dataset: Dataset) -> list[str]:
    """Return how a data set was read, as notes of an evaluation."""
    return [f"{dataset.name}: {note}" for note in dataset.notes]


def check_has_test_images(dataset: Dataset) -> None:
    """Raise InputError if a data set has no test images."""
    if not dataset.test:
        raise InputError(f"{dataset.root}: no test images; add them to its folder test")


def evaluate_images(
    detector: Detector, images: Sequence[TestImage], dataset: str, folder: Path | None = None, notes: Sequence[str] = ()
) -> Evaluation:
    """Evaluate a detector on images as `evaluate` does, including training and held-out images of the detector.

    `dataset` is the name of the data set; `notes` are put before the notes of this evaluation.
    """
    _check_names_differ(images, dataset)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    notes = list(notes)
    results: list[ImageResult] = []
    pixels = PixelGroups([image.defect for image in images])
    doubts = _RepeatedNotes()
    unusable = _RepeatedNotes()
    skipped = _RepeatedNotes()
    ignored: list[str] = []
    writes_all = len(images) <= MAX_SHOWN
    for finished in _finish_all(detector, images, folder if writes_all else None, "inspecting images"):
        if isinstance(finished, InputError):
            skipped.add(f"{finished}; image skipped")
            continue
        results.append(finished.result)
        if finished.pixels:
            pixels.add(finished.result.image.defect, finished.pixels)
        unusable.add(finished.note)
        doubts.add(finished.doubt)
        ignored += [finished.result.image.name] if finished.is_ignored else []
    notes += [*skipped.notes(MAX_NOTES, "image"), *unusable.notes(MAX_NOTES, "ground truth")]
    if not results:
        raise InputError("; ".join([f"{dataset}: none of the images can be evaluated", *notes[-1:]]))
    notes += doubts.notes(1, "mask")
    if ignored:
        images_with = f"{counted(len(ignored), 'defective image')} with defects in ignored regions alone"
        notes.append(f"{images_with}: missed unless rejected, without pixels that count: {listed(ignored, MAX_NAMED)}")
    evaluation = summarize(results, pixels, dataset, tuple(_with_relative_paths(notes, images)))
    if folder:
        shown, how_shown = choose_shown(results)
        if not writes_all:
            chosen = [result.image for result in shown]
            written = _finish_all(detector, chosen, folder, "writing images")
            shown = [each.result for each in written if not isinstance(each, InputError)]  # others are removed by now
        notes = [*evaluation.notes, *([how_shown] if how_shown else [])]
        evaluation = replace(evaluation, notes=tuple(notes), shown=tuple(shown), how_shown=how_shown)
        _write_metrics(evaluation, detector, folder)
        write_contact_sheet(folder, evaluation.results, shown, evaluation.dataset)
    return evaluation


class _RepeatedNotes:
    """Notes of the same kind, of which the first are kept, and the others counted."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, note: str) -> None:
        """Add a note, unless it is empty."""
        self._count += bool(note)
        self._first += [note] if note and len(self._first) < MAX_NOTES else []

    def notes(self, limit: int, kind: str) -> list[str]:
        """Return up to `limit` notes, the last with the number of others; each is of one `kind` of thing."""
        notes = self._first[:limit]
        if others := self._count - len(notes):
            notes[-1] += f" ({counted(others, f'other {kind}')} alike)"
        return notes


def _finish_all(
    detector: Detector, images: Sequence[TestImage], folder: Path | None, title: str
) -> Iterator[_Finished | InputError]:
    """Inspect images, and write their image files into a folder, if one is given."""
    by_path = {image.path: image for image in images}

    def finish(path: Path, inspection: Inspection) -> _Finished:
        return _finish(by_path[path], detector, inspection, folder, copy_bytes(len(by_path)))

    with progress(title, len(by_path)) as bar:
        for finished in detector.map_inspections(list(by_path), finish):
            bar.advance()
            yield finished


def _with_relative_paths(notes: Sequence[str], images: Sequence[TestImage]) -> Iterator[str]:
    """Yield notes in which the paths of images and masks start at their common folder: reports are passed on."""
    folders = {path.parent for image in images for path in (image.path, image.mask) if path}
    root = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    relative = {folder: folder.absolute().relative_to(root) for folder in folders if folder.name}
    for note in notes:
        for folder in sorted(relative, key=lambda folder: -len(folder.parts)):
            note = note.replace(f"{folder}{os.sep}", f"{relative[folder].as_posix()}/".removeprefix("./"))
        yield note


def _check_names_differ(images: Sequence[TestImage], dataset: str) -> None:
    duplicates = [name for name, count in Counter(image.name for image in images).items() if count > 1]
    if duplicates:
        raise InputError(f"{dataset}: two images have the name {duplicates[0]}; rename one")


def unseen_images(dataset: Dataset, detector: Detector) -> tuple[list[TestImage], list[str]]:
    """Return the images that are not training or held-out images of a detector, and a note if there are others.

    Raises:
        InputError: All images are training or held-out images.
    """
    good = as_test_images(dataset.good, dataset.test) if dataset.labeled else []
    candidates = [*dataset.test, *good]
    unseen_paths = set(detector.provenance.split([image.path for image in candidates]).unseen)
    unseen = [image for image in candidates if image.path in unseen_paths]
    count = sum(image.path not in unseen_paths for image in dataset.test)
    note = f"{counted(count, 'test image')} skipped: training or held-out images of the detector"
    if not unseen:
        raise InputError(f"{dataset.root}: {note}; add images that the detector does not know")
    return unseen, [note] if count else []


def _finish(
    image: TestImage, detector: Detector, inspection: Inspection, folder: Path | None, max_copy_bytes: int
) -> _Finished:
    """Return the result of an image, and write its image files into the folder of the evaluation, if there is one."""
    ground_truth, note, doubt = None, "", ""
    try:
        mask = read_mask(image.mask) if image.mask else None
        doubt = f"{image.mask}: {mask.doubt}" if mask and mask.doubt else ""
        ground_truth = _ground_truth(image, mask, detector, inspection)
    except InputError as error:
        note = f"{error}; ground truth ignored"
    height, width = inspection.pixels.shape[:2]
    inspected = inspection.sensitivity is None or inspection.sensitivity > 0
    pixels = None if ground_truth is None else PixelCounts.of(inspection.anomaly, ground_truth, inspected)
    is_ignored = ground_truth is not None and ground_truth.any() and not (ground_truth & inspected).any()
    result = ImageResult(image, inspection.score, pixels is not None, (height, width))
    if folder:
        write_images(folder / "images" / result.files, inspection, ground_truth, max_copy_bytes)
    return _Finished(result, pixels, note, doubt, bool(is_ignored))


def _ground_truth(image: TestImage, mask: Mask | None, detector: Detector, inspection: Inspection) -> np.ndarray | None:
    """Return the ground truth of an image at the size of the anomaly map, (H, W) bool; None if it has no mask."""
    if image.defect == GOOD:
        return np.zeros(inspection.anomaly.shape, bool)
    if not mask:
        return None
    marked = mask.pixels
    if not marked.any():
        raise InputError(f"{image.mask}: no defective pixel in the mask of a defective image")
    height, width = inspection.pixels.shape[:2]
    if abs(marked.shape[0] * width - marked.shape[1] * height) > ASPECT_RATIO_TOLERANCE * marked.shape[1] * height:
        raise InputError(
            f"{image.mask}: {marked.shape[1]} x {marked.shape[0]} px for an image of {width} x {height} px"
        )
    ground_truth = detector.view.crop_mask(marked)
    if not ground_truth.any():
        rows, columns = ground_truth.shape
        raise InputError(f"{image.mask}: no defective pixel after resizing to {columns} x {rows} px")
    return ground_truth


def _write_metrics(evaluation: Evaluation, detector: Detector, folder: Path) -> None:
    """Write metrics.json and metrics.csv."""
    document = {
        "dataset": evaluation.dataset,
        "thresholds": dict(detector.thresholds),
        "metrics": {name: asdict(row) for name, row in evaluation.metrics.items()},
        "pixels": {name: getattr(evaluation.pixels, name) for name in ("ok", "nok", "avg")},
        "notes": evaluation.notes,
    }
    with atomic_file(folder / METRICS_NAME) as file:  # image by image: there may be many
        file.write(json.dumps(_without_nan(document), indent=1).removesuffix("\n}") + ',\n "images": {')
        for index, result in enumerate(evaluation.results):
            row = {"score": result.score, "correct": result.correct, "sha256": _hash_if_readable(result.image.path)}
            file.write(f"{',' * (index > 0)}\n  {json.dumps(result.image.name)}: {json.dumps(_without_nan(row))}")
        file.write("\n }\n}\n")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows(_csv_rows(evaluation))
    write_atomic(folder / "metrics.csv", table.getvalue())


def _hash_if_readable(path: Path) -> str | None:
    try:
        return content_hash(path)
    except OSError:  # removed meanwhile
        return None


def _csv_rows(evaluation: Evaluation) -> Iterator[list[Any]]:
    yield ["defect_type", "metric", "value", "low_95", "high_95", "good", "defective"]
    for defect_type, row in evaluation.metrics.items():
        for metric, estimate in vars(row).items():
            if isinstance(estimate, Estimate):
                numbers = (estimate.value, estimate.low, estimate.high)
                cells = [f"{number:.6f}" if isfinite(number) else "" for number in numbers]
                yield [safe_cell(defect_type), metric, *cells, row.good, row.defective]


def _without_nan(value: Any) -> Any:
    """Replace numbers that are not finite by None, which JSON represents as null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
