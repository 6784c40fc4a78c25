"""A log as a table in a file: CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from ssim_ae.batch.tables import check_replaceable
from ssim_ae.detector.predictions import safe_cell
from ssim_ae.errors import InputError
from ssim_ae.line.entries import Filters, LogEntry
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries
from ssim_ae.outputs import Output, check_outputs
from ssim_ae.storage import AtomicFile, atomic_file

COLUMNS = tuple(LogEntry.model_fields)
ROWS_AT_ONCE = 1000
CSV_MARK = ",".join(COLUMNS[:4]).encode()
PARQUET_MARK = {b"written by": b"ssim-ae log"}  # in the metadata; the table of a job is another one


def write_table(log: InspectionLog, filters: Filters, path: Path) -> int:
    """Write entries of a log, the latest first, to a file, which appears when it is complete; return their number.

    Raises InputError if the name of the file ends with neither .csv nor .parquet, or it is a file of another program.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        check_outputs([Output("--output", path, CSV_MARK)], [])
    elif suffix == ".parquet":
        check_replaceable(path, PARQUET_MARK)
    else:
        raise InputError(f"--output: {path}: should end with .csv or .parquet")
    write = _write_csv if suffix == ".csv" else _write_parquet
    with atomic_file(path) as file:
        return write(file, (_cells(entry) for entry in all_entries(log, filters)))


def _cells(entry: LogEntry) -> dict[str, Any]:
    return {**dict(entry), "defects": json.dumps([asdict(box) for box in entry.defects])}


def _write_csv(file: AtomicFile, rows: Iterable[dict[str, Any]]) -> int:
    number = 0
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, row in enumerate(rows, 1):  # noqa: B007
        cells = {**row, "time": row["time"].isoformat(timespec="milliseconds")}
        writer.writerow([safe_cell(cell) for cell in cells.values()])
        file.write(text.getvalue())
        text.seek(0)
        text.truncate()
    file.write(text.getvalue())
    return number


def _write_parquet(file: AtomicFile, rows: Iterable[dict[str, Any]]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    types = {
        "id": pa.int64(),
        "time": pa.timestamp("ms", "UTC"),
        "version": pa.int64(),
        "width": pa.int64(),
        "height": pa.int64(),
        "score": pa.float64(),
        "threshold": pa.float64(),
        "milliseconds": pa.float64(),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS], metadata=PARQUET_MARK)
    number = 0
    with parquet.ParquetWriter(file.file, schema) as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema))
            number += len(group)
    return number


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while group := list(islice(iterator, ROWS_AT_ONCE)):
        yield group
