"""The API of the sources: their states, their live pictures, and requests to inspect the next picture."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from ssim_ae.server.roles import Role, RoleRouters
from ssim_ae.server.routes import problem_responses
from ssim_ae.server.schemas import Failure, InspectionResponse
from ssim_ae.sources.camera_source import CameraSource, SourceAwayError, State

LIVE_WAIT = 0.5  # seconds for a newer live picture: a server that stops waits for the response
REQUEST_WAIT = 1.5  # seconds for a picture to inspect
POLL_INTERVAL = 0.005  # seconds
MAX_NUMBER = 2**63 - 1
PICTURE_HEADER = "X-Picture"  # number of the picture
STATE_HEADER = "X-State"
RESULT_HEADER = "X-Result"  # number of the source's latest result, 0 before the first one


class SourceInfo(BaseModel):
    """A source and its latest result."""

    name: Annotated[str, Field(description="Name of the source.", examples=["press1"])]
    state: Annotated[State, Field(description="`ended`: a video file that was read to its end.")]
    trigger: Annotated[str, Field(description="Which pictures are inspected.", examples=["still"])]
    pictures: Annotated[int, Field(description="Number of pictures that came from the source.", examples=[4711])]
    results: Annotated[int, Field(description="Number of inspections.", examples=[17])]
    result: Annotated[
        InspectionResponse | Failure | None, Field(description="The latest result, with the picture `levels`.")
    ]


def api_of(sources: Mapping[str, CameraSource]) -> RoleRouters:
    """Return the API of running sources by name."""

    async def get_source(name: Annotated[str, Path(description="Name of the source.")]) -> CameraSource:
        if name not in sources:
            raise HTTPException(404, f"source: no source {name!r}; choose one of {', '.join(sources)}")
        return sources[name]

    api = RoleRouters()
    named = Depends(get_source)

    @api[Role.INSPECT].get("/v1/sources")
    async def list_sources() -> list[SourceInfo]:
        """List the sources with their latest results."""
        return [_info(source) for source in sources.values()]

    @api[Role.INSPECT].get("/v1/sources/{name}", responses=problem_responses(404, 422))
    async def describe_source(source: CameraSource = named) -> SourceInfo:
        """Describe a source, with its latest result."""
        return _info(source)

    @api[Role.INSPECT].get(
        "/v1/sources/{name}/picture",
        responses={
            200: {"content": {"image/jpeg": {}}, "description": f"The number is in the header {PICTURE_HEADER}."},
            204: {"description": "There is no newer picture yet."},
            **problem_responses(404, 422, 503),
        },
        response_class=Response,
    )
    async def live_picture(
        after: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="Only a picture with a higher number.")] = 0,
        source: CameraSource = named,
    ) -> Response:
        """Return the latest picture of a source as JPEG, once there is a newer one; status 204 if none comes soon."""
        deadline = monotonic() + LIVE_WAIT
        while (picture := source.latest) is None or picture.number <= after:
            if monotonic() > deadline:
                return Response(status_code=204, headers=_headers(source))
            await asyncio.sleep(POLL_INTERVAL)
        jpeg = await run_in_threadpool(source.live.jpeg, picture)
        headers = {PICTURE_HEADER: str(picture.number), "Cache-Control": "no-store", **_headers(source)}
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    @api[Role.INSPECT].post("/v1/sources/{name}/trigger", responses=problem_responses(400, 404, 422, 503))
    async def trigger(source: CameraSource = named) -> InspectionResponse:
        """Inspect the next picture of a source, whatever its trigger is."""
        try:
            answer = source.request()
            deadline = monotonic() + REQUEST_WAIT
            while not (answer.running() or answer.done()):  # running: there is a picture
                if monotonic() > deadline and answer.cancel():
                    raise SourceAwayError(f"{source.name}: no picture within {REQUEST_WAIT:g} s; try again")
                await asyncio.sleep(POLL_INTERVAL)
            response = await asyncio.wrap_future(answer)
        except SourceAwayError as error:
            raise HTTPException(503, str(error)) from error
        return response.model_copy(update={"pictures": {}})

    @api[Role.REVIEW].post("/v1/sources/{name}/empty", status_code=204, responses=problem_responses(404, 422))
    async def forget_empty(source: CameraSource = named) -> None:
        """Say that no part is there: the trigger `still` takes the next picture that is still for the empty one."""
        source.trigger.forget_empty()

    return api


def _info(source: CameraSource) -> SourceInfo:
    latest = source.inspections.latest
    return SourceInfo(
        name=source.name,
        state=source.state,
        trigger=source.settings.rule,
        pictures=source.latest.number if source.latest else 0,
        results=latest.number if latest else 0,
        result=latest.result if latest else None,
    )


def _headers(source: CameraSource) -> dict[str, str]:
    latest = source.inspections.latest
    return {STATE_HEADER: source.state, RESULT_HEADER: str(latest.number if latest else 0)}
