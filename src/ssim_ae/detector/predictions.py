"""Inspect many images: a line each, a table of all, overlays to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ssim_ae.console import printable
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.images.colours import outlined
from ssim_ae.images.files import write_png
from ssim_ae.storage import whole_file

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what begins one


class Prediction(NamedTuple):
    """What was found in one file. `defect_share` is the share of its pixels that are defective."""

    path: str
    verdict: str  # ok, nok or error
    score: float | None = None
    defect_share: float | None = None
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return printable(f"error  {self.error}")
        return printable(f"{self.verdict:5}  {self.score:8.4f}  {self.path}")


def predict(detector: Detector, paths: Sequence[Path], overlays: Path | None = None) -> Iterator[Prediction]:
    """Inspect the files, one prediction each, in order; with `overlays` write a PNG each into that folder."""
    if overlays:
        overlays.mkdir(parents=True, exist_ok=True)
    names = dict(zip(paths, _distinct_names(paths), strict=True)) if overlays else {}

    def finish(path: Path, inspection: Inspection) -> Prediction:
        if overlays:
            write_png(overlays / f"{names[path]}_overlay.png", outlined(inspection.heatmap, inspection.mask))
        return Prediction(str(path), inspection.verdict, inspection.score, inspection.defect_share)

    for path, result in zip(paths, detector.map_inspections(paths, finish), strict=True):
        yield Prediction(str(path), "error", error=str(result)) if isinstance(result, InputError) else result


@contextmanager
def csv_table(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Give what writes a line an image, below a header. The table stands at `path` once it is whole."""
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Prediction._fields)

        def record(prediction: Prediction) -> None:
            writer.writerow([safe_cell(cell) for cell in prediction])

        yield record


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Give what writes an object an image, a line each. The list stands at `path` once it is whole."""
    with whole_file(path) as file:
        before = "[\n"

        def record(prediction: Prediction) -> None:
            nonlocal before
            file.write(before + json.dumps(prediction._asdict()))
            before = ",\n"

        yield record
        file.write("[]\n" if before == "[\n" else "\n]\n")


def safe_cell(cell: object) -> object:
    """Return a cell of a table that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """The stem where it is the only one so far, else with the parents' names before it."""
    taken: set[str] = set()
    names = []
    for path in paths:
        candidates = ["_".join([*path.parts[-1 - depth : -1], path.stem]) for depth in range(len(path.parts))]
        candidates += [f"{path.stem}_{number}" for number in range(2, len(paths) + 2)]
        name = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(name)
        names.append(name)
    return names
