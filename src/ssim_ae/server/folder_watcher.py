"""Watches a folder: images that come in are inspected as soon as they are whole. Nothing there is changed."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple, Self

from ssim_ae.errors import InputError
from ssim_ae.images.folders import find_images
from ssim_ae.server.inspector import InspectionRequest, Inspector
from ssim_ae.server.schemas import Failure, InspectionResponse, WatchedImage

INTERVAL = 1.0  # seconds between two looks
REMEMBERED = 1000  # answers


class Stamp(NamedTuple):
    """What tells a file from what it was."""

    size: int
    modified: int


class Entry(NamedTuple):
    """An image that came in, and what was answered."""

    path: Path
    stamp: Stamp
    watched: WatchedImage


class FolderWatcher:
    """Inspects the images that come into a folder after its `with` block began, until that ends.

    A file is taken when it is the same at two looks, and again when it was rewritten. InputError if there is no folder.
    """

    def __init__(self, folder: Path, inspector: Inspector, *, interval: float = INTERVAL) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        self.folder, self.inspector, self.interval = folder, inspector, interval
        self.detector = inspector.default
        self.entries: deque[Entry] = deque(maxlen=REMEMBERED)
        self.lock = Lock()
        self.number = int(1000 * time.time())  # those of a server that ran before are lower
        self.stopping = Event()
        self.thread = Thread(target=self._run, name="watch")

    def __enter__(self) -> Self:
        self.seen = self._found()
        self.taken = dict(self.seen)
        self.thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stopping.set()
        self.thread.join()

    def after(self, number: int) -> list[WatchedImage]:
        """Return the answers after a number, the oldest first, as far as they are remembered."""
        with self.lock:
            return [entry.watched for entry in self.entries if entry.watched.number > number]

    def path(self, number: int) -> Path | None:
        """Return the file that an answer was about, if it is remembered and the file is still the same."""
        with self.lock:
            found = [entry for entry in self.entries if entry.watched.number == number]
        return next((entry.path for entry in found if _stamp(entry.path) == entry.stamp), None)

    def look(self) -> None:
        """Inspect the images that are new, and still what they were at the last look."""
        found = self._found()
        for path, stamp in found.items():
            if stamp == self.seen.get(path) != self.taken.get(path) and not self.stopping.is_set():
                self._take(path, stamp)
        self.seen = found
        if found:  # none at all may be a folder that is out of reach, and comes back
            self.taken = {path: stamp for path, stamp in self.taken.items() if path in found}

    def _run(self) -> None:
        while not self.stopping.wait(self.interval):
            self.look()

    def _found(self) -> dict[Path, Stamp]:
        try:
            paths = find_images(self.folder)
        except OSError:
            return {}
        stamps = {path: _stamp(path) for path in paths}
        return {path: stamp for path, stamp in stamps.items() if stamp}

    def _take(self, path: Path, stamp: Stamp) -> None:
        self.taken[path] = stamp
        result = self._result(path)
        with self.lock:
            self.number += 1
            self.entries.append(Entry(path, stamp, WatchedImage(number=self.number, result=result)))

    def _result(self, path: Path) -> InspectionResponse | Failure:
        name = os.fsencode(path.name).decode(errors="replace")
        try:
            return self.inspector.submit(path, InspectionRequest(self.detector), name).result()
        except Exception as error:  # whatever it is, the images after it are looked at
            return Failure(name=name, error=str(error) if isinstance(error, InputError) else f"{name}: {error!r}")


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)
