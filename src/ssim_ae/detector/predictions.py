"""Inspection of many images: one row per image, as a line, CSV or JSON, and overlays."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ssim_ae.console import escape_unprintable
from ssim_ae.detector.box import Box
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.detector.overlay import overlay_png
from ssim_ae.detector.overlay_names import overlay_names
from ssim_ae.errors import InputError
from ssim_ae.images.inputs import ImageInput
from ssim_ae.maps.verdict import THRESHOLD
from ssim_ae.storage import atomic_file, write_atomic

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes such a cell for a formula


class Prediction(NamedTuple):
    """The result for one file: a row of the tables. Its fields are the columns, in this order.

    Attributes:
        path: the file.
        verdict: ok, nok, or error if the image cannot be inspected.
        score: the maximum of the anomaly map.
        defect_share: share of the image's pixels that is defective.
        error: why the image has no verdict, or why its overlay was not written.
        threshold: threshold of the score; 1 unless another one is given.
        defects: boxes of the defects in pixels of the image, the highest score first.
        ssim_threshold, l1_threshold: thresholds of the residuals, which the score 1 stands for; None without them.
        detector: fingerprint of the detector.
        time: when the image was inspected: ISO 8601, UTC.
        milliseconds: time for decoding and inspection, without the overlay.
        overlay: name of the overlay in its folder.
        distance_threshold, damage_threshold, absence_threshold: likewise, of the residuals with these names.
    """

    path: str
    verdict: str
    score: float | None = None
    defect_share: float | None = None
    error: str = ""
    threshold: float = THRESHOLD
    defects: tuple[Box, ...] = ()
    ssim_threshold: float | None = None
    l1_threshold: float | None = None
    detector: str = ""
    time: str = ""
    milliseconds: float | None = None
    overlay: str = ""
    distance_threshold: float | None = None
    damage_threshold: float | None = None
    absence_threshold: float | None = None

    def __str__(self) -> str:
        if self.score is None:
            return escape_unprintable(f"error  {self.error}")
        return escape_unprintable(f"{self.verdict:5}  {self.score:8.4f}  {self.path}")

    def as_json(self) -> str:
        """Return the row as a JSON object, in one line."""
        return json.dumps({**self._asdict(), "defects": [asdict(box) for box in self.defects]})

    def as_cells(self) -> list[object]:
        """Return the row as cells of CSV; the boxes are JSON."""
        cells = {**self._asdict(), "defects": json.dumps([asdict(box) for box in self.defects])}
        return [safe_cell(cell) for cell in cells.values()]


CSV_MARK = ",".join(Prediction._fields[:4]).encode()  # in the first line of every version
JSON_MARK = b'[\n{"path": '


def predict(
    detector: Detector,
    paths: Sequence[Path],
    overlays: Path | None = None,
    *,
    threshold: float = THRESHOLD,
    read: Callable[[Path], ImageInput] = Path,
) -> Iterator[Prediction]:
    """Inspect files; yield their predictions in order. Write an overlay for each into the folder `overlays`, if any.

    `threshold` is that of the score; the detector's own is 1. `read` returns what the detector inspects for a path, by
    default the path.
    """
    if overlays:
        overlays.mkdir(parents=True, exist_ok=True)
    names = dict(zip(paths, overlay_names(paths), strict=True)) if overlays else {}
    thresholds: dict[str, Any] = {f"{name}_threshold": value for name, value in detector.thresholds.items()}

    def prediction(path: Path, verdict: str) -> Prediction:
        return Prediction(
            str(path),
            verdict,
            threshold=threshold,
            detector=detector.fingerprint,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            **thresholds,
        )

    def inspected(path: Path, inspection: Inspection) -> Prediction:
        inspection = inspection.at(threshold)
        row = prediction(path, inspection.verdict)._replace(
            score=inspection.score,
            defect_share=inspection.defect_share,
            defects=tuple(inspection.defects),
            milliseconds=round(inspection.milliseconds, 2),
        )
        if not overlays:
            return row
        try:
            write_atomic(overlays / names[path], overlay_png(inspection.overlay))
        except InputError as error:
            return row._replace(error=str(error))
        return row._replace(overlay=names[path])

    for path, result in zip(paths, detector.map_inspections(paths, inspected, read=read), strict=True):
        yield prediction(path, "error")._replace(error=str(result)) if isinstance(result, InputError) else result


@contextmanager
def csv_table(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Yield a function that writes one row per prediction; the file appears at `path` when it is complete."""
    with atomic_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Prediction._fields)
        yield lambda prediction: writer.writerow(prediction.as_cells())


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Yield a function that writes one object per prediction; the file appears at `path` when it is complete."""
    with atomic_file(path) as file:
        separator = "[\n"

        def write(prediction: Prediction) -> None:
            nonlocal separator
            file.write(separator + prediction.as_json())
            separator = ",\n"

        yield write
        file.write("[]\n" if separator == "[\n" else "\n]\n")


def safe_cell(cell: object) -> object:
    """Return a table cell that is valid UTF-8, and that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    if not isinstance(cell, str):
        return cell
    text = cell.encode(errors="backslashreplace").decode()  # a file name may not be valid text
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
