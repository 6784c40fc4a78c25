"""The page History and its API: the entries of a log, with their images."""

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import HTTPException, Path, Query, Request, Response
from PIL import Image
from prometheus_client.registry import Collector
from pydantic import Field

from ssim_ae.errors import InputError
from ssim_ae.images.colors import eight_bit
from ssim_ae.images.files import encode_png, read_image
from ssim_ae.line.drift import DriftWatch
from ssim_ae.line.drift_routes import DriftCollector, add_drift_routes
from ssim_ae.line.entries import Filters, Hour, LogPage, Moment
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import detector_names, hours_of, page_of
from ssim_ae.line.reviews import MAX_ID, LoggedReview, Review, UnknownInspection, add_review, reviews_of
from ssim_ae.line.served_runs import ServedRuns
from ssim_ae.line.version_routes import add_version_routes
from ssim_ae.pages.page import render_page
from ssim_ae.server.extension import Extension
from ssim_ae.server.roles import Role, RoleRouters, person_of
from ssim_ae.server.routes import problem_responses

if TYPE_CHECKING:
    from ssim_ae.line.sinks.delivery import Deliveries

SCRIPTS = ("reviewing.js", "marking.js", "versions.js", "drift.js", "sinks.js", "history.js")
STYLES = ("history.css", "versions.css")
TITLE = "History"
PATH = "/history"
MAX_ENTRIES = 500  # of one response
FULL_SIDE = 32_768  # px: no image is larger


class LogQuery(Filters):
    """The query parameters of a page of entries."""

    limit: int = Field(50, ge=1, le=MAX_ENTRIES, description="Maximum number of entries.")
    cursor: str | None = Field(
        default=None, pattern=r"^[0-9]{1,15}-[0-9]{1,18}$", description="The `next` of the page before."
    )


class HourQuery(Filters):
    """The query parameters of verdicts per hour."""

    since: Moment = Field(description="The first moment, from which hours are counted.")
    until: Moment = Field(description="The moment after the last one.")


def history_of(
    log: InspectionLog,
    runs: ServedRuns | None = None,
    drift: Sequence[DriftWatch] = (),
    deliveries: "Deliveries | None" = None,
) -> Extension:
    """Return the page and the API of a log, with those of a server's runs, drift and sinks, if there are any."""
    api = RoleRouters()
    if runs:
        add_version_routes(api, runs)

    @api[Role.REVIEW].get("/v1/log", responses=problem_responses(422, 503))
    def list_inspections(query: Annotated[LogQuery, Query()]) -> LogPage:
        """List logged inspections, the latest first."""
        return page_of(log, query, query.limit, query.cursor)

    @api[Role.REVIEW].get("/v1/log/hours", responses=problem_responses(422, 503))
    def count_per_hour(query: Annotated[HourQuery, Query()]) -> list[Hour]:
        """Count the verdicts of each hour between two moments; those without any are left out."""
        return hours_of(log, query, query.since)

    @api[Role.REVIEW].get("/v1/log/detectors", responses=problem_responses(503))
    def list_logged_detectors() -> list[str]:
        """List the names of all detectors in the log."""
        return detector_names(log)

    @api[Role.REVIEW].post("/v1/reviews", status_code=204, responses=problem_responses(400, 404, 408, 413, 422, 503))
    def review_inspections(review: Review, request: Request) -> None:
        """Say that images are good or defective. If the server has tokens, the reviewer is whose token it is."""
        try:
            add_review(log, review.model_copy(update={"reviewer": person_of(request) or review.reviewer}))
        except UnknownInspection as error:
            raise HTTPException(404, str(error)) from error

    @api[Role.REVIEW].get(
        "/v1/log/{number}/image",
        responses={200: {"content": {"image/png": {}}}, **problem_responses(404, 422, 503)},
        response_class=Response,
    )
    def get_logged_image(
        number: Annotated[int, Path(ge=1, le=MAX_ID)],
        side: Annotated[int, Query(ge=16, le=FULL_SIDE, description="Reduce longer sides to this, in px.")] = FULL_SIDE,
    ) -> Response:
        """Return the image of an inspection, as it was inspected, as a PNG of 8 bits."""
        path = log.image_path(number)
        if not path:
            raise HTTPException(404, f"{number}: no such inspection, or its image is not kept")
        try:
            pixels = eight_bit(read_image(path))
        except InputError as error:
            raise HTTPException(404, f"{number}: no such inspection, or its image is not kept") from error
        return Response(_png(pixels, side), media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    @api[Role.REVIEW].get("/v1/log/{number}/reviews", responses=problem_responses(422, 503))
    def list_reviews(number: Annotated[int, Path(ge=1, le=MAX_ID)]) -> list[LoggedReview]:
        """List what was said of an image, the latest first."""
        return reviews_of(log, number)

    collectors: list[Collector] = []
    if drift:
        add_drift_routes(api, drift)
        collectors.append(DriftCollector(drift))
    if deliveries:
        from ssim_ae.line.sinks.status import SinkCollector, add_sink_routes

        add_sink_routes(api, deliveries)
        collectors.append(SinkCollector(deliveries))
    data = {"has_runs": bool(runs and runs.names), "has_drift": bool(drift), "has_sinks": bool(deliveries)}
    html = partial(render_page, "line", TITLE, data, ("pages/api.js", *SCRIPTS), STYLES)
    return Extension(TITLE, PATH, html, api, collectors)


def _png(pixels: np.ndarray, side: int) -> bytes:
    if max(pixels.shape[:2]) <= side:
        return encode_png(pixels)
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
