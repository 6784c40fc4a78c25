"""The routes of the HTTP API and of the inspection page."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field

from ssim_ae.errors import InputError
from ssim_ae.maps.levels import THRESHOLD_DOUBLINGS
from ssim_ae.server.inspector import InspectionRequest, Inspector, QueueSlot
from ssim_ae.server.page import PATH, page_html
from ssim_ae.server.roles import Role, RoleRouters, access_of
from ssim_ae.server.schemas import (
    AccessInfo,
    DetectorInfo,
    Failure,
    InspectionResponse,
    PictureName,
    Problem,
    WatchedImage,
)
from ssim_ae.server.uploads import BATCH_BODY, IMAGE_BODY, Upload, many_images, one_image
from ssim_ae.server.watched_results import WatchedResults

RETRY_SECONDS = 1  # header Retry-After of status 429
MAX_SENSITIVITY = 2.0**THRESHOLD_DOUBLINGS  # up to its inverse: the thresholds that the picture `levels` covers
WATCHED_PICTURES: tuple[PictureName, ...] = ("inspected", "reconstruction", "levels", "regions")  # that the page needs
PROBLEMS = {  # description and example of each error status
    400: ("The image is corrupt, or the body is not an image.", "017.png: corrupt (image file is truncated)"),
    401: (
        "The token is missing or wrong.",
        "token: missing or wrong; send a valid Bearer token",
    ),
    403: ("The role of the token does not permit this.", "token: its role is inspect; send one with the role review"),
    404: ("The detector or image does not exist.", "detector: no detector 'bottle-9'; choose one of bottle-1, grid-1"),
    408: ("The body did not arrive in time.", "body: not received within 30 s; send it again"),
    409: ("Something else has happened meanwhile.", "bottle-1: a candidate is being made; wait for it"),
    413: ("The body is too large.", "body: larger than 32 MiB; send smaller or fewer images"),
    415: ("The content type is not supported.", "content type: text/plain is not supported; send image/png, ..."),
    422: (
        "A query parameter or a field of the form is invalid.",
        "sensitivity: Input should be less than or equal to 8",
    ),
    429: ("All queue slots are in use.", "server: all queue slots are in use; try again later"),
    503: (
        "The response was not ready in time, or could not be recorded.",
        "response: not ready within 30 s; try again",
    ),
}
INSPECTION_STATUSES = (400, 404, 408, 413, 415, 422, 429, 503)  # with which a request with images can fail


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI descriptions of error statuses."""
    return {status: _problem_response(*PROBLEMS[status]) for status in statuses}


def _problem_response(description: str, example: str) -> dict[str, Any]:
    content = {"application/json": {"example": {"detail": example}}}
    return {"model": Problem, "description": description, "content": content}


class InspectionQuery(BaseModel):
    """The query parameters of an inspection."""

    model_config = ConfigDict(extra="forbid")  # a misspelled parameter is an error, not ignored

    detector: str = Field("", description="Name of the detector; the server's first one if not given.")
    sensitivity: float = Field(
        1.0, ge=1 / MAX_SENSITIVITY, le=MAX_SENSITIVITY, description="The threshold of the score is 1 / sensitivity."
    )
    pictures: list[PictureName] = Field(
        [],
        description="Pictures to return. `image` (in 8 bits), `mask` and `heatmap` have the size of the image, the "
        "others that of the view.",
    )
    log: bool = Field(
        True, description="Whether a server with a log records the inspection: false if the image is in it already."
    )


async def _get_inspector(request: Request) -> Inspector:
    inspector: Inspector = request.app.state.inspector
    return inspector


async def _get_watched_results(request: Request) -> WatchedResults:
    watched: WatchedResults | None = request.app.state.watched
    if not watched:
        raise HTTPException(404, "watched folder: none; start the server with --watch FOLDER")
    return watched


InspectorDep = Annotated[Inspector, Depends(_get_inspector)]
WatchedResultsDep = Annotated[WatchedResults, Depends(_get_watched_results)]


async def _get_inspection_request(
    inspector: InspectorDep, query: Annotated[InspectionQuery, Query()]
) -> InspectionRequest:
    name = query.detector or inspector.default
    if name not in inspector.detectors:
        raise HTTPException(404, f"detector: no detector {name!r}; choose one of {', '.join(inspector.detectors)}")
    return InspectionRequest(name, query.sensitivity, tuple(query.pictures), record=query.log)


async def _get_queue_slot(inspector: InspectorDep) -> AsyncIterator[QueueSlot]:
    with inspector.reserve_slot() as slot:
        yield slot


InspectionRequestDep = Annotated[InspectionRequest, Depends(_get_inspection_request)]
QueueSlotDep = Annotated[QueueSlot, Depends(_get_queue_slot)]  # reserved before the body is read
api = RoleRouters()
public_router = APIRouter()


@api[Role.INSPECT].post("/v1/inspect", responses=problem_responses(*INSPECTION_STATUSES), openapi_extra=IMAGE_BODY)
async def inspect(
    http_request: Request, inspection_request: InspectionRequestDep, slot: QueueSlotDep
) -> InspectionResponse:
    """Inspect one image, sent as the body or as the file `image` of a form."""
    image = await one_image(http_request)
    return await slot.inspect(image.data, inspection_request, image.name)


@api[Role.INSPECT].post(
    "/v1/inspect/batch", responses=problem_responses(*INSPECTION_STATUSES), openapi_extra=BATCH_BODY
)
async def inspect_batch(
    http_request: Request, inspection_request: InspectionRequestDep, slot: QueueSlotDep
) -> list[InspectionResponse | Failure]:
    """Inspect the files `images` of a form, in order. An image that cannot be inspected yields a failure."""
    images = await many_images(http_request)
    return [await _response_or_failure(image, inspection_request, slot) for image in images]


@api[Role.INSPECT].get("/v1/detectors")
async def list_detectors(inspector: InspectorDep) -> list[DetectorInfo]:
    """List the detectors, the default first."""
    return inspector.infos()


@api[Role.INSPECT].get("/v1/watched", responses=problem_responses(404, 422))
async def list_watched_images(
    watched: WatchedResultsDep,
    after: Annotated[int, Query(ge=0, description="Return only images with a higher number.")] = 0,
) -> list[WatchedImage]:
    """List the inspected images of the watched folders, oldest first. The server keeps the last 1000 results."""
    return watched.after(after)


@api[Role.INSPECT].get("/v1/watched/{number}", responses=problem_responses(400, 404, 422, 429, 503))
async def inspect_watched_image(
    number: Annotated[int, Path(ge=1)],
    watched: WatchedResultsDep,
    inspector: InspectorDep,
    slot: QueueSlotDep,
    pictures: Annotated[list[PictureName], Query(description="Pictures to return.")] = list(WATCHED_PICTURES),  # noqa: B006
) -> InspectionResponse:
    """Inspect an image of the watched folder again."""
    path = watched.path_of(number)
    if not path:
        raise HTTPException(404, f"{number}: unknown number, or the image was changed or deleted")
    request = InspectionRequest(inspector.default, pictures=tuple(pictures), record=False)
    return await slot.inspect(path, request, path.name)


@public_router.get("/healthz")
async def healthz() -> dict[str, Literal["ok"]]:
    """Return status 200 while the server is running."""
    return {"status": "ok"}


@api[Role.INSPECT].get("/v1/access")
async def get_access(request: Request) -> AccessInfo:
    """Return whose token was sent, and its role."""
    access = access_of(request)
    return AccessInfo(name=access.name, role=str(access.role))


@api[Role.INSPECT].get("/metrics", response_class=PlainTextResponse)
async def metrics(inspector: InspectorDep) -> PlainTextResponse:
    """Return the metrics in the Prometheus text format."""
    return PlainTextResponse(inspector.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@public_router.get(PATH, include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """Return the inspection page."""
    return HTMLResponse(page_html(request.app.state.site, watching=request.app.state.watched is not None))


async def _response_or_failure(
    image: Upload, inspection_request: InspectionRequest, slot: QueueSlot
) -> InspectionResponse | Failure:
    try:
        return await slot.inspect(image.data, inspection_request, image.name)
    except InputError as error:
        return Failure(name=image.name, error=str(error))
