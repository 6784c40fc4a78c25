"""Parquet files of rows, as the table of a job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssim_ae.batch.rows import Row
from ssim_ae.errors import InputError
from ssim_ae.storage import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_SUFFIX = ".parquet"
TABLE_MARK = {b"written by": b"ssim-ae"}  # in the metadata of a table


def schema() -> pa.Schema:
    """Return the columns of a table of rows and their types."""
    import pyarrow as pa

    whole, text, number = pa.int64(), pa.string(), pa.float64()
    box = pa.struct([*((name, whole) for name in ("x", "y", "width", "height")), ("score", number)])
    types = {
        **{"path": text, "size": whole, "sha256": text, "width": whole, "height": whole, "verdict": text},
        **{"score": number, "defect_share": number, "defects": pa.list_(box), "threshold": number},
        **{"detector": text, "error": text, "picture": text},
    }
    return pa.schema([(name, types[name]) for name in Row._fields], metadata=TABLE_MARK)


def as_table(rows: Iterable[Row]) -> pa.Table:
    """Return rows as a table."""
    import pyarrow as pa

    return pa.Table.from_pylist([{name: _text(cell) for name, cell in row._asdict().items()} for row in rows], schema())


def as_parquet(rows: Iterable[Row]) -> bytes:
    """Return rows as a Parquet file. Equal rows make equal files."""
    import pyarrow.parquet as pq

    file = BytesIO()
    pq.write_table(as_table(rows), file, compression="zstd")
    return file.getvalue()


def read_rows(data: bytes) -> list[Row]:
    """Return the rows of a Parquet file without their boxes. Raises ValueError if it is not one of a job."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        table = file.read(columns=[name for name in Row._fields if name != "defects"])
        return [Row(**{**cells, "defects": []}) for cells in table.to_pylist()]
    except (TypeError, OSError, pa.ArrowException) as error:
        raise ValueError("not a table of rows") from error


@contextmanager
def table_file(path: Path) -> Iterator[Any]:
    """Yield a function that appends rows to a Parquet file, which appears at `path` when it is complete."""
    import pyarrow.parquet as pq

    with atomic_file(path) as file, pq.ParquetWriter(file.file, schema(), compression="zstd") as writer:
        yield lambda rows: writer.write_table(as_table(rows))


def check_replaceable(path: Path, mark: Mapping[bytes, bytes] = TABLE_MARK) -> None:
    """Raise InputError if something exists at `path` that is neither an empty file nor a Parquet file with `mark`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        metadata = {}
    if not mark.items() <= metadata.items():
        raise InputError(f"{path}: exists, and ssim-ae did not write it; choose another place for --output")


def _text(cell: object) -> object:
    """Return a cell that is valid UTF-8: a file name may not be valid text."""
    return cell.encode(errors="backslashreplace").decode() if isinstance(cell, str) else cell
