"""Who made which version of a detector the current one, and when: kept in the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from sqlalchemy import insert, select

from ssim_ae.line.entries import milliseconds_since_epoch, moment_of
from ssim_ae.line.inspection_log import InspectionLog, text_of
from ssim_ae.line.schema import version_changes

Action = Literal["adopted", "rolled back"]
MAX_CHANGES = 10  # in a list


class VersionChange(BaseModel):
    """A change of the current version of a detector."""

    time: Annotated[datetime, Field(description="When it was changed, UTC.")]
    person: Annotated[str, Field(description="Who changed it; empty if the server knows no names.")]
    action: Annotated[Action, Field(description="A candidate was adopted, or the change was undone.")]
    version: Annotated[int, Field(description="The current version from then on.", examples=[2])]
    fingerprint: Annotated[str, Field(description="The fingerprint of this version.")]


def record_change(
    log: InspectionLog, detector: str, person: str, action: Action, version: int, fingerprint: str
) -> None:
    """Write that a person has made a version the current one. Raises InputError if it cannot be written."""
    row = {
        "time": milliseconds_since_epoch(datetime.now(UTC)),
        "station": log.station,
        "detector": text_of(detector),
        "person": text_of(person),
        "action": action,
        "version": version,
        "fingerprint": fingerprint,
    }
    with log.database.write() as connection:
        connection.execute(insert(version_changes).values(**row))


def changes_of(log: InspectionLog, detector: str) -> list[VersionChange]:
    """Return the last changes of a detector's version, the latest first."""
    columns = version_changes.c
    query = (
        select(columns.time, columns.person, columns.action, columns.version, columns.fingerprint)
        .where(columns.detector == text_of(detector))
        .order_by(columns.id.desc())
        .limit(MAX_CHANGES)
    )
    with log.database.read() as connection:
        rows = connection.execute(query).all()
    return [VersionChange(**{**row._mapping, "time": moment_of(row.time)}) for row in rows]
