"""What people say of logged images: good or defective. No review is ever changed; the last one of an image counts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import func, insert, select, update

from ssim_ae.errors import InputError
from ssim_ae.line.entries import ReviewVerdict, milliseconds_since_epoch, moment_of
from ssim_ae.line.inspection_log import InspectionLog, text_of
from ssim_ae.line.schema import inspections, reviews

MAX_REVIEWED = 500  # images in one review
MAX_ID = 2**53 - 1  # exact in JavaScript, too


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 5.0 is an integer in JSON


Whole = Annotated[int, Field(ge=0, le=MAX_ID), BeforeValidator(_whole)]
Positive = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_whole)]


class DefectBox(BaseModel):
    """Where a defect is, in pixels of the image."""

    model_config = ConfigDict(extra="forbid", strict=True)

    x: Whole
    y: Whole
    width: Positive
    height: Positive


class Review(BaseModel):
    """What a person says of one or several images."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inspections: Annotated[
        list[Positive],
        Field(min_length=1, max_length=MAX_REVIEWED, description="Numbers of the inspections, `id` in the log."),
    ]
    verdict: Annotated[ReviewVerdict | Literal["withdrawn"], Field(description="`withdrawn`: no longer reviewed.")]
    reviewer: Annotated[str, Field(max_length=200, description="Who says so.")] = ""
    box: Annotated[DefectBox | None, Field(description="Where the defect is.")] = None


class LoggedReview(BaseModel):
    """What a person said of an image."""

    time: Annotated[datetime, Field(description="When it was said, UTC.")]
    reviewer: Annotated[str, Field(description="Who said so; empty if nobody gave a name.")]
    verdict: ReviewVerdict | Literal["withdrawn"]
    box: DefectBox | None


class ReviewedImage(NamedTuple):
    """A kept image that a person has reviewed, with its SHA-256."""

    path: Path
    name: str
    content: str
    verdict: ReviewVerdict


class UnknownInspection(InputError):  # noqa: N818
    """An inspection that is not in the log was reviewed."""


def add_review(log: InspectionLog, review: Review) -> None:
    """Store a review. Raises UnknownInspection if one of the inspections does not exist; then none is reviewed."""
    numbers = sorted({*review.inspections})
    row = {
        "time": milliseconds_since_epoch(datetime.now(UTC)),
        "reviewer": text_of(review.reviewer),
        "verdict": review.verdict,
        "box": review.box.model_dump_json() if review.box else None,
    }
    current = None if review.verdict == "withdrawn" else review.verdict
    with log.database.write() as connection:
        is_meant = inspections.c.id.in_(numbers)
        known = set(connection.execute(select(inspections.c.id).where(is_meant)).scalars())
        if unknown := [number for number in numbers if number not in known]:
            raise UnknownInspection(f"{unknown[0]}: no such inspection; take the id of an entry of the log")
        connection.execute(insert(reviews), [{**row, "inspection_id": number} for number in numbers])
        connection.execute(update(inspections).where(is_meant).values(review=current))


def reviews_of(log: InspectionLog, number: int) -> list[LoggedReview]:
    """Return the reviews of an inspection, the latest first; none if it does not exist."""
    query = select(reviews).where(reviews.c.inspection_id == number).order_by(reviews.c.id.desc())
    with log.database.read() as connection:
        rows = connection.execute(query).all()
    return [
        LoggedReview(
            time=moment_of(row.time),
            reviewer=row.reviewer,
            verdict=row.verdict,
            box=DefectBox.model_validate_json(row.box) if row.box else None,
        )
        for row in rows
    ]


def reviewed_images(log: InspectionLog, detector: str) -> list[ReviewedImage]:
    """Return the kept images that a detector inspected and a person reviewed, in the order of their reviews.

    Each content is there once, as it was last reviewed.
    """
    row = inspections.c
    query = select(row.image_file, row.name, row.image_hash, row.review).where(
        row.review.is_not(None), row.image_file.is_not(None), row.detector == text_of(detector)
    )
    with log.database.read() as connection:
        last = select(func.max(reviews.c.id)).where(reviews.c.inspection_id == row.id).scalar_subquery()
        rows = connection.execute(query.order_by(last)).all()
    return [
        ReviewedImage(log.images.folder / row.image_file, row.name, row.image_hash, row.review)
        for row in {row.image_hash: row for row in rows}.values()
    ]
