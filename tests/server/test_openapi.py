"""The API against its own description."""

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

PILLOW = {media_type: name for name, _, media_type in IMAGE_FORMATS}


def image(kind):
    """Small images: what OpenAPI cannot say of a body is that it should be one."""

    def saved(size):
        buffer = io.BytesIO()
        Image.new("RGB", size, (9, 99, 199)).save(buffer, kind)
        return buffer.getvalue()

    return st.tuples(st.integers(1, 20), st.integers(1, 20)).map(saved)


for media_type in ACCEPTED_MEDIA_TYPES:
    schemathesis.openapi.media_type(media_type, image(PILLOW.get(media_type, "PNG")))
app = create_app(Inspector({}))
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.fixture(scope="module")
def watch(inspector, images, tmp_path_factory):
    """One image came in."""
    folder = tmp_path_factory.mktemp("watched")
    with FolderWatcher(folder, inspector, interval=0.05) as watching:
        shutil.copy(images[0], folder)
        while not watching.after(0):
            time.sleep(0.01)
        yield watching


@schema.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None)
def test_it_answers_as_it_says(case, inspector, watch):
    app.state.inspector, app.state.watch = inspector, watch
    case.call_and_validate()
