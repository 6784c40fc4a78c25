"""What the server tells a recorder about each image, and asks it about a watched folder. A recorder is optional."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from ssim_ae.detector.look import Look, UsualImages
from ssim_ae.errors import InputError
from ssim_ae.server.schemas import Failure, InspectionResponse


class RecordError(InputError):
    """A result could not be recorded, and is not given out."""


class FileVersion(NamedTuple):
    """Size and modification time of a file: if they are unchanged, its content counts as unchanged."""

    size: int  # bytes
    modified: int  # nanoseconds since the epoch


class WatchedFile(NamedTuple):
    """A file of a watched folder in a version."""

    folder: Path
    path: Path
    version: FileVersion


class InspectedImage(NamedTuple):
    """An image, when it was inspected (UTC), by which detector, and the result or the reason why there is none.

    `data` is the content of the file; empty if it could not be read. `station` is the name of the source that the image
    is from; empty if it is from a request, or from a folder without a name.
    """

    time: datetime
    detector: str
    fingerprint: str  # of the detector
    data: bytes
    result: InspectionResponse | Failure
    watched: WatchedFile | None = None
    station: str = ""
    look: Look | None = None  # if the detector knows how good images look:
    usual: UsualImages | None = None


class Recorder(Protocol):
    """Records inspections. Several threads call it."""

    def record(self, image: InspectedImage) -> None:
        """Record an image before its result is given out. Raises RecordError if it cannot be recorded."""
        ...

    def known_files(
        self, folder: Path, found: Mapping[Path, FileVersion], station: str = ""
    ) -> dict[Path, FileVersion]:
        """Return the files of a folder that need no inspection, in the version last inspected.

        The first time that a folder is watched, these are the files that are `found` in it.
        """
        ...
