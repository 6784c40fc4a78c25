"""Where a job writes its parts: a folder or a prefix of a bucket. Each part appears when it is complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ssim_ae.batch.tables import TABLE_SUFFIX
from ssim_ae.buckets import is_url
from ssim_ae.buckets.store import ObjectStore
from ssim_ae.buckets.urls import parse_url
from ssim_ae.errors import InputError
from ssim_ae.images.own_folders import JOB, PICTURES_OF_JOB
from ssim_ae.storage import PARTIAL_SUFFIX, parse_json, write_atomic

SUMMARY_NAME = "summary.json"
RATES = "rates"  # entry of the summary: of the last start that had something to do


class Place(Protocol):
    """A folder or a prefix of a bucket."""

    def create(self, folder: str = "") -> None:
        """Create the place, or a folder in it, if missing. `write` does not: a worker may see another disk."""
        ...

    def names(self) -> Iterator[str]:
        """Yield the names of all files and folders in it, but not of what is in these folders."""
        ...

    def has(self, name: str) -> bool:
        """Return whether a file exists."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically."""
        ...


class _Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, folder: str = "") -> None:
        try:
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written: {error.strerror}") from error

    def names(self) -> Iterator[str]:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: a file; name a folder")
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if not path.name.endswith(PARTIAL_SUFFIX):  # left by a process that was killed
                    yield path.name

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def read(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, data: bytes) -> None:
        write_atomic(self.folder / name, data)


class _Prefix:
    def __init__(self, url: str) -> None:
        self.store = ObjectStore(*parse_url(url))

    def create(self, folder: str = "") -> None:
        pass

    def names(self) -> Iterator[str]:
        return self.store.names()

    def has(self, name: str) -> bool:
        return self.store.head(name) is not None

    def read(self, name: str) -> bytes | None:
        return self.store.read(name)

    def write(self, name: str, data: bytes) -> None:
        self.store.write(name, data)


def open_place(location: str) -> Place:
    """Return the place at a path or URL."""
    return _Prefix(location) if is_url(location) else _Folder(Path(location))


def written_parts(place: Place, location: str, job: dict[str, Any]) -> set[str]:
    """Return the names of the parts that an earlier start of a job has written.

    `job` identifies it: detector, images and settings. Raises InputError if the place holds another job or other files.
    """
    names = set(place.names())
    known = place.read(JOB) if JOB in names else None
    if known is None and names:
        raise InputError(f"{location}: holds other files, such as {min(names)}; name an empty place")
    if known is not None and (differing := _differences(known, job)):
        raise InputError(f"{location}: holds the rows of another job ({', '.join(differing)}); name another place")
    return {name.removesuffix(TABLE_SUFFIX) for name in names if name.endswith(TABLE_SUFFIX)}


def start_job(place: Place, job: dict[str, Any]) -> None:
    """Begin or continue a job in a place that has no other one."""
    place.create()
    if not place.has(JOB):
        place.write(JOB, json.dumps(job, indent=2, sort_keys=True).encode())
    if job.get("pictures"):
        place.create(PICTURES_OF_JOB)


def _differences(known: bytes, job: dict[str, Any]) -> list[str]:
    """Return the names of the entries in which a job differs from the one in a file."""
    try:
        other = parse_json(known)
        return sorted(key for key in job.keys() | other.keys() if job.get(key) != other.get(key))
    except (ValueError, AttributeError):
        return [f"{JOB} is not readable"]


def write_summary(place: Place, summary: dict[str, Any]) -> None:
    """Write the summary of a job, unless the place holds one with the same figures."""
    try:
        known = parse_json(place.read(SUMMARY_NAME) or b"{}")
    except ValueError:
        known = {}
    if not isinstance(known, dict) or {**known, RATES: None} != {**summary, RATES: None}:
        place.write(SUMMARY_NAME, (json.dumps(summary, indent=2) + "\n").encode())
