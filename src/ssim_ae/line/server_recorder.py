"""Records what a server inspects in a log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ssim_ae.line.inspection_log import DetectorIdentity, InspectionLog, Result, Source
from ssim_ae.line.watched_files import known_files
from ssim_ae.server.recorder import FileVersion, InspectedImage
from ssim_ae.server.schemas import Failure, InspectionResponse


class ServerRecorder:
    """A `Recorder` that writes to a log. `versions` are those of the server's detectors in their runs, by name."""

    def __init__(self, log: InspectionLog, versions: Mapping[str, int | None]) -> None:
        self.log = log
        self.versions = versions

    def record(self, image: InspectedImage) -> None:
        """Write a row for an inspected image. Raises RecordError if it cannot be written."""
        self.log.record(
            image.time,
            _source(image),
            image.result.name,
            image.data,
            DetectorIdentity(image.detector, image.fingerprint, self.versions[image.detector]),
            _result(image.result),
            image.watched,
            image.station,
        )

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
