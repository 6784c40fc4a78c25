"""Property-based tests of the API against its OpenAPI schema."""

import io
import shutil
import time

import pytest
import schemathesis
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image

from ssim_ae.images.formats import IMAGE_FORMATS
from ssim_ae.server.app import create_app
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.uploads import ACCEPTED_MEDIA_TYPES

PILLOW_FORMATS = {media_type: name for name, _, media_type in IMAGE_FORMATS}


def image(pillow_format):
    """Return a strategy for small images: OpenAPI cannot describe that a body is an image."""

    def saved(size):
        buffer = io.BytesIO()
        Image.new("RGB", size, (9, 99, 199)).save(buffer, pillow_format)
        return buffer.getvalue()

    return st.tuples(st.integers(1, 20), st.integers(1, 20)).map(saved)


for media_type in ACCEPTED_MEDIA_TYPES:
    schemathesis.openapi.media_type(media_type, image(PILLOW_FORMATS.get(media_type, "PNG")))
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
