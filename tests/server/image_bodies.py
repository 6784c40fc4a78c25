"""Bodies of requests that are images: OpenAPI cannot describe them."""

import io

import schemathesis
from hypothesis import strategies as st
from PIL import Image

from ssim_ae.images.formats import IMAGE_FORMATS
from ssim_ae.server.uploads import ACCEPTED_MEDIA_TYPES

PILLOW_FORMATS = {media_type: name for name, _, media_type in IMAGE_FORMATS}


def draw_images_for_bodies() -> None:
    """Let Schemathesis draw a small image for a body of each media type that the server accepts."""
    for media_type in ACCEPTED_MEDIA_TYPES:
        schemathesis.openapi.media_type(media_type, _images(PILLOW_FORMATS.get(media_type, "PNG")))


def _images(pillow_format: str) -> st.SearchStrategy[bytes]:
    def saved(size: tuple[int, int]) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", size, (9, 99, 199)).save(buffer, pillow_format)
        return buffer.getvalue()

    return st.tuples(st.integers(1, 20), st.integers(1, 20)).map(saved)
