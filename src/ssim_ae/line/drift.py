"""The drift of a log's inspections: by station and detector, from the rows of the log, so that it survives restarts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import log as logarithm
from threading import Lock
from typing import Annotated, Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, func, insert, select, update

from ssim_ae.console import print_note
from ssim_ae.detector.look import Look, UsualImages
from ssim_ae.errors import InputError
from ssim_ae.line.drift_detection import LIMIT, Cause, Drift, DriftTest
from ssim_ae.line.entries import milliseconds_since_epoch, moment_of
from ssim_ae.line.inspection_log import InspectionLog, text_of
from ssim_ae.line.schema import drift_alarms, inspections, usual_images

MAX_REPLAYED = 50_000  # inspections of a station that are looked at again after a start
ROWS_AT_ONCE = 5000
TEXTS: dict[Cause, str] = {
    "camera": "the camera has moved, or the parts lie elsewhere",
    "lens": "the lens is dirty or out of focus",
    "light": "the light has changed",
    "parts": "more parts are bad, or parts look different",
}
COLUMNS = [inspections.c[name] for name in ("id", "time", "detector", "fingerprint", "verdict", "score", *Look._fields)]


class DriftChange(BaseModel):
    """A number that has changed."""

    name: Annotated[str, Field(description="`nok` (share), `score` (of accepted images), or one of the look.")]
    before: Annotated[float, Field(description="Median before; of `nok` the mean.")]
    now: Annotated[float, Field(description="Median since the change; of `nok` the mean.")]
    z: Annotated[float, Field(description="How surely: standard deviations of the mean rank. Positive: higher values.")]


class DriftAlarm(BaseModel):
    """A change of the inspections of a detector at a station, which holds until a person ends it."""

    id: Annotated[int, Field(description="Identifies the alarm.", examples=[3])]
    time: Annotated[datetime, Field(description="When it was raised, UTC.")]
    station: str
    detector: str
    fingerprint: Annotated[str, Field(description="The detector's fingerprint.")]
    cause: Annotated[Cause, Field(description="What has most likely changed.")]
    text: Annotated[str, Field(description="The cause in words.", examples=[TEXTS["light"]])]
    since: Annotated[datetime, Field(description="When the change most likely was, UTC.")]
    changes: Annotated[list[DriftChange], Field(description="All numbers, before and since.")]
    ended: Annotated[datetime | None, Field(description="When a person said that it is as it should be.")]
    ended_by: Annotated[str | None, Field(description="Who said so; empty if the server knows no names.")]


class DriftState(BaseModel):
    """Whether the inspections of a detector at a station still are as before."""

    station: str
    detector: str
    fingerprint: Annotated[str, Field(description="The detector's fingerprint.")]
    images: Annotated[int, Field(description="Inspections that were compared.")]
    evidence: Annotated[float, Field(description="Evidence of a change, from 0 to 1, at which an alarm is raised.")]
    alarm: Annotated[DriftAlarm | None, Field(description="The alarm that holds, if any.")]


class NoSuchAlarm(InputError):  # noqa: N818
    """An alarm does not exist, or was ended before."""


class DriftWatch:
    """Watches the inspections of a station. Several threads can use it.

    `on_alarm` is called with each new alarm, in the transaction that stores it. A watch that does not `store` alarms
    only reads.
    """

    def __init__(
        self,
        log: InspectionLog,
        station: str | None = None,
        *,
        store: bool = True,
        on_alarm: Callable[[Connection, DriftAlarm], None] | None = None,
    ) -> None:
        self.log = log
        self.station = log.station if station is None else station
        self._store = store
        self._on_alarm = on_alarm
        self._tests: dict[str, DriftTest] = {}  # by fingerprint
        self._names: dict[str, str] = {}  # of the detectors
        self._alarms: dict[str, DriftAlarm] = {}  # those that hold
        self._ended: dict[str, int] = {}  # ms since the epoch: later inspections are compared among themselves
        self._last: int | None = None  # the inspection that was looked at last
        self._lock = Lock()

    def update(self, *, wait: bool = True) -> None:
        """Look at the inspections since the last call; without `wait`, not if another thread does so now."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._last is None:
                self._start()
            for row in self._new_rows():
                self._add(row)
        finally:
            self._lock.release()

    def states(self) -> list[DriftState]:
        """Return the state of each detector, the last one used first."""
        self.update()
        with self._lock:
            return [self._state(fingerprint) for fingerprint in reversed(self._names)]

    def end_alarm(self, number: int, person: str) -> None:
        """Store that a person says that things are as they should be: later inspections are compared with new ones.

        Raises NoSuchAlarm if the alarm does not exist at this station, or was ended before.
        """
        with self._lock:
            held = [fingerprint for fingerprint, alarm in self._alarms.items() if alarm.id == number]
            if not held:
                raise NoSuchAlarm(f"{number}: no such alarm at this station, or ended before")
            ended = milliseconds_since_epoch(datetime.now(UTC))
            change = update(drift_alarms).where(drift_alarms.c.id == number)
            with self.log.database.write() as connection:
                connection.execute(change.values(ended=ended, ended_by=text_of(person)))
            del self._alarms[held[0]]
            self._ended[held[0]] = ended
            self._tests[held[0]] = DriftTest(None)

    def _start(self) -> None:
        """Take over the alarms of earlier starts, and begin with the first inspection that is looked at again."""
        of_station = inspections.c.station == self.station
        newest = select(inspections.c.id).where(of_station).order_by(inspections.c.id.desc())
        with self.log.database.read() as connection:
            first = connection.execute(newest.offset(MAX_REPLAYED).limit(1)).scalar_one_or_none()
        for alarm in alarms_of(self.log, self.station):
            if alarm.ended is None:
                self._alarms[alarm.fingerprint] = alarm
            else:
                ended = milliseconds_since_epoch(alarm.ended)
                self._ended[alarm.fingerprint] = max(ended, self._ended.get(alarm.fingerprint, 0))
        self._last = first or 0

    def _new_rows(self) -> Iterator[Any]:
        while True:
            is_new = (inspections.c.id > self._last) & (inspections.c.station == self.station)
            is_live = inspections.c.source != "predict"  # files that are inspected again may be of any day
            query = select(*COLUMNS).where(is_new & is_live).order_by(inspections.c.id).limit(ROWS_AT_ONCE)
            with self.log.database.read() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                self._last = row.id
                yield row
            if len(rows) < ROWS_AT_ONCE:
                return

    def _add(self, row: Any) -> None:
        key = row.fingerprint
        self._names.pop(key, None)
        self._names[key] = row.detector  # the last one used comes last
        if key in self._alarms or row.time <= self._ended.get(key, -1):
            return
        if key not in self._tests:
            usual = None if key in self._ended else usual_of(self.log, key)
            self._tests[key] = DriftTest(usual)
        if drift := self._tests[key].add(row):
            self._alarms[key] = self._stored(row, drift)
            del self._tests[key]

    def _stored(self, row: Any, drift: Drift) -> DriftAlarm:
        content = {"since": drift.since, "changes": [change._asdict() for change in drift.changes]}
        values = {
            "inspection_id": row.id,
            "time": row.time,
            "station": self.station,
            "detector": row.detector,
            "fingerprint": row.fingerprint,
            "cause": drift.cause,
            "changes": json.dumps(content),
        }
        if not self._store:
            return _alarm(0, values)
        with self.log.database.write() as connection:
            number = connection.execute(insert(drift_alarms).values(**values).returning(drift_alarms.c.id)).scalar_one()
            alarm = _alarm(number, values)
            if self._on_alarm:
                self._on_alarm(connection, alarm)
        return alarm

    def _state(self, fingerprint: str) -> DriftState:
        alarm, test = self._alarms.get(fingerprint), self._tests.get(fingerprint)
        evidence = logarithm(max(1.0, test.evidence)) / logarithm(LIMIT) if test else 0.0
        return DriftState(
            station=self.station,
            detector=self._names[fingerprint],
            fingerprint=fingerprint,
            images=test.images if test else 0,
            evidence=1.0 if alarm else round(min(1.0, evidence), 3),
            alarm=alarm,
        )


def tell_of_alarm(log: InspectionLog, connection: Connection, alarm: DriftAlarm) -> None:
    """Print a note about a new alarm, and store a message for the sinks in the transaction of the alarm."""
    print_note(
        f"drift: {alarm.detector} at {alarm.station}: {alarm.text}, since about {alarm.since:%Y-%m-%d %H:%M} UTC"
    )
    log.send(connection, "drift", alarm.time, lambda: drift_message(alarm))


def drift_message(alarm: DriftAlarm) -> dict[str, Any]:
    """Return what a message of kind "drift" tells of an alarm, as JSON."""
    return alarm.model_dump(mode="json", exclude={"ended", "ended_by", "time"})


def alarms_of(log: InspectionLog, station: str | None = None) -> list[DriftAlarm]:
    """Return the alarms of a station, or of all, in the order in which they were raised."""
    query = select(drift_alarms).order_by(drift_alarms.c.id)
    if station is not None:
        query = query.where(drift_alarms.c.station == station)
    with log.database.read() as connection:
        return [_alarm(row.id, dict(row._mapping)) for row in connection.execute(query)]


def stations_of(log: InspectionLog) -> list[str]:
    """Return the names of all stations in a log."""
    query = select(inspections.c.station).distinct().order_by(inspections.c.station)
    with log.database.read() as connection:
        return list(connection.execute(query).scalars())


def remember_usual(log: InspectionLog, fingerprint: str, usual: UsualImages) -> None:
    """Store what a detector's good images are like, unless it is there."""
    if usual_of(log, fingerprint):
        return
    with log.database.write() as connection:
        exists = select(func.count()).select_from(usual_images).where(usual_images.c.fingerprint == fingerprint)
        if not connection.execute(exists).scalar_one():
            connection.execute(insert(usual_images).values(fingerprint=fingerprint, content=usual.model_dump_json()))


def usual_of(log: InspectionLog, fingerprint: str) -> UsualImages | None:
    """Return what a detector's good images are like, if a server has stored it."""
    query = select(usual_images.c.content).where(usual_images.c.fingerprint == fingerprint)
    with log.database.read() as connection:
        content = connection.execute(query).scalar_one_or_none()
    return UsualImages.model_validate_json(content) if content else None


def _alarm(number: int, row: dict[str, Any]) -> DriftAlarm:
    content = json.loads(row["changes"])
    ended = row.get("ended")
    return DriftAlarm(
        id=number,
        time=moment_of(row["time"]),
        station=row["station"],
        detector=row["detector"],
        fingerprint=row["fingerprint"],
        cause=row["cause"],
        text=TEXTS[row["cause"]],
        since=moment_of(content["since"]),
        changes=content["changes"],
        ended=None if ended is None else moment_of(ended),
        ended_by=row.get("ended_by"),
    )
