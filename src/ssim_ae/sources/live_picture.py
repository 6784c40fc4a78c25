"""The latest picture of a source as JPEG, encoded once for all who look, and only while somebody looks."""

from __future__ import annotations

from io import BytesIO
from threading import Lock
from typing import NamedTuple

import av
from av.video.reformatter import VideoReformatter
from PIL import Image

MAX_SIDE = 1280  # px; larger pictures are reduced
QUALITY = 80


class LivePicture(NamedTuple):
    """A picture of a source, and its number, from 1."""

    number: int
    image: av.VideoFrame


class LiveView:
    """Encodes the pictures of one source."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._lock = Lock()
        self._number = 0
        self._jpeg = b""

    def jpeg(self, picture: LivePicture) -> bytes:
        """Return a picture as JPEG."""
        with self._lock:
            if picture.number != self._number:
                self._number, self._jpeg = picture.number, self._encode(picture.image)
            return self._jpeg

    def _encode(self, image: av.VideoFrame) -> bytes:
        scale = min(1.0, MAX_SIDE / max(image.width, image.height))
        width, height = (max(1, round(scale * side)) for side in (image.width, image.height))
        pixels = self._reformatter.reformat(image, width, height, format="rgb24").to_ndarray()
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()
