"""The messages of a station that wait in the log until each of its sinks has received them.

A message is written in the transaction of what it tells of. Numbers rise in the order of the commits of a station, so
what a sink has received is one number, its position.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, delete, func, insert, select, text, update

from ssim_ae.line.entries import milliseconds_since_epoch, moment_of
from ssim_ae.line.schema import outbox, sinks

Kind = Literal["inspection", "drift"]
SCHEMA = 1  # of the messages
ORDER_LOCK = 1  # the first number of PostgreSQL's locks of stations
DAY = 86_400_000  # ms
FORGOTTEN_AFTER = 7 * DAY  # a sink that no server had for so long


class Message(NamedTuple):
    """A message, as all sinks receive it."""

    number: int
    id: str
    kind: str
    station: str
    time: datetime
    data: Mapping[str, Any]

    @property
    def json(self) -> str:
        """The message as one line of JSON."""
        shown_time = self.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"schema": SCHEMA, **self._asdict(), "time": shown_time}, ensure_ascii=False)


def add(connection: Connection, kind: Kind, station: str, moment: datetime, data: Mapping[str, Any]) -> None:
    """Store a message of something that happened at a moment; `data` is a JSON object without NaN."""
    lock = {"lock": ORDER_LOCK, "station": station}
    if connection.dialect.name == "postgresql":  # numbers are drawn in the order of commits
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:station))"), lock)
    row = {
        "id": str(uuid4()),
        "kind": kind,
        "station": station,
        "time": milliseconds_since_epoch(moment),
        "data": json.dumps(data, allow_nan=False),
    }
    connection.execute(insert(outbox).values(**row))


def enlist_sinks(connection: Connection, station: str, names: Sequence[str]) -> dict[str, int]:
    """Return the positions of the sinks that a station has, by name. A new sink receives the messages from now on.

    Sinks that no server had for `FORGOTTEN_AFTER` are forgotten, with the messages that wait for them alone.
    """
    connection.execute(update(sinks).where(sinks.c.station == station, sinks.c.name.in_(names)).values(seen=_now()))
    connection.execute(delete(sinks).where(sinks.c.seen < _now() - FORGOTTEN_AFTER))
    connection.execute(delete(outbox).where(outbox.c.station.not_in(select(sinks.c.station))))
    of_station = select(sinks.c.name, sinks.c.position).where(sinks.c.station == station)
    known = {row.name: row.position for row in connection.execute(of_station)}
    latest = connection.execute(select(func.max(outbox.c.number)).where(outbox.c.station == station)).scalar_one() or 0
    positions = {name: known.get(name, latest) for name in names}
    for name in positions.keys() - known.keys():
        row = {"station": station, "name": name, "position": latest, "seen": _now()}
        connection.execute(insert(sinks).values(**row))
    return positions


def messages_after(connection: Connection, station: str, position: int, limit: int) -> list[Message]:
    """Return up to `limit` messages after a position, in order."""
    query = select(outbox).where(outbox.c.station == station, outbox.c.number > position)
    rows = connection.execute(query.order_by(outbox.c.number).limit(limit))
    return [
        Message(row.number, row.id, row.kind, row.station, moment_of(row.time), json.loads(row.data)) for row in rows
    ]


def count_after(connection: Connection, station: str, position: int) -> int:
    """Return the number of messages after a position."""
    after = (outbox.c.station == station, outbox.c.number > position)
    return connection.execute(select(func.count()).select_from(outbox).where(*after)).scalar_one()


def store_position(connection: Connection, station: str, name: str, position: int) -> None:
    """Store what a sink has received, and remove the messages that all sinks of its station have received."""
    own = (sinks.c.station == station, sinks.c.name == name)
    connection.execute(update(sinks).where(*own).values(position=position, seen=_now()))
    lowest = select(func.min(sinks.c.position)).where(sinks.c.station == station).scalar_subquery()
    connection.execute(delete(outbox).where(outbox.c.station == station, outbox.c.number <= lowest))


def _now() -> int:
    return int(1000 * time.time())
