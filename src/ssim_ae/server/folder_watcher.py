"""Inspects the images that appear in a folder. It never changes the folder."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple, Self

from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.images.search import find_images
from ssim_ae.server.inspector import InspectionRequest, Inspector, failure
from ssim_ae.server.recorder import FileVersion, RecordError, WatchedFile
from ssim_ae.server.schemas import Failure, InspectionResponse
from ssim_ae.server.watched_results import WatchedResults, version_of

SCAN_INTERVAL = 1.0  # seconds between two scans


class WatchedFolder(NamedTuple):
    """A folder whose new images are inspected, and the name of the source that it is, if it has one."""

    path: Path
    station: str = ""


class FolderWatcher:
    """Inspects the images that appear in a folder while its `with` block runs, with the default detector.

    The folder is scanned every `interval` seconds. A file is inspected if it is stable and new. Stable: unchanged
    since the previous scan. New: changed since it was last inspected. Files that exist when the block begins count as
    inspected; if the inspector has a recorder, only those that it knows. A result that cannot be recorded is dropped,
    and its file is inspected again. `results` are the latest ones, also of other watchers if they are given. Raises
    InputError if there is no folder.
    """

    def __init__(
        self,
        folder: Path,
        inspector: Inspector,
        *,
        interval: float = SCAN_INTERVAL,
        station: str = "",
        results: WatchedResults | None = None,
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        self.folder = folder
        self.inspector = inspector
        self.interval = interval
        self.detector = inspector.default
        self.suffix = inspector.detectors[self.detector].config.img_suffix
        self.station = station
        self.results = results or WatchedResults()
        self._previous_scan: dict[Path, FileVersion] = {}
        self._inspected_versions: dict[Path, FileVersion] = {}
        self._is_failing = False  # results cannot be recorded
        self._stop = Event()
        self._thread = Thread(target=self._run, name="folder-watcher")

    def __enter__(self) -> Self:
        self._previous_scan = self._list_files()
        recorder = self.inspector.recorder
        known = (
            recorder.known_files(self.folder, self._previous_scan, self.station) if recorder else self._previous_scan
        )
        self._inspected_versions = dict(known)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

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
        versions = {path: version_of(path) for path in paths}
        return {path: version for path, version in versions.items() if version}

    def _inspect(self, path: Path, version: FileVersion) -> None:
        try:
            result = self._response_or_failure(path, version)
        except RecordError as error:
            if not self._is_failing:
                print_note(f"{error}; images of {self.folder} are inspected again until the log can be written")
            self._is_failing = True
            return
        self._is_failing = False
        self._inspected_versions[path] = version
        self.results.add(path, version, result)

    def _response_or_failure(self, path: Path, version: FileVersion) -> InspectionResponse | Failure:
        name = os.fsencode(path.name).decode(errors="replace")
        try:
            watched = WatchedFile(self.folder, path, version)
            request = InspectionRequest(self.detector)
            return self.inspector.submit(path, request, name, watched, self.station).result()
        except RecordError:
            raise
        except Exception as error:  # any error of one image must not stop the inspection of the next ones
            return failure(name, error)
