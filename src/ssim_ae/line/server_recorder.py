"""Records what a server inspects in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ssim_ae.errors import InputError
from ssim_ae.line.drift import DriftWatch, remember_usual
from ssim_ae.line.inspection_log import DetectorIdentity, InspectionLog, Result, Source
from ssim_ae.line.watched_files import known_files
from ssim_ae.server.recorder import FileVersion, InspectedImage, RecordError
from ssim_ae.server.schemas import Failure, InspectionResponse


class ServerRecorder:
    """A `Recorder` that writes to a log.

    `versions` are those of the server's detectors in their runs, by name. Each of `drift` looks at its station's rows.
    """

    def __init__(
        self, log: InspectionLog, versions: Mapping[str, int | None], drift: Sequence[DriftWatch] = ()
    ) -> None:
        self.log = log
        self.versions = versions
        self.drift = {watch.station: watch for watch in drift}
        self._known: set[str] = set()  # fingerprints of the detectors whose usual images are in the log
        self._adopted: dict[tuple[str, str], int] = {}  # versions by name and fingerprint of the detector

    def record(self, image: InspectedImage) -> None:
        """Write a row for an inspected image. Raises RecordError if it cannot be written."""
        self._remember_usual(image)
        self.log.record(
            image.time,
            _source(image),
            image.result.name,
            image.data,
            DetectorIdentity(image.detector, image.fingerprint, self._version_of(image)),
            _result(image.result),
            image.watched,
            image.station,
            image.look,
        )
        if watch := self.drift.get(image.station or self.log.station):
            with suppress(InputError):  # the row is written: the next call looks at it, too
                watch.update(wait=False)

    def _remember_usual(self, image: InspectedImage) -> None:
        """Write what the detector's good images are like into the log, before its first inspection."""
        if image.usual and image.fingerprint not in self._known:
            try:
                remember_usual(self.log, image.fingerprint, image.usual)
            except InputError as error:
                raise RecordError(f"log: cannot be written: {error}") from error
            self._known.add(image.fingerprint)

    def expect(self, detector: str, fingerprint: str, version: int) -> None:
        """Record images that another detector of this name inspects as those of a version."""
        self._adopted[detector, fingerprint] = version

    def _version_of(self, image: InspectedImage) -> int | None:
        return self._adopted.get((image.detector, image.fingerprint), self.versions[image.detector])

    def known_files(
        self, folder: Path, found: Mapping[Path, FileVersion], station: str = ""
    ) -> dict[Path, FileVersion]:
        """Return the files of a folder that need no inspection, as the log knows them."""
        with self.log.database.write() as connection:
            return known_files(connection, station or self.log.station, folder, found)


def _source(image: InspectedImage) -> Source:
    if image.watched:
        return "folder"
    return "camera" if image.station else "http"


def _result(result: InspectionResponse | Failure) -> Result:
    if isinstance(result, Failure):
        return Result("error", error=result.error)
    return Result(
        result.verdict,
        result.score,
        result.threshold,
        result.width,
        result.height,
        tuple(result.defects),
        result.milliseconds.inspected,
    )
