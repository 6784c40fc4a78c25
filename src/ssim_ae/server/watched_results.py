"""The latest results of the watched folders."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from ssim_ae.server.recorder import FileVersion
from ssim_ae.server.schemas import Failure, InspectionResponse, WatchedImage

MAX_REMEMBERED_RESULTS = 1000  # results that are kept; the oldest are dropped


class InspectedFile(NamedTuple):
    """A file, the version of it that was inspected, and the result."""

    path: Path
    version: FileVersion
    image: WatchedImage


class WatchedResults:
    """The latest results of all watched folders, each with a number that increases. Several threads use it."""

    def __init__(self) -> None:
        self.last_number = int(1000 * time.time())  # above those of an earlier server, below 1000 images/s
        self._results: deque[InspectedFile] = deque(maxlen=MAX_REMEMBERED_RESULTS)
        self._lock = Lock()

    def add(self, path: Path, version: FileVersion, result: InspectionResponse | Failure) -> None:
        """Keep the result of a version of a file."""
        with self._lock:
            self.last_number += 1
            image = WatchedImage(number=self.last_number, result=result)
            self._results.append(InspectedFile(path, version, image))

    def after(self, number: int) -> list[WatchedImage]:
        """Return the kept results with higher numbers, oldest first."""
        with self._lock:
            return [result.image for result in self._results if result.image.number > number]

    def path_of(self, number: int) -> Path | None:
        """Return the file that a kept result belongs to, or None if it is not kept or the file has changed."""
        with self._lock:
            found = [result for result in self._results if result.image.number == number]
        return next((result.path for result in found if version_of(result.path) == result.version), None)


def version_of(path: Path) -> FileVersion | None:
    """Return the current version of a file, or None if it does not exist or cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileVersion(status.st_size, status.st_mtime_ns)
