"""The API of the versions of a server's runs: candidates from reviews, adoption, and the way back."""

from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from ssim_ae.line.comparison import MAX_PICTURES
from ssim_ae.line.served_runs import RunState, ServedRuns
from ssim_ae.server.roles import Role, RoleRouters, person_of
from ssim_ae.server.routes import InspectorDep, problem_responses

BODY_STATUSES = (400, 404, 408, 409, 413, 422, 503)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CandidateRequest(_Body):
    """How to make a candidate."""

    learn: Annotated[
        bool, Field(description="Learn the confirmed good images; else raise the thresholds to accept them.")
    ] = False


class Adoption(_Body):
    """Which candidate to adopt."""

    candidate: Annotated[str, Field(max_length=100, description="The fingerprint of the candidate that was looked at.")]


class Rollback(_Body):
    """Which version to go back from."""

    fingerprint: Annotated[str, Field(max_length=100, description="The fingerprint of the current version.")]


RunName = Annotated[str, Path(description="Name of the detector.")]


def add_version_routes(api: RoleRouters, runs: ServedRuns) -> None:
    """Add the routes for the runs of a server."""

    def known(detector: RunName) -> str:
        if detector not in runs.names:
            raise HTTPException(404, f"{detector}: no run of this server; choose one of {', '.join(runs.names) or '-'}")
        return detector

    known_run = Annotated[str, Depends(known)]

    @api[Role.REVIEW].get("/v1/versions", responses=problem_responses(400, 503))
    def list_runs() -> list[RunState]:
        """List the runs among the server's detectors, with their versions, reviewed images and candidates."""
        return [runs.state(name) for name in runs.names]

    @api[Role.REVIEW].get("/v1/versions/{detector}", responses=problem_responses(400, 404, 422, 503))
    def get_run(detector: known_run) -> RunState:
        """Return a run with its versions, reviewed images and candidate."""
        return runs.state(detector)

    @api[Role.REVIEW].post(
        "/v1/versions/{detector}/candidate", status_code=202, responses=problem_responses(*BODY_STATUSES)
    )
    def make_candidate(detector: known_run, how: CandidateRequest) -> RunState:
        """Start to make a candidate from the reviewed images and to compare it. `work` of the run is the progress."""
        runs.make_candidate(detector, learn=how.learn)
        return runs.state(detector)

    @api[Role.REVIEW].post("/v1/versions/{detector}/discard", responses=problem_responses(400, 404, 409, 422, 503))
    def discard_candidate(detector: known_run) -> RunState:
        """Remove the candidate."""
        runs.discard(detector)
        return runs.state(detector)

    @api[Role.REVIEW].get(
        "/v1/versions/{detector}/candidate/pictures/{number}",
        responses={200: {"content": {"image/png": {}}}, **problem_responses(404, 422)},
        response_class=FileResponse,
    )
    def get_picture(detector: known_run, number: Annotated[int, Path(ge=0, lt=MAX_PICTURES)]) -> FileResponse:
        """Return an image whose verdict changes, as the current detector and as the candidate see it, as a PNG."""
        path = runs.picture(detector, number)
        if not path:
            raise HTTPException(404, f"{number}: no such picture, or the candidate is another one by now")
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "no-store"})

    @api[Role.ADMINISTER].post("/v1/versions/{detector}/adopt", responses=problem_responses(*BODY_STATUSES))
    def adopt_candidate(detector: known_run, adoption: Adoption, request: Request, inspector: InspectorDep) -> RunState:
        """Make the candidate the current version. The server inspects with it from the next image on."""
        runs.adopt(detector, adoption.candidate, person_of(request), inspector)
        return runs.state(detector)

    @api[Role.ADMINISTER].post("/v1/versions/{detector}/rollback", responses=problem_responses(*BODY_STATUSES))
    def roll_back(detector: known_run, rollback: Rollback, request: Request, inspector: InspectorDep) -> RunState:
        """Go back to the version before the current one. The server inspects with it from the next image on."""
        runs.roll_back(detector, rollback.fingerprint, person_of(request), inspector)
        return runs.state(detector)
