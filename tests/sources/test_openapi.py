"""Property-based tests of the API of sources against its OpenAPI schema, with a source that is connected."""

import pytest

pytest.importorskip("av")

import schemathesis
from hypothesis import settings

from ssim_ae.server.app import create_app
from ssim_ae.server.extension import Extension
from ssim_ae.server.inspector import Inspector
from ssim_ae.sources import routes
from ssim_ae.sources.camera_source import CameraSource
from ssim_ae.sources.metrics import SourceMetrics
from ssim_ae.sources.routes import api_of
from ssim_ae.sources.settings import source_settings

from .conftest import running_mjpeg_server, wait_until

sources: dict[str, CameraSource] = {}
app = create_app(Inspector({}), extensions=[Extension("Live", "/live", lambda _: "", api_of(sources))])
schema = schemathesis.openapi.from_asgi("/openapi.json", app).include(path_regex="^/v1/sources")


@pytest.fixture(scope="module", autouse=True)
def running(parts, loaded):
    with running_mjpeg_server(parts) as server, Inspector({"twill": loaded}) as inspector:
        (source,) = source_settings([f"press1={server.url()}"], ["press1=still"])
        with CameraSource(source, inspector, SourceMetrics(inspector.metrics.registry)) as camera:
            sources["press1"] = camera
            wait_until(lambda: camera.state == "connected")
            yield


@schema.parametrize()
@settings(max_examples=10, derandomize=True, deadline=None)
def test_responses_match_the_schema(case):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(routes, "LIVE_WAIT", 0.01)
        case.call_and_validate()


def test_an_existing_source_answers_as_the_schema_says():
    for operation in schema.get_all_operations():
        case = operation.ok().Case(path_parameters={"name": "press1"})
        assert case.call_and_validate().status_code in (200, 204)
