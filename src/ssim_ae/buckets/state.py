"""The state of a downloaded folder: a lock and, for each URL, a record of its files."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ssim_ae.buckets.store import error_reason
from ssim_ae.buckets.urls import STATE_FOLDER
from ssim_ae.errors import InputError
from ssim_ae.storage import remove_leftovers, write_atomic

# The names of the downloaded files, each with [ETag of the object, modification time of the file in ns]
Record = dict[str, list[Any]]


def read_record(path: Path) -> Record:
    """Return a record; an empty one if the file is missing or invalid."""
    with suppress(OSError, ValueError):
        record = json.loads(path.read_bytes())
        if isinstance(record, dict):
            return record
    return {}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record. Raises InputError if it cannot be written."""
    write_atomic(path, json.dumps(record))


@contextmanager
def locked_folder(folder: Path, url: str) -> Iterator[None]:
    """Create a folder for the objects of `url` and lock it for the block. Waits while another process holds the lock.

    In a distributed training the first process downloads, and the others then find all files. Raises InputError if the
    folder cannot be written.
    """
    state = folder / STATE_FOLDER
    try:
        state.mkdir(parents=True, exist_ok=True)
        with (state / "lock").open("wb") as lock:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            remove_leftovers(state)
            yield
    except OSError as error:
        raise InputError(f"{url}: cannot be written to {folder}: {error_reason(error)}") from error
