"""Inspection of many images: one row per image, as a line, CSV or JSON, and overlays."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ssim_ae.console import escape_unprintable
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.images.colors import outlined
from ssim_ae.images.files import write_png
from ssim_ae.storage import atomic_file

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes such a cell for a formula


class Prediction(NamedTuple):
    """The result for one file. `defect_share` is the share of its pixels that is defective."""

    path: str
    verdict: str  # ok, nok or error
    score: float | None = None
    defect_share: float | None = None
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return escape_unprintable(f"error  {self.error}")
        return escape_unprintable(f"{self.verdict:5}  {self.score:8.4f}  {self.path}")


def predict(detector: Detector, paths: Sequence[Path], overlays: Path | None = None) -> Iterator[Prediction]:
    """Inspect files; yield their predictions in order. Write an overlay for each into the folder `overlays`, if any."""
    if overlays:
        overlays.mkdir(parents=True, exist_ok=True)
    names = dict(zip(paths, _distinct_names(paths), strict=True)) if overlays else {}

    def prediction(path: Path, inspection: Inspection) -> Prediction:
        if overlays:
            write_png(overlays / f"{names[path]}_overlay.png", outlined(inspection.heatmap, inspection.mask))
        return Prediction(str(path), inspection.verdict, inspection.score, inspection.defect_share)

    for path, result in zip(paths, detector.map_inspections(paths, prediction), strict=True):
        yield Prediction(str(path), "error", error=str(result)) if isinstance(result, InputError) else result


@contextmanager
def csv_table(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Yield a function that writes one row per prediction; the file appears at `path` when it is complete."""
    with atomic_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Prediction._fields)

        def write(prediction: Prediction) -> None:
            writer.writerow([safe_cell(cell) for cell in prediction])

        yield write


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Yield a function that writes one object per prediction; the file appears at `path` when it is complete."""
    with atomic_file(path) as file:
        separator = "[\n"

        def write(prediction: Prediction) -> None:
            nonlocal separator
            file.write(separator + json.dumps(prediction._asdict()))
            separator = ",\n"

        yield write
        file.write("[]\n" if separator == "[\n" else "\n]\n")


def safe_cell(cell: object) -> object:
    """Return a table cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each path: its stem, with the names of its parents in front if the stem is taken."""
    taken: set[str] = set()
    names = []
    for path in paths:
        candidates = ["_".join([*path.parts[-1 - depth : -1], path.stem]) for depth in range(len(path.parts))]
        candidates += [f"{path.stem}_{number}" for number in range(2, len(paths) + 2)]
        name = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(name)
        names.append(name)
    return names
