"""Property-based tests of the API against its OpenAPI schema."""

import shutil
import time

import pytest
import schemathesis
from hypothesis import settings

from ssim_ae.server.app import create_app
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector

from .image_bodies import draw_images_for_bodies

draw_images_for_bodies()
app = create_app(Inspector({}))
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.fixture(scope="module")
def watcher(inspector, images, tmp_path_factory):
    """A watcher that has inspected one image."""
    folder = tmp_path_factory.mktemp("watched")
    with FolderWatcher(folder, inspector, interval=0.05) as watcher:
        shutil.copy(images[0], folder)
        while not watcher.results.after(0):
            time.sleep(0.01)
        yield watcher


@schema.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None)
def test_responses_match_the_schema(case, inspector, watcher):
    app.state.inspector = inspector
    app.state.watched = watcher.results
    case.call_and_validate()
