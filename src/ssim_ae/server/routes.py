"""What can be asked of the server."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field

from ssim_ae.errors import InputError
from ssim_ae.maps.levels import THRESHOLD_DOUBLINGS
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import InspectionRequest, Inspector, QueueSlot
from ssim_ae.server.page import page_html
from ssim_ae.server.schemas import DetectorInfo, Failure, InspectionResponse, Picture, Problem, WatchedImage
from ssim_ae.server.uploads import BATCH_BODY, IMAGE_BODY, Upload, many_images, one_image

RETRY_SECONDS = 1
MOST_SENSITIVE = 2.0**THRESHOLD_DOUBLINGS  # the least is its inverse: as far as the limits of `levels` go
PROBLEMS = {
    400: ("Damaged, or not an image.", "017.png: damaged (image file is truncated)"),
    401: ("The token is missing, or wrong.", "a token is needed"),
    404: ("There is no such thing.", "no such detector 'bottle-9'; there are: bottle-1, grid-1"),
    408: ("The body did not arrive in time.", "the body did not arrive within 30 s"),
    413: ("The body is too large.", "the body is larger than 32 MiB"),
    415: ("The body is of a kind that is not supported.", "text/plain is not supported; send image/png, ..."),
    422: ("A parameter or a field of the form is not as it should be.", "sensitivity: should be at most 8"),
    429: ("All places are taken; try again.", "too many images at once; try again"),
    503: ("The answer was not found in time.", "no answer within 30 s"),
}
FOLLOWED: tuple[Picture, ...] = ("inspected", "reconstruction", "levels")  # pictures of an image of the watched folder


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of statuses that are not 200."""
    return {status: _documented(*PROBLEMS[status]) for status in statuses}


def _documented(description: str, example: str) -> dict[str, Any]:
    content = {"application/json": {"example": {"detail": example}}}
    return {"model": Problem, "description": description, "content": content}


async def _inspector(request: Request) -> Inspector:
    inspector: Inspector = request.app.state.inspector
    return inspector


async def _watch(request: Request) -> FolderWatcher:
    watch: FolderWatcher | None = request.app.state.watch
    if not watch:
        raise HTTPException(404, "no folder is watched")
    return watch


Inspecting = Annotated[Inspector, Depends(_inspector)]
Watching = Annotated[FolderWatcher, Depends(_watch)]


class Options(BaseModel):
    """The query of an inspection."""

    model_config = ConfigDict(extra="forbid")  # a misspelt one would go unnoticed

    detector: str = Field("", description="The detector to ask; the first, if none is named.")
    sensitivity: float = Field(
        1.0, ge=1 / MOST_SENSITIVE, le=MOST_SENSITIVE, description="The limit of the score is 1 / sensitivity."
    )
    pictures: list[Picture] = Field(
        [], description="Pictures to send: mask and heatmap are as large as the image, the others as what is inspected."
    )


async def _question(inspector: Inspecting, options: Annotated[Options, Query()]) -> InspectionRequest:
    name = options.detector or inspector.default
    if name not in inspector.detectors:
        raise HTTPException(404, f"no such detector {name!r}; there are: {', '.join(inspector.detectors)}")
    return InspectionRequest(name, options.sensitivity, tuple(options.pictures))


async def _place(inspector: Inspecting) -> AsyncIterator[QueueSlot]:
    with inspector.place() as place:
        yield place


Asked = Annotated[InspectionRequest, Depends(_question)]
Placed = Annotated[QueueSlot, Depends(_place)]  # after Asked, and before the body is read
api = APIRouter()
service = APIRouter()


@api.post("/v1/inspect", responses=problems(400, 404, 408, 413, 415, 422, 429, 503), openapi_extra=IMAGE_BODY)
async def inspect(request: Request, question: Asked, place: Placed) -> InspectionResponse:
    """Inspect one image: the body, or the file `image` of a form."""
    image = await one_image(request)
    return await place.inspect(image.data, question, image.name)


@api.post("/v1/inspect/batch", responses=problems(400, 404, 408, 413, 415, 422, 429, 503), openapi_extra=BATCH_BODY)
async def inspect_batch(request: Request, question: Asked, place: Placed) -> list[InspectionResponse | Failure]:
    """Inspect the files `images` of a form, one after the other; one that is no image gives its error instead."""
    return [await _answer(image, question, place) for image in await many_images(request)]


@api.get("/v1/detectors")
async def detectors(inspector: Inspecting) -> list[DetectorInfo]:
    """List the detectors, the default first."""
    return inspector.infos()


@api.get("/v1/watched", responses=problems(404, 422))
async def watched(
    watch: Watching, after: Annotated[int, Query(ge=0, description="The last number known.")] = 0
) -> list[WatchedImage]:
    """List the images that came into the watched folder, the last 1000 at most."""
    return watch.after(after)


@api.get("/v1/watched/{number}", responses=problems(400, 404, 422, 429, 503))
async def watched_image(number: Annotated[int, Path(ge=1)], watch: Watching, place: Placed) -> InspectionResponse:
    """Inspect an image of the watched folder anew, with pictures: inspected, reconstruction, levels."""
    path = watch.path(number)
    if not path:
        raise HTTPException(404, f"{number}: no such image, or it is gone")
    return await place.inspect(path, InspectionRequest(watch.detector, pictures=FOLLOWED), path.name)


@service.get("/healthz")
async def healthz() -> dict[str, Literal["ok"]]:
    """Say that the server lives."""
    return {"status": "ok"}


@api.get("/metrics", response_class=PlainTextResponse)
async def metrics(inspector: Inspecting) -> PlainTextResponse:
    """Count, for Prometheus."""
    return PlainTextResponse(inspector.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@service.get("/", include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """Show the inspection page."""
    return HTMLResponse(page_html(watching=request.app.state.watch is not None))


async def _answer(image: Upload, question: InspectionRequest, place: QueueSlot) -> InspectionResponse | Failure:
    try:
        return await place.inspect(image.data, question, image.name)
    except InputError as error:
        return Failure(name=image.name, error=str(error))
