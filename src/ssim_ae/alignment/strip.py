"""The strip of an image that a part lies in, turned such that the part lies level, and values of it mapped back.

Positions are multiples of 2^-14 px relative to a whole pixel near the strip's center. float32 represents them exactly
up to 1024 px from there, so that a graph computes the same positions, in whichever order it adds.
"""

from typing import NamedTuple

import numpy as np

from ssim_ae.alignment.exact import block_sums, quotient, rounded
from ssim_ae.alignment.pose import Pose
from ssim_ae.images.colors import white_of

POSITION_STEPS = 2**14  # per px, in the image
CENTER_STEPS = 2**6  # per px, of the part's center


class Strip(NamedTuple):
    """A rectangle along a part, as offsets from the part's center, in shares of the longer side of the image.

    Attributes:
        start, stop: along the direction of the part.
        left, right: across it; for a direction to the right, from the top to the bottom.
    """

    start: float
    stop: float
    left: float
    right: float


class Extent(NamedTuple):
    """A strip in an image of a known size, in whole px."""

    start: int
    stop: int
    left: int
    right: int

    @property
    def length(self) -> int:
        """Length along the part, px."""
        return self.stop - self.start

    @property
    def breadth(self) -> int:
        """Length across the part, px."""
        return self.right - self.left


def aligned(image: np.ndarray, pose: Pose, strip: Strip, height: int, width: int, bit_depth: int = 16) -> np.ndarray:
    """Cut a strip along a part out of an image (H, W, C) uint8, or uint16 of `bit_depth` bits.

    Returns (C, height, width) float32 in [0, 1]. The part lies along the width, its direction to the right. Pixels
    outside the image have the color of its nearest pixel.
    """
    extent = extent_in(strip, max(image.shape[:2]))
    fitting = min(extent.length // width, extent.breadth // height)  # so that samples are up to 2 blocks apart
    block = max(1, min(fitting, *image.shape[:2]))
    reduced = block_sums(image, block)
    rows, columns, channels = reduced.shape
    base, positions = _positions(pose, extent, block, height, width)
    top, bottom, weight_y = _neighbors(positions[0], base[0], rows)
    left, right, weight_x = _neighbors(positions[1], base[1], columns)

    scale = np.float32(1 / (white_of(image.dtype, bit_depth) * block * block))
    corners = [row * columns + column for row in (top, bottom) for column in (left, right)]
    strip_planes = np.empty((channels, height, width), np.float32)
    for plane, strip_plane in zip(np.moveaxis(reduced, 2, 0), strip_planes, strict=True):
        flat = plane.astype(np.float32).ravel()
        top_left, top_right, bottom_left, bottom_right = (flat[corner] for corner in corners)
        upper = top_left + (top_right - top_left) * weight_x
        lower = bottom_left + (bottom_right - bottom_left) * weight_x
        np.minimum((upper + (lower - upper) * weight_y) * scale, 1, out=strip_plane)
    return strip_planes


def extent_in(strip: Strip, longer_side: int) -> Extent:
    """Return a strip in an image whose longer side is `longer_side` px."""
    start, stop, left, right = (int(np.rint(np.float32(share) * np.float32(longer_side))) for share in strip)
    return Extent(start, max(stop, start + 1), left, max(right, left + 1))


def _axes(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions (y, x) along and across a part, float32."""
    return np.array([pose.dy, pose.dx], np.float32), np.array([pose.dx, -pose.dy], np.float32)


def _offset(extent: Extent, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return twice the offset (y, x) of the middle of a strip from the part's center, px, float32."""
    return along * np.float32(extent.start + extent.stop) + across * np.float32(extent.left + extent.right)


def _positions(
    pose: Pose, extent: Extent, block: int, height: int, width: int
) -> tuple[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """Return where the pixels of a strip (height, width) are in an image that is reduced by `block`.

    Returns the row and the column of a pixel, and the positions relative to it, y and x, each (height, width) float32.
    """
    along, across = _axes(pose)
    offset = rounded(_offset(extent, along, across) * quotient(1, 2 * block), POSITION_STEPS)
    center = rounded(np.array([pose.y, pose.x]) * quotient(1, block), CENTER_STEPS) - np.float32(0.5)
    base = np.floor(center)
    start_y, start_x = center - base + offset
    # Half the distance between two samples, times odd numbers
    columns = np.arange(1 - width, width, 2, dtype=np.float32)
    rows = np.arange(1 - height, height, 2, dtype=np.float32)[:, None]
    column_y, column_x = rounded(along * quotient(extent.length, 2 * width * block), POSITION_STEPS)
    row_y, row_x = rounded(across * quotient(extent.breadth, 2 * height * block), POSITION_STEPS)
    y, x = columns * column_y + rows * row_y + start_y, columns * column_x + rows * row_x + start_x
    return (int(base[0]), int(base[1])), (y, x)


def _neighbors(positions: np.ndarray, base: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels before and after positions relative to the pixel `base`, and the weight of those after.

    Positions outside a side of `length` px are moved to its ends.
    """
    inside = np.clip(positions, -base, length - 1 - base)
    floor = np.floor(inside)
    before = floor.astype(np.int32) + base
    return before, np.minimum(before + 1, length - 1), inside - floor
