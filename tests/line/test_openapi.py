"""Property-based tests of all routes of a server with a log, a run, reviews and sources, against its OpenAPI schema."""

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("av")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from ssim_ae import Detector
from ssim_ae.line.drift import DriftWatch
from ssim_ae.line.history import history_of
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.served_runs import ServedRuns
from ssim_ae.line.server_recorder import ServerRecorder
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.server.app import create_app
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.roles import Access, Role
from ssim_ae.server.watched_results import WatchedResults
from ssim_ae.sources.extension import sources_of
from ssim_ae.sources.settings import source_settings

from ..server.image_bodies import draw_images_for_bodies
from ..sources.conftest import images, mjpeg_server, parts  # noqa: F401
from .conftest import KEEP_ALL

draw_images_for_bodies()

NAME = "cloth-1"
KNOWN = {"detector": NAME, "number": 1, "name": "press1"}  # path parameters of what exists
TOKENS = {role: Access(f"the {role}", role, f"token-{role}") for role in Role}

FEW = settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@pytest.fixture
def api(request, run, reviewed_place, mjpeg_server):  # noqa: F811
    """The schema of a server with everything that has routes, with reviewed inspections of a run.

    The parameter is the role of a token that requests need; None: the server has no tokens.
    """
    with (
        InspectionLog.open(reviewed_place, station="line-1", rule=KEEP_ALL) as log,
        Inspector({NAME: Detector.load(run)}, recorder=ServerRecorder(log, {NAME: 1})) as inspector,
        ServedRuns(log, inspector.recorder, {NAME: run}) as runs,
    ):
        sources = sources_of(source_settings([f"press1={mjpeg_server.url()}"], ["press1=still"]))
        with sources.run(inspector):
            history = history_of(log, runs, [DriftWatch(log)], Deliveries(log, []))
            app = create_app(
                inspector,
                watched=WatchedResults(),
                tokens=TOKENS.values() if request.param else (),
                extensions=[history, sources],
            )
            yield schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    ("api", "role", "mode"),
    [(None, None, mode) for mode in GenerationMode] + [(role, role, GenerationMode.POSITIVE) for role in Role],
    indirect=["api"],
    ids=str,
)
def test_responses_match_the_schema(api, role, mode):
    headers = {"Authorization": f"Bearer {TOKENS[role].token}"} if role else {}

    def check(case):
        case.call_and_validate(headers=headers)
        known = {name: KNOWN[name] for name in case.path_parameters or {} if name in KNOWN}
        if known:
            case.path_parameters.update(known)
            assert case.call(headers=headers).status_code < 500

    for operation in (result.ok() for result in api.get_all_operations()):
        try:
            FEW(given(case=operation.as_strategy(generation_mode=mode))(check))()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, "only a request without parameters cannot be invalid"
