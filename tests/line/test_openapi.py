"""Property-based tests of the API of a log against its OpenAPI schema."""

import tempfile

import pytest

pytest.importorskip("sqlalchemy")

import schemathesis
from hypothesis import settings

from ssim_ae.line.drift import DriftWatch
from ssim_ae.line.history import history_of
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.served_runs import ServedRuns
from ssim_ae.line.server_recorder import ServerRecorder
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.server.app import create_app
from ssim_ae.server.inspector import Inspector

from .conftest import KEEP_ALL, record

folder = tempfile.TemporaryDirectory()  # the schema is needed before any fixture
log = InspectionLog.open(folder.name, rule=KEEP_ALL)
runs, drift = ServedRuns(log, ServerRecorder(log, {}), {}), [DriftWatch(log)]
app = create_app(Inspector({}), extensions=[history_of(log, runs, drift, Deliveries(log, []))])
schema = schemathesis.openapi.from_asgi("/openapi.json", app)
schema = schema.include(path_regex="^/v1/(log|reviews|versions|drift|sinks)")


@pytest.fixture(scope="module", autouse=True)
def rows():
    for number in range(3):
        record(log, number, score=number, data=b"no image" * (number % 2))
    yield
    log.database.close()
    folder.cleanup()


@schema.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None)
def test_responses_match_the_schema(case):
    case.call_and_validate()
