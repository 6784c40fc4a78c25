"""The log of inspections: a row for each, written before its result is given out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import Connection, insert, select

from ssim_ae.checked_files import file_hash
from ssim_ae.detector.box import Box
from ssim_ae.detector.look import Look
from ssim_ae.errors import InputError
from ssim_ae.line import outbox
from ssim_ae.line.database import Database, open_database
from ssim_ae.line.entries import milliseconds_since_epoch, moment_of
from ssim_ae.line.kept_images import KeepRule, KeptImages
from ssim_ae.line.schema import inspections
from ssim_ae.line.watched_files import remember_file
from ssim_ae.server.recorder import RecordError, WatchedFile

IMAGES_NAME = "images"
Source = Literal["http", "folder", "camera", "predict"]
SENT = (  # columns that a message has
    *("station", "source", "name", "image_hash", "width", "height", "detector", "fingerprint", "version"),
    *("verdict", "score", "threshold", "milliseconds", "error"),
)
MAX_SENT_DEFECTS = 100
NO_IMAGES = KeepRule("none")


class DetectorIdentity(NamedTuple):
    """What a row says of its detector."""

    name: str
    fingerprint: str
    version: int | None  # in its run


class Result(NamedTuple):
    """The result of an inspection; only an `error` if there is none."""

    verdict: Literal["ok", "nok", "error"]
    score: float | None = None
    threshold: float | None = None
    width: int | None = None  # of the image, px
    height: int | None = None
    defects: tuple[Box, ...] = ()
    milliseconds: float | None = None
    error: str = ""


class InspectionLog:
    """A log at a place: a folder, or the URL of a database with a folder for the images.

    Several threads, and several processes, can write to one log.
    """

    def __init__(self, database: Database, images: KeptImages, station: str) -> None:
        self.database = database
        self.images = images
        self.station = text_of(station)
        self.wake_sinks: Callable[[], None] | None = None  # called when a message was stored; None: there are no sinks

    @classmethod
    def open(
        cls,
        place: str,
        *,
        station: str = "",
        rule: KeepRule = NO_IMAGES,
        images: Path | None = None,
        create: bool = True,
    ) -> Self:
        """Open a log, or create it. `images` is the folder of kept images (PLACE/images, if the place is a folder).

        Raises InputError if the log cannot be opened.
        """
        folder = images or (Path(place) / IMAGES_NAME if "://" not in place else None)
        if folder is None and rule.which != "none":
            raise InputError("--log: a database keeps no images; name a folder with --log_images, or give --keep none")
        database = open_database(place, create=create)
        log = cls(database, KeptImages(folder or Path(IMAGES_NAME), rule, database), station)
        if rule.which != "none":
            log.images.remove_orphans()
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.database.close()

    def record(
        self,
        moment: datetime,
        source: Source,
        name: str,
        data: bytes,
        detector: DetectorIdentity,
        result: Result,
        watched: WatchedFile | None = None,
        station: str = "",
        look: Look | None = None,
    ) -> None:
        """Write a row, and the file `data` of the image if the rule keeps it. `station` defaults to that of the log.

        Raises RecordError if they cannot be written; then neither is there.
        """
        image_hash = file_hash(data) if data else ""
        keeps = bool(data) and self.images.rule.keeps(result.verdict, result.score, result.threshold)
        try:
            file = self.images.write(data, moment, image_hash) if keeps else None
            row = {
                **result._asdict(),
                "error": text_of(result.error),
                "defects": json.dumps([asdict(box) for box in result.defects]),
                "time": milliseconds_since_epoch(moment),
                "station": text_of(station) or self.station,
                "source": source,
                "name": text_of(name),
                "detector": detector.name,
                "fingerprint": detector.fingerprint,
                "version": detector.version,
                "image_hash": image_hash,
                "image_file": file,
                "image_bytes": len(data) if keeps else None,
                **(look._asdict() if look else {}),
            }
            try:
                with self.database.write() as connection:
                    self._insert(connection, row, watched)
            except BaseException:
                if file:
                    self.images.remove(file)
                raise
        except (InputError, OSError) as error:
            raise RecordError(f"log: cannot be written: {error}") from error
        if self.wake_sinks:
            self.wake_sinks()
        with suppress(InputError, OSError):  # the row is written: another call will remove what is too much
            self.images.enforce_limits()

    def _insert(self, connection: Connection, row: Mapping[str, Any], watched: WatchedFile | None) -> None:
        number = connection.execute(insert(inspections).values(**row).returning(inspections.c.id)).scalar_one()
        if watched:
            remember_file(connection, row["station"], watched, number)
        self.send(connection, "inspection", moment_of(row["time"]), lambda: message_data(number, row))

    def send(
        self, connection: Connection, kind: outbox.Kind, moment: datetime, data: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Store a message for the sinks, if there are any, in the transaction of what it tells of."""
        if self.wake_sinks:
            outbox.add(connection, kind, self.station, moment, data())

    def image_path(self, number: int) -> Path | None:
        """Return the file of the image of an entry, or None if it is not kept or there is no such entry."""
        with self.database.read() as connection:
            name = connection.execute(
                select(inspections.c.image_file).where(inspections.c.id == number)
            ).scalar_one_or_none()
        return self.images.folder / name if name else None


def message_data(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message tells of an inspection, from its row: of its defects at most `MAX_SENT_DEFECTS`."""
    defects = json.loads(row["defects"])
    return {
        "inspection": number,
        **{key: row[key] for key in SENT},
        "defects": defects[:MAX_SENT_DEFECTS],
        "defect_count": len(defects),
    }


def text_of(value: str) -> str:
    """Return a text that every database can hold: valid Unicode without zero characters."""
    return value.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
