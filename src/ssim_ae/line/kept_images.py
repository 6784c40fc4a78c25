"""The images that a log keeps: files in a folder, within limits of size and age; the oldest are removed first.

Images that a person has reviewed stay: they are what a detector learns from.

A row of the log is written after its file, and a file is removed after the row no longer names it: no row names a
missing file. A file that no row names, because the process was killed in between, is removed at a later start.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

from sqlalchemy import func, select, update

from ssim_ae.line.database import Database
from ssim_ae.line.schema import inspections
from ssim_ae.storage import write_atomic

Kept = Literal["all", "near", "nok", "none"]
NEAR = 0.8  # share of the threshold from which a score is near it
DAY = 86_400  # seconds
CHECK_INTERVAL = 60  # seconds between two checks of the limits
PRUNED_AT_ONCE = 100  # images
MIN_ORPHAN_AGE = 3600  # seconds: a younger file may belong to a row that is being written
SIGNATURES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"II": ".tif",
    b"MM": ".tif",
    b"RIFF": ".webp",
}


class KeepRule(NamedTuple):
    """Which images are kept, up to how many bytes in all, and for how many days."""

    which: Kept = "near"
    max_bytes: float = 10e9
    max_days: float = 30.0

    def keeps(self, verdict: str, score: float | None, threshold: float | None) -> bool:
        """Return whether the image of an inspection is kept."""
        if self.which in ("all", "none"):
            return self.which == "all"
        is_near = score is not None and threshold is not None and score >= NEAR * threshold
        return verdict == "nok" or (self.which == "near" and verdict == "ok" and is_near)


class KeptImages:
    """The files of a log's images in a folder."""

    def __init__(self, folder: Path, rule: KeepRule, database: Database) -> None:
        self.folder = folder
        self.rule = rule
        self._database = database
        self._lock = Lock()
        self._bytes = 0.0  # of all files, as far as this process knows
        self._next_check = 0.0  # monotonic time

    def write(self, data: bytes, moment: datetime, image_hash: str) -> str:
        """Write an image; return the name of its file in the folder. InputError or OSError if it cannot be written."""
        suffix = next((suffix for start, suffix in SIGNATURES.items() if data.startswith(start)), "")
        name = f"{moment:%Y-%m-%d}/{image_hash[:16]}-{secrets.token_hex(4)}{suffix}"
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
        with self._lock:
            self._bytes += len(data)
        return name

    def remove(self, name: str) -> None:
        """Remove the file of an image that no row names."""
        (self.folder / name).unlink(missing_ok=True)

    def enforce_limits(self) -> None:
        """Remove the oldest images beyond the limits: at each call if there are too many, else once a minute."""
        with self._lock:
            now = time.monotonic()
            if self._bytes <= self.rule.max_bytes and now < self._next_check:
                return
            self._next_check = now + CHECK_INTERVAL
            while names := self._forget_oldest():
                for name in names:
                    self.remove(name)

    def _forget_oldest(self) -> list[str]:
        """Take up to `PRUNED_AT_ONCE` images beyond the limits out of their rows; return the names of their files."""
        is_kept = inspections.c.image_file.is_not(None)
        oldest_kept = int(1000 * (time.time() - DAY * self.rule.max_days))
        with self._database.write() as connection:
            total = connection.execute(select(func.sum(inspections.c.image_bytes)).where(is_kept)).scalar_one() or 0
            columns = (inspections.c.id, inspections.c.time, inspections.c.image_file, inspections.c.image_bytes)
            is_free = is_kept & inspections.c.review.is_(None)
            oldest = select(*columns).where(is_free).order_by(inspections.c.time).limit(PRUNED_AT_ONCE)
            self._bytes = float(total)
            forgotten: dict[int, str] = {}
            for row in connection.execute(oldest):
                if self._bytes <= self.rule.max_bytes and row.time >= oldest_kept:
                    break
                forgotten[row.id] = row.image_file
                self._bytes -= row.image_bytes
            if forgotten:
                change = update(inspections).where(inspections.c.id.in_(forgotten)).values(image_file=None)
                connection.execute(change)
        return list(forgotten.values())

    def remove_orphans(self) -> int:
        """Remove the files that no row names; return their number."""
        old = [name for name, modified in self._files() if modified < time.time() - MIN_ORPHAN_AGE]
        if not old:
            return 0
        with self._database.read() as connection:
            named = select(inspections.c.image_file).where(inspections.c.image_file.is_not(None))
            known = set(connection.execute(named).scalars())
        orphans = [name for name in old if name not in known]
        for name in orphans:
            self.remove(name)
        return len(orphans)

    def _files(self) -> Iterator[tuple[str, float]]:
        for path in self.folder.glob("*/*"):
            if not path.name.startswith("."):
                yield f"{path.parent.name}/{path.name}", path.stat().st_mtime
