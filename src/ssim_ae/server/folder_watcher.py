"""Inspects the images that appear in a folder. It never changes the folder."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple, Self

from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.images.search import find_images
from ssim_ae.server.inspector import InspectionRequest, Inspector, failure
from ssim_ae.server.recorder import FileVersion, RecordError, WatchedFile
from ssim_ae.server.schemas import Failure, InspectionResponse, WatchedImage

SCAN_INTERVAL = 1.0  # seconds between two scans
MAX_REMEMBERED_RESULTS = 1000  # results that are kept; the oldest are dropped


class InspectedFile(NamedTuple):
    """A file, the version of it that was inspected, and the result."""

    path: Path
    version: FileVersion
    image: WatchedImage


class FolderWatcher:
    """Inspects the images that appear in a folder while its `with` block runs, with the default detector.

    The folder is scanned every `interval` seconds. A file is inspected if it is stable and new. Stable: unchanged
    since the previous scan. New: changed since it was last inspected. Files that exist when the block begins count as
    inspected; if the inspector has a recorder, only those that it knows. A result that cannot be recorded is dropped,
    and its file is inspected again. Raises InputError if there is no folder.
    """

    def __init__(self, folder: Path, inspector: Inspector, *, interval: float = SCAN_INTERVAL) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        self.folder = folder
        self.inspector = inspector
        self.interval = interval
        self.detector = inspector.default
        self.suffix = inspector.detectors[self.detector].config.img_suffix
        self.last_number = int(1000 * time.time())  # above those of an earlier server, below 1000 images/s
        self._results: deque[InspectedFile] = deque(maxlen=MAX_REMEMBERED_RESULTS)
        self._results_lock = Lock()
        self._previous_scan: dict[Path, FileVersion] = {}
        self._inspected_versions: dict[Path, FileVersion] = {}
        self._is_failing = False  # results cannot be recorded
        self._stop = Event()
        self._thread = Thread(target=self._run, name="folder-watcher")

    def __enter__(self) -> Self:
        self._previous_scan = self._list_files()
        recorder = self.inspector.recorder
        known = recorder.known_files(self.folder, self._previous_scan) if recorder else self._previous_scan
        self._inspected_versions = dict(known)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def results_after(self, number: int) -> list[WatchedImage]:
        """Return the kept results with higher numbers, oldest first."""
        with self._results_lock:
            return [result.image for result in self._results if result.image.number > number]

    def path_of(self, number: int) -> Path | None:
        """Return the file that a kept result belongs to, or None if it is not kept or the file has changed."""
        with self._results_lock:
            found = [result for result in self._results if result.image.number == number]
        return next((result.path for result in found if _version(result.path) == result.version), None)

    def scan(self) -> None:
        """Inspect each file of the folder that is stable and new."""
        current = self._list_files()
        for path, version in current.items():
            if self._stop.is_set():
                break
            if self._is_stable(path, version) and self._is_new(path, version):
                self._inspect(path, version)
        self._previous_scan = current
        if current:  # an empty scan can mean that the folder is unreachable for a while
            self._inspected_versions = {
                path: version for path, version in self._inspected_versions.items() if path in current
            }

    def _is_stable(self, path: Path, version: FileVersion) -> bool:
        return self._previous_scan.get(path) == version

    def _is_new(self, path: Path, version: FileVersion) -> bool:
        return self._inspected_versions.get(path) != version

    def _run(self) -> None:
        while not self._stop.wait(self.interval):
            self.scan()

    def _list_files(self) -> dict[Path, FileVersion]:
        try:
            paths = find_images(self.folder, self.suffix)
        except OSError:
            return {}
        versions = {path: _version(path) for path in paths}
        return {path: version for path, version in versions.items() if version}

    def _inspect(self, path: Path, version: FileVersion) -> None:
        try:
            result = self._response_or_failure(path, version)
        except RecordError as error:
            if not self._is_failing:
                print_note(f"{error}; images of {self.folder} are inspected again until it can")
            self._is_failing = True
            return
        self._is_failing = False
        self._inspected_versions[path] = version
        with self._results_lock:
            self.last_number += 1
            image = WatchedImage(number=self.last_number, result=result)
            self._results.append(InspectedFile(path, version, image))

    def _response_or_failure(self, path: Path, version: FileVersion) -> InspectionResponse | Failure:
        name = os.fsencode(path.name).decode(errors="replace")
        try:
            watched = WatchedFile(self.folder, path, version)
            return self.inspector.submit(path, InspectionRequest(self.detector), name, watched).result()
        except RecordError:
            raise
        except Exception as error:  # any error of one image must not stop the inspection of the next ones
            return failure(name, error)


def _version(path: Path) -> FileVersion | None:
    """Return the current version of a file, or None if it does not exist or cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileVersion(status.st_size, status.st_mtime_ns)
