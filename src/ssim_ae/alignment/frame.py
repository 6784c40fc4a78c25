"""The frame of the network's input: the view of an image or, of parts that are aligned, the strip along the part."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.alignment.choose import Alignment
from ssim_ae.alignment.pose import Pose, find_pose
from ssim_ae.alignment.strip import Strip, aligned, extent_in
from ssim_ae.images.size import Size
from ssim_ae.images.view import View

MAX_RATIO = 16  # of the sides of a strip
FADE = 8  # px of the strip, over which values fall to 0 outside of it: a step would make rounding errors visible


class Frame(NamedTuple):
    """How an image becomes the network's input, and how maps of the input become maps of the view."""

    view: View
    alignment: Alignment | None
    size: Size  # of the input

    @classmethod
    def of(cls, view: View, alignment: Alignment | None, multiple: int) -> Self:
        """Return the frame: the view, or a strip with about as many pixels, whose sides are multiples of `multiple`."""
        size = strip_size(alignment.strip, view.size, multiple) if alignment else view.size
        return cls(view, alignment, size)

    def pose(self, image: np.ndarray) -> Pose | None:
        """Return the pose of the part in an image (H, W, C) uint8 or uint16; None if images are not aligned."""
        return find_pose(image, self.view.bit_depth) if self.alignment else None

    def input(self, image: np.ndarray, pose: Pose | None) -> np.ndarray:
        """Return the network's input for an image (H, W, C) uint8 or uint16: (C, h, w) float32 in [0, 1]."""
        if not self.alignment or pose is None:
            return self.view.crop(image)
        return aligned(image, pose, self.alignment.strip, *self.size, bit_depth=self.view.bit_depth)

    def to_view(self, maps: np.ndarray, pose: Pose | None, image: Size) -> np.ndarray:
        """Return maps (R, h, w) of the input as maps (R, H, W) of the view of an image of a size."""
        if not self.alignment or pose is None:
            return maps
        return strip_to_view(maps, pose, self.alignment.strip, image, self.view.size)


def strip_size(strip: Strip, view: Size, multiple: int) -> Size:
    """Return the size of a strip with about as many pixels as the view, whose sides are multiples of `multiple`."""
    ratio = (strip.stop - strip.start) / max(strip.right - strip.left, 1e-6)
    ratio = min(max(ratio, 1 / MAX_RATIO), MAX_RATIO)
    height = max(multiple, round(sqrt(view.height * view.width / ratio) / multiple) * multiple)
    return Size(height, max(multiple, round(height * ratio / multiple) * multiple))


def strip_to_view(maps: np.ndarray, pose: Pose, strip: Strip, image: Size, view: Size) -> np.ndarray:
    """Map values (R, h, w) of a strip to the pixels of a view, (R, H, W), by bilinear interpolation.

    Outside of the strip they fall to 0. The view is the whole image, resized.
    """
    count, rows, columns = maps.shape
    extent = extent_in(strip, max(image))
    y, x = (
        (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(length / side) - center
        for side, length, center in zip(view, image, (pose.y, pose.x), strict=True)
    )
    along = (y * pose.dy)[:, None] + (x * pose.dx - np.float32(extent.start))
    across = (y * pose.dx)[:, None] - (x * pose.dy + np.float32(extent.left))
    column = along * np.float32(columns / extent.length) + np.float32(FADE - 0.5)  # in the padded maps
    row = across * np.float32(rows / extent.breadth) + np.float32(FADE - 0.5)
    row, column = (np.clip(position, 0, n - 1 + 2 * FADE) for position, n in ((row, rows), (column, columns)))
    top, left = np.floor(row).astype(np.int32), np.floor(column).astype(np.int32)
    weight_y, weight_x = row - top, column - left
    padded = (np.pad(maps, ((0, 0), *[(FADE, FADE + 1)] * 2), mode="edge") * fading(maps.shape[1:])).reshape(count, -1)
    corner = top * (columns + 2 * FADE + 1) + left
    below = corner + (columns + 2 * FADE + 1)
    upper, lower = (_between(padded[:, line], padded[:, line + 1], weight_x) for line in (corner, below))
    return _between(upper, lower, weight_y)


def fading(shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of maps (h, w) padded by FADE before and FADE + 1 after: 1 inside, falling to 0 outside."""
    weights = []
    for n in shape:
        place = np.arange(-FADE, n + FADE + 1)
        outside = np.maximum(0, np.maximum(-place, place - (n - 1)))
        weights.append(np.maximum(0, 1 - outside / FADE).astype(np.float32))
    return weights[0][:, None] * weights[1]


def _between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = first + (second - first) * weight
    return mixed
