"""Images of a GenICam camera (GigE Vision, USB3 Vision), read by harvesters and the GenTL producers of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import av
import numpy as np

PRODUCERS = "GENICAM_GENTL64_PATH"  # the environment variable with the folders of the GenTL producers
FETCH_TIMEOUT = 0.4  # seconds
FORMATS = {  # of PyAV, by the pixel format of the camera
    "Mono8": "gray",
    "RGB8": "rgb24",
    "BGR8": "bgr24",
    "BayerRG8": "bayer_rggb8",
    "BayerBG8": "bayer_bggr8",
    "BayerGR8": "bayer_grbg8",
    "BayerGB8": "bayer_gbrg8",
}
DEEP_FORMATS = {"Mono10": 10, "Mono12": 12, "Mono14": 14, "Mono16": 16}  # their bits; reduced to 8


class GenicamError(Exception):
    """A camera cannot be used; the message is the reason."""


def genicam_images(serial: str, stopped: Event) -> Iterator[av.VideoFrame]:
    """Yield the images of the camera with a serial number until `stopped` is set.

    Raises GenicamError if it has a pixel format that is not supported, or if there is no GenTL producer.
    """
    from harvesters.core import Harvester

    producers = producer_files()
    if not producers:
        raise GenicamError(f"no GenTL producer; install that of the camera's maker, which sets {PRODUCERS}")
    with Harvester() as harvester:
        for producer in producers:
            harvester.add_file(str(producer))
        harvester.update()
        with harvester.create({"serial_number": serial}) as camera:
            camera.start()
            while not stopped.is_set():
                buffer = camera.try_fetch(timeout=FETCH_TIMEOUT)
                if buffer is not None:
                    with buffer:
                        part = buffer.payload.components[0]
                        image = image_of(part.data_format, part.data, part.width, part.height)
                    yield image


def producer_files() -> list[Path]:
    """Return the files of the GenTL producers that are installed."""
    folders = os.environ.get(PRODUCERS, "").split(os.pathsep)
    return sorted(file for folder in folders if folder for file in Path(folder).glob("*.cti"))


def image_of(pixel_format: str, values: np.ndarray, width: int, height: int) -> av.VideoFrame:
    """Return an image of the flat values of a camera's buffer, which it copies."""
    if pixel_format in DEEP_FORMATS:
        values, pixel_format = (values >> DEEP_FORMATS[pixel_format] - 8).astype(np.uint8), "Mono8"
    if pixel_format not in FORMATS:
        supported = ", ".join((*FORMATS, *DEEP_FORMATS))
        raise GenicamError(f"the pixel format {pixel_format} is not supported; set the camera to one of {supported}")
    shape = (height, width, 3) if pixel_format in ("RGB8", "BGR8") else (height, width)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(values.reshape(shape)), format=FORMATS[pixel_format])
