"""Manifests: tables of images with labels, as CSV or Parquet, read as a stream."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ssim_ae.batch.listing import ImageFile, file_of
from ssim_ae.errors import InputError
from ssim_ae.locations import local_path

GOOD, DEFECTIVE = "good", "defective"
LABELS = {**dict.fromkeys(("good", "ok", "0"), GOOD), **dict.fromkeys(("defective", "nok", "1"), DEFECTIVE)}
COLUMNS = ("path", "label")


def read_manifest(location: str) -> Iterator[ImageFile]:
    """Return the images of a manifest, with the labels `good` and `defective`. Raises InputError if it cannot be used.

    Paths that are not absolute are relative to the working folder.
    """
    path = Path(local_path(location))
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a .csv or .parquet file with the columns path and label")
    if path.suffix.lower() == ".csv":
        rows = _csv_rows(path)
    elif path.suffix.lower() == ".parquet":
        rows = _parquet_rows(path)
    else:
        raise InputError(f"{path}: not a manifest; name a .csv or .parquet file with the columns path and label")
    return _labeled_images(path, rows)


def _labeled_images(path: Path, rows: Iterator[tuple[str, str]]) -> Iterator[ImageFile]:
    number = 0
    for number, row in enumerate(rows, start=1):
        yield _labeled(path, number, *row)
    if not number:
        raise InputError(f"{path}: no images in it")


def _csv_rows(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            yield row["path"] or "", row["label"] or ""


def _parquet_rows(path: Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise InputError(f"{path}: not a Parquet file, or corrupt") from error
    with file:
        _check_columns(path, file.schema_arrow.names)
        for batch in file.iter_batches(columns=list(COLUMNS)):
            for row in batch.to_pylist():
                yield str(row["path"]), str(row["label"])


def _check_columns(path: Path, names: object) -> None:
    if missing := [name for name in COLUMNS if name not in names]:  # type: ignore[operator]
        raise InputError(f"{path}: no column {missing[0]}; a manifest has the columns path and label")


def _labeled(path: Path, number: int, location: str, label: str) -> ImageFile:
    known = LABELS.get(label.strip().lower())
    if known is None:
        raise InputError(f"{path}: row {number}: label {label!r}; should be good or defective (ok or nok, 0 or 1)")
    return file_of(location)._replace(label=known)
