"""Regions of an image with a sensitivity of their own: 0 is ignored, at 2 half the residual is defective."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from io import BytesIO
from math import prod
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ssim_ae.alignment.frame import Frame
from ssim_ae.errors import InputError
from ssim_ae.images.files import decode_image, encode_png
from ssim_ae.images.size import Size

MAX_SENSITIVITY = 10
MAX_REGIONS = 100
MAX_POINTS = 1000  # of a polygon
MAX_COORDINATE = 1e6
IGNORED_COLOR, SENSITIVE_COLOR = (40, 40, 40, 170), (255, 190, 0, 90)  # RGBA, in pictures

Sensitivity = Annotated[float, Field(ge=0, le=MAX_SENSITIVITY)]
Coordinate = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]  # x, y


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Region(_Strict):
    """A polygon and its sensitivity. What an odd number of its windings encloses is inside (the even-odd rule)."""

    name: Annotated[str, Field(max_length=100)] = ""
    sensitivity: Sensitivity
    polygon: Annotated[list[Point], Field(min_length=3, max_length=MAX_POINTS)]

    def __str__(self) -> str:
        effect = "ignored" if self.sensitivity == 0 else f"sensitivity {self.sensitivity:g}"
        return f"{self.name or 'unnamed'} ({effect})"


class Regions(_Strict):
    """Where a detector looks. The anomaly map is multiplied by the sensitivity of each pixel before small areas go.

    Points are in shares of the width and height of the image or, of parts that are aligned, of the strip along the
    part. Where regions overlap, the last one counts; `elsewhere` is the sensitivity outside of all. `mask` is a PNG
    file in base64 of the size of the detector's view, black where it is ignored; empty if there is none.
    """

    elsewhere: Sensitivity = 1.0
    regions: Annotated[list[Region], Field(max_length=MAX_REGIONS)] = []
    mask: str = ""

    @classmethod
    def of_mask(cls, inspected: np.ndarray) -> Self:
        """Return the regions of a mask of the view, (h, w) bool."""
        return cls(mask=b64encode(encode_png(inspected)).decode())

    def __str__(self) -> str:
        parts = [f"elsewhere {self.elsewhere:g}"] if self.elsewhere != 1 else []
        return ", ".join([*map(str, self.regions), *(["a mask"] if self.mask else []), *parts])

    def sensitivity(self, frame: Frame) -> np.ndarray:
        """Return the sensitivity of each pixel of the network's input, (h, w) float32. A pixel's center decides.

        Raises ValueError if the mask is not one of this size, and InputError if all pixels are ignored.
        """
        sensitivity = np.full(frame.size, self.elsewhere, np.float32)
        if self.mask:
            sensitivity[~self._decoded_mask(frame)] = 0
        for region in self.regions:
            sensitivity[_pixels_of(region, frame)] = region.sensitivity
        if not sensitivity.any():
            raise InputError("regions: all of the image is ignored; leave a part to inspect")
        return sensitivity

    def without_effect(self, frame: Frame) -> Iterator[Region]:
        """Yield the regions that no pixel of the network's input belongs to."""
        yield from (region for region in self.regions if not _pixels_of(region, frame).any())

    def _decoded_mask(self, frame: Frame) -> np.ndarray:
        try:
            data = BytesIO(b64decode(self.mask, validate=True))
            image = decode_image(data, "mask", grayscale=True, max_pixels=prod(frame.size))
        except InputError as error:
            raise ValueError(str(error)) from error
        if image.shape[:2] != tuple(frame.size):
            raise ValueError(f"the mask should be one of {frame.size}")
        mask: np.ndarray = image[:, :, 0] >= 128
        return mask


def _pixels_of(region: Region, frame: Frame) -> np.ndarray:
    """Return the pixels of the network's input that belong to a region, (h, w) bool."""
    whole, margin = (frame.size, Size(0, 0)) if frame.alignment else (frame.view.working_size, frame.view.margin)
    points = [(x * whole.width - margin.width, y * whole.height - margin.height) for x, y in region.polygon]
    return inside(points, *frame.size)


def inside(polygon: Sequence[tuple[float, float]], height: int, width: int) -> np.ndarray:
    """Return the pixels (height, width) bool whose centers are inside a polygon of points (x, y), even-odd."""
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    found = np.zeros((height, width), bool)
    for (x, y), (next_x, next_y) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        crossed = np.flatnonzero((y <= rows) != (next_y <= rows))
        crossings = x + (rows[crossed] - y) * ((next_x - x) / (next_y - y or 1))
        found[crossed] ^= columns < crossings[:, None]
    return found


def colored(sensitivity: np.ndarray) -> np.ndarray:
    """Return a picture of the sensitivity (h, w) of a view to lay over an image, (h, w, 4) uint8; 1 is transparent."""
    picture = np.zeros((*sensitivity.shape, 4), np.uint8)
    picture[(sensitivity != 1) & (sensitivity != 0)] = SENSITIVE_COLOR
    picture[sensitivity == 0] = IGNORED_COLOR
    return picture
