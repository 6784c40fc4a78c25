"""The entries of a log, as its API, its page and its tables show them, and the filters that select them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, TypeAdapter

from ssim_ae.detector.box import Box

EPOCH = datetime.fromtimestamp(0, UTC)
LoggedVerdict = Literal["ok", "nok", "error"]
ReviewVerdict = Literal["good", "defective"]


def _date_and_time(value: object) -> object:
    if isinstance(value, str) and "T" not in value.upper():  # Pydantic takes a number for seconds
        raise ValueError("should be a date and time with a time zone, as 2026-01-31T08:30:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_date_and_time)]


class LogEntry(BaseModel):
    """One inspection."""

    id: Annotated[int, Field(description="Identifies the inspection.", examples=[4711])]
    time: Annotated[datetime, Field(description="When the image was inspected, UTC.")]
    station: Annotated[str, Field(description="Name of the station that inspected it.", examples=["line-2"])]
    source: Annotated[
        str, Field(description="How the image came: `http`, `folder`, `camera` or `predict`.", examples=["http"])
    ]
    name: Annotated[str, Field(description="File name of the image.", examples=["017.png"])]
    detector: Annotated[str, Field(description="Name of the detector.", examples=["bottle-1"])]
    fingerprint: Annotated[str, Field(description="The detector's fingerprint.")]
    version: Annotated[int | None, Field(description="The detector's version in its run.", examples=[1])]
    image_hash: Annotated[str, Field(description="SHA-256 of the image's file; empty if it could not be read.")]
    image_file: Annotated[str | None, Field(description="The file of the image, if the log keeps it.")]
    width: Annotated[int | None, Field(description="Width of the image, in pixels.", examples=[900])]
    height: Annotated[int | None, Field(description="Height of the image, in pixels.", examples=[900])]
    verdict: Annotated[LoggedVerdict, Field(description="`error` if the image could not be inspected.")]
    score: Annotated[float | None, Field(description="Maximum of the anomaly map.", examples=[2.61])]
    threshold: Annotated[float | None, Field(description="Threshold of the score.", examples=[1.0])]
    defects: Annotated[list[Box], Field(description="Defective regions, highest score first.")]
    milliseconds: Annotated[float | None, Field(description="Duration of the inspection.", examples=[14.8])]
    error: Annotated[str, Field(description="Why the image could not be inspected.", examples=[""])]
    review: Annotated[ReviewVerdict | None, Field(description="What a person said of the image, if anyone did.")]


class Filters(BaseModel):
    """What selects entries of a log. Without any, all are selected."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = Field(default=None, description="Only inspections from this moment on.")
    until: Moment | None = Field(default=None, description="Only inspections before this moment.")
    verdict: LoggedVerdict | None = Field(default=None, description="Only this verdict.")
    detector: str | None = Field(default=None, description="Only the detector of this name.")
    station: str | None = Field(default=None, description="Only this station.")
    review: ReviewVerdict | Literal["none"] | None = Field(
        default=None, description="Only images that a person confirmed as this, or that nobody reviewed."
    )
    min_score: FiniteFloat | None = Field(default=None, description="Only scores from this on.")
    max_score: FiniteFloat | None = Field(default=None, description="Only scores up to this.")


class LogPage(BaseModel):
    """Some entries of a log, the latest first."""

    entries: list[LogEntry]
    next: Annotated[str | None, Field(description="The `cursor` of the next, older entries; null if there are none.")]


class Hour(BaseModel):
    """The verdicts of an hour."""

    start: datetime
    ok: int = 0
    nok: int = 0
    error: int = 0


def milliseconds_since_epoch(moment: datetime) -> int:
    """Return a moment as the tables hold it; a part of a millisecond is dropped."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def moment_of(milliseconds: int) -> datetime:
    """Return the moment of a number of milliseconds since the epoch."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def entry_of(row: Any) -> LogEntry:
    """Return the entry of a row of the table `inspections`."""
    return LogEntry.model_validate(
        {**row._mapping, "time": moment_of(row.time), "defects": _boxes.validate_json(row.defects)}
    )


_boxes = TypeAdapter(list[Box])
