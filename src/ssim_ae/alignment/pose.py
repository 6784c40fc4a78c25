"""The pose of a part on an even background: its center and the direction of its longest axis.

The part is the largest region that differs from the color of the border. Its pose is that of its moments: center of
gravity, principal axis, and the sign of the skewness along the axis.

`onnx_operators.pose` repeats every step in a graph. All decisions are made on integers. They stay below 2^24, so that
float32 represents them exactly, and the few steps after them are single operations that IEEE 754 rounds in one way.
Hence both implementations find the same pose, bit for bit.
"""

from typing import NamedTuple, Self, TypeVar

import numpy as np

from ssim_ae.alignment.blocks import block_sums
from ssim_ae.maps.regions import largest_region

GRID_SIZE = 256  # px, the longest side of the reduced image that the part is looked for in
BORDER_WIDTH = 4  # px of the reduced image whose median is the color of the background
CELL = 4  # px of the reduced image: regions are connected across gaps of up to this width
LEVELS = 256  # of the difference from the background
CENTER_STEPS = 64  # per px: centers are rounded to 1/64 px
DIRECTION_STEPS = 2**14  # per unit: directions are rounded to 0.003 degrees
SYMMETRIC = 2**-10  # a skewness closer to 0 than this does not reverse the direction
MIN_VARIANCE = 1e-6  # px of the reduced image, squared; of a part of one pixel
BAR_LENGTH = np.float32(np.sqrt(12))  # length of a bar in standard deviations along it

Float = TypeVar("Float", np.float32, np.ndarray)


class Pose(NamedTuple):
    """Where a part lies in an image, and its size, from which a wrong pose can be told.

    Positions are in px from the top left corner of the image; the center of the first pixel is at 0.5. Sizes are
    shares of the longer side of the image. All values are float32.

    Attributes:
        y, x: the center of gravity.
        dy, dx: the direction of the longest axis as a unit vector, towards the thinner end.
        area: of the part, as a share of the square of the longer side.
        length, width: of a bar with the same standard deviations along and across the axis.
        skewness: of the part along the direction. Near 0 the direction may as well be the opposite one.
    """

    y: np.float32
    x: np.float32
    dy: np.float32
    dx: np.float32
    area: np.float32
    length: np.float32
    width: np.float32
    skewness: np.float32

    @classmethod
    def upright(cls, height: int, width: int) -> Self:
        """Return the pose that leaves an image of height x width px as it is."""
        zero, one = np.float32(0), np.float32(1)
        return cls(np.float32(height / 2), np.float32(width / 2), zero, one, one, one, one, zero)


class Part(NamedTuple):
    """A part in a reduced image: its mask (h, w) bool, and the px of the image in one px of the mask."""

    mask: np.ndarray
    block: int


def find_pose(image: np.ndarray, bit_depth: int = 16) -> Pose:
    """Return the pose of the part in an image (H, W, C) uint8, or uint16 of `bit_depth` bits."""
    return pose_of(find_part(image, bit_depth), max(image.shape[:2]))


def find_part(image: np.ndarray, bit_depth: int = 16) -> Part:
    """Return the part in an image (H, W, C) uint8 or uint16: the largest region that differs from the border's color.

    The whole image if all pixels are equal.
    """
    block = block_size(max(image.shape[:2]))
    difference = _difference_from_border(_reduced(image, block, bit_depth))
    mask = difference > _otsu_level(np.bincount(difference.ravel(), minlength=LEVELS))
    if not mask.any():
        return Part(~mask, block)
    return Part(mask & _enlarged(largest_region(_cells(mask)), mask.shape), block)


def pose_of(part: Part, longer_side: int) -> Pose:
    """Return the pose of a part in an image whose longer side is `longer_side` px."""
    mask = part.mask.astype(np.int64)
    y, x = np.arange(mask.shape[0]), np.arange(mask.shape[1])
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    area = np.float32(mask.sum())
    # Moments about a whole pixel near the center, so that they stay small: rounded once, when they become float32
    middle_y, middle_x = np.floor(np.float32(rows @ y) / area), np.floor(np.float32(columns @ x) / area)
    y, x = y - int(middle_y), x - int(middle_x)
    sum_y, sum_x = np.float32(rows @ y), np.float32(columns @ x)
    spread_y = np.float32(rows @ (y * y)) - sum_y * sum_y / area
    spread_x = np.float32(columns @ (x * x)) - sum_x * sum_x / area
    covariance = np.float32(y @ (mask @ x)) - sum_y * sum_x / area

    mean_y, mean_x = sum_y / area, sum_x / area
    along, across, direction_y, direction_x = _principal_axis(spread_y, spread_x, covariance)
    distances = direction_y * (y.astype(np.float32) - mean_y)[:, None] + direction_x * (x.astype(np.float32) - mean_x)
    deviation = np.sqrt(np.maximum(along / area, np.float32(MIN_VARIANCE)))
    relative = distances / deviation
    skewness = ((relative * relative) * (relative * mask)).sum(dtype=np.float32) / area
    sign = np.float32(-1 if skewness < -SYMMETRIC else 1)

    unit = np.float32(part.block) / np.float32(longer_side)
    center_y, center_x = ((middle + mean) + np.float32(0.5) for middle, mean in ((middle_y, mean_y), (middle_x, mean_x)))
    return Pose(
        rounded(center_y * np.float32(part.block), CENTER_STEPS),
        rounded(center_x * np.float32(part.block), CENTER_STEPS),
        rounded(direction_y * sign, DIRECTION_STEPS),
        rounded(direction_x * sign, DIRECTION_STEPS),
        area * unit * unit,
        deviation * BAR_LENGTH * unit,
        np.sqrt(np.maximum(across / area, np.float32(0))) * BAR_LENGTH * unit,
        skewness * sign,
    )


def block_size(longer_side: int) -> int:
    """Return the px of the image in one px of the reduced image, for an image whose longer side is `longer_side` px."""
    return -(-longer_side // GRID_SIZE)


def rounded(value: Float, steps: int) -> Float:
    """Round to a multiple of 1 / `steps`, a power of 2."""
    return np.rint(value * np.float32(steps)) / np.float32(steps)


def _reduced(image: np.ndarray, block: int, bit_depth: int) -> np.ndarray:
    """Return the means (h, w, C) of blocks of pixels, rounded down to the 256 levels of uint8, int32."""
    if image.dtype == np.uint16:
        image = np.minimum(image >> (bit_depth - 8), LEVELS - 1)
    return (block_sums(image, block) // (block * block)).astype(np.int32)


def _difference_from_border(reduced: np.ndarray) -> np.ndarray:
    """Return the largest difference (h, w) of the channels from their medians over the border of (h, w, C)."""
    b, channels = BORDER_WIDTH, reduced.shape[2]
    sides = (reduced[:b], reduced[-b:], reduced[:, :b], reduced[:, -b:])
    border = np.concatenate([side.reshape(-1, channels) for side in sides])
    middle = (len(border) - 1) // 2
    return np.abs(reduced - np.partition(border, middle, axis=0)[middle]).max(axis=2)


def _otsu_level(histogram: np.ndarray) -> int:
    """Return the level that separates a histogram (LEVELS,) into two classes of the highest variance between them.

    Levels above it are the upper class. The first of several equal ones is returned.
    """
    counts = np.cumsum(histogram).astype(np.float32)
    sums = np.cumsum(histogram * np.arange(LEVELS)).astype(np.float32)
    counts_above, sums_above = counts[-1] - counts, sums[-1] - sums
    gap = sums_above / np.maximum(counts_above, np.float32(1)) - sums / np.maximum(counts, np.float32(1))
    return int(np.argmax(counts * counts_above * (gap * gap)))


def _cells(mask: np.ndarray) -> np.ndarray:
    """Return which cells of CELL x CELL px of a mask (h, w) contain a pixel of it."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % CELL), (0, -width % CELL)))
    return padded.reshape(len(padded) // CELL, CELL, -1, CELL).any(axis=(1, 3))


def _enlarged(cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of cells, as a mask of a shape."""
    return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: shape[0], : shape[1]]


def _principal_axis(
    spread_y: np.float32, spread_x: np.float32, covariance: np.float32
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return the spread along and across the principal axis and its direction (y, x), given the second moments.

    Written without angles: sine and cosine are rounded differently by different libraries.
    """
    difference, twice = spread_x - spread_y, covariance + covariance
    root = np.sqrt(difference * difference + twice * twice)
    is_upright = difference < 0
    axis_y = root - difference if is_upright else twice
    axis_x = twice if is_upright else root + difference
    if root == 0:  # no axis is longer than another
        axis_x = np.float32(1)
    length = np.sqrt(axis_y * axis_y + axis_x * axis_x)
    half, total = np.float32(0.5), spread_x + spread_y
    return (total + root) * half, (total - root) * half, axis_y / length, axis_x / length
