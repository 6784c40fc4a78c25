"""Queries of a log. Values of clients are bound parameters, never text of a statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, func, select, tuple_

from ssim_ae.detector.look import Look
from ssim_ae.line.entries import Filters, Hour, LogEntry, LogPage, entry_of, milliseconds_since_epoch, moment_of
from ssim_ae.line.inspection_log import InspectionLog, text_of
from ssim_ae.line.schema import inspections

HOUR = 3_600_000  # ms
MAX_HOURS = 1000
EXPORTED_AT_ONCE = 1000  # entries
COLUMNS = [column for column in inspections.columns if column.name not in ("image_bytes", *Look._fields)]


def page_of(log: InspectionLog, filters: Filters, limit: int, cursor: str | None = None) -> LogPage:
    """Return up to `limit` entries, the latest first, from a cursor on, which is the `next` of the page before."""
    with log.database.read() as connection:
        return _page(connection, filters, limit, cursor)


def all_entries(log: InspectionLog, filters: Filters) -> Iterator[LogEntry]:
    """Yield all entries, the latest first."""
    cursor: str | None = None
    while True:
        page = page_of(log, filters, EXPORTED_AT_ONCE, cursor)
        yield from page.entries
        cursor = page.next
        if cursor is None:
            return


def count_of(log: InspectionLog, filters: Filters) -> int:
    """Return the number of entries."""
    with log.database.read() as connection:
        return connection.execute(
            select(func.count()).select_from(inspections).where(*_conditions(filters))
        ).scalar_one()


def hours_of(log: InspectionLog, filters: Filters, first: datetime) -> list[Hour]:
    """Return the verdicts of each hour, counted from the moment `first` on, that has any; up to MAX_HOURS."""
    start = milliseconds_since_epoch(first)
    hour = ((inspections.c.time - start) // HOUR).label("hour")
    counts = [_count_of(verdict) for verdict in ("ok", "nok", "error")]
    query = select(hour, *counts).where(*_conditions(filters)).group_by("hour").order_by("hour").limit(MAX_HOURS)
    with log.database.read() as connection:
        rows = connection.execute(query).all()
    return [Hour(start=moment_of(start + row.hour * HOUR), ok=row.ok, nok=row.nok, error=row.error) for row in rows]


def detector_names(log: InspectionLog) -> list[str]:
    """Return the names of all detectors in the log."""
    with log.database.read() as connection:
        return list(
            connection.execute(select(inspections.c.detector).distinct().order_by(inspections.c.detector)).scalars()
        )


def _page(connection: Connection, filters: Filters, limit: int, cursor: str | None) -> LogPage:
    position = tuple_(inspections.c.time, inspections.c.id)
    query = select(*COLUMNS).where(*_conditions(filters))
    if cursor:
        query = query.where(position < tuple_(*map(int, cursor.split("-"))))
    query = query.order_by(inspections.c.time.desc(), inspections.c.id.desc()).limit(limit + 1)
    rows = connection.execute(query).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return LogPage(entries=[entry_of(row) for row in rows[:limit]], next=f"{last.time}-{last.id}" if last else None)


def _conditions(filters: Filters) -> Iterator[ColumnElement[bool]]:
    row = inspections.c
    if filters.since:
        yield row.time >= milliseconds_since_epoch(filters.since)
    if filters.until:
        yield row.time < milliseconds_since_epoch(filters.until)
    if filters.verdict:
        yield row.verdict == filters.verdict
    if filters.detector is not None:
        yield row.detector == text_of(filters.detector)
    if filters.station is not None:
        yield row.station == text_of(filters.station)
    if filters.review:
        yield row.review.is_(None) if filters.review == "none" else row.review == filters.review
    if filters.min_score is not None:
        yield row.score >= filters.min_score
    if filters.max_score is not None:
        yield row.score <= filters.max_score


def _count_of(verdict: str) -> ColumnElement[int]:
    return func.sum(case((inspections.c.verdict == verdict, 1), else_=0)).label(verdict)
