"""Records what a server inspects in a log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ssim_ae.line.inspection_log import DetectorIdentity, InspectionLog, Result
from ssim_ae.line.watched_files import known_files
from ssim_ae.server.recorder import FileVersion, InspectedImage
from ssim_ae.server.schemas import Failure, InspectionResponse


class ServerRecorder:
    """A `Recorder` that writes to a log. `versions` are those of the server's detectors in their runs, by name."""

    def __init__(self, log: InspectionLog, versions: Mapping[str, int | None]) -> None:
        self.log = log
        self.versions = versions
        self._adopted: dict[tuple[str, str], int] = {}  # versions by name and fingerprint of the detector

    def record(self, image: InspectedImage) -> None:
        """Write a row for an inspected image. Raises RecordError if it cannot be written."""
        self.log.record(
            image.time,
            "folder" if image.watched else "http",
            image.result.name,
            image.data,
            DetectorIdentity(image.detector, image.fingerprint, self._version_of(image)),
            _result(image.result),
            image.watched,
        )

    def expect(self, detector: str, fingerprint: str, version: int) -> None:
        """Record images that another detector of this name inspects as those of a version."""
        self._adopted[detector, fingerprint] = version

    def _version_of(self, image: InspectedImage) -> int | None:
        return self._adopted.get((image.detector, image.fingerprint), self.versions[image.detector])

    def known_files(self, folder: Path, found: Mapping[Path, FileVersion]) -> dict[Path, FileVersion]:
        """Return the files of a folder that need no inspection, as the log knows them."""
        with self.log.database.write() as connection:
            return known_files(connection, self.log.station, folder, found)


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
