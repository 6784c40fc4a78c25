"""The pose of a part on an even background: its center and the direction of its longest axis.

The part is the largest region that differs from the color of the border. Its pose is that of its moments: center of
gravity, principal axis, and the sign of the skewness along the axis.

`onnx_operators.pose` repeats every step in a graph. Runtimes round divisions and fused products differently, so all
decisions are made on whole numbers below 2^24, which float32 represents exactly, and quotients are whole numbers, too.
"""

from typing import NamedTuple, Self

import numpy as np

from ssim_ae.alignment.exact import block_sums, quotient, rounded
from ssim_ae.maps.regions import largest_region

GRID_SIZE = 256  # px, the longest side of the reduced image that the part is looked for in
BORDER_WIDTH = 4  # px of the reduced image whose median is the color of the background
CELL = 4  # px of the reduced image: regions are connected across gaps of up to this width
LEVELS = 256  # of the difference from the background
CENTER_STEPS = 64  # per px of the reduced image: centers are rounded to 1/64 px
MOMENT_STEPS = 4  # per px of the reduced image: second moments are about the center rounded to 1/4 px
DIRECTION_STEPS = 2**14  # per unit: directions are rounded to 0.003 degrees
SYMMETRIC = 2**-10  # a skewness closer to 0 than this does not reverse the direction
MIN_VARIANCE = 1e-6  # instead of 0, for a part of one pixel
BAR_LENGTH = np.float32(np.sqrt(12))  # length of a bar in standard deviations along it


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
    height, width, _ = image.shape
    block = min(-(-max(height, width) // GRID_SIZE), height, width)
    difference = _difference_from_border(_reduced(image, block, bit_depth))
    mask = difference > _otsu_level(np.bincount(difference.ravel(), minlength=LEVELS))
    if not mask.any():
        return Part(~mask, block)
    return Part(mask & _enlarged(largest_region(_cells(mask)), mask.shape), block)


def pose_of(part: Part, longer_side: int) -> Pose:
    """Return the pose of a part in an image whose longer side is `longer_side` px."""
    mask = part.mask
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    area = int(rows.sum())
    mean_y, mean_x = _mean_position(rows, area), _mean_position(columns, area)
    y, x = np.arange(len(rows), dtype=np.float32), np.arange(len(columns), dtype=np.float32)
    whole_y, whole_x = (MOMENT_STEPS * p - np.rint(MOMENT_STEPS * mean) for p, mean in ((y, mean_y), (x, mean_x)))
    spread_y, spread_x = (_sum_of(np.float32(n) * (p * p)) for n, p in ((rows, whole_y), (columns, whole_x)))
    covariance = _sum_of(whole_y * (mask @ whole_x))
    along, across, direction_y, direction_x = _principal_axis(spread_y, spread_x, covariance)

    deviation, deviation_across = (
        np.sqrt(np.maximum(spread / np.float32(area), np.float32(MIN_VARIANCE))) / np.float32(MOMENT_STEPS)
        for spread in (along, across)
    )
    distances = direction_y * (y - mean_y)[:, None] + direction_x * (x - mean_x)
    relative = distances / deviation
    skewness = ((relative * relative) * (relative * mask)).sum(dtype=np.float32) / np.float32(area)
    sign = np.float32(-1 if skewness < -SYMMETRIC else 1)

    unit = np.float32(part.block) / np.float32(longer_side)
    return Pose(
        (mean_y + np.float32(0.5)) * np.float32(part.block),
        (mean_x + np.float32(0.5)) * np.float32(part.block),
        rounded(direction_y * sign, DIRECTION_STEPS),
        rounded(direction_x * sign, DIRECTION_STEPS),
        np.float32(area) * unit * unit,
        deviation * BAR_LENGTH * unit,
        deviation_across * BAR_LENGTH * unit,
        skewness * sign,
    )


def _reduced(image: np.ndarray, block: int, bit_depth: int) -> np.ndarray:
    """Return the means (h, w, C) of blocks of pixels, rounded down to the 256 levels of uint8, int32.

    An image that is narrower than a block is cut off at GRID_SIZE.
    """
    if image.dtype == np.uint16:
        image = np.minimum(image >> (bit_depth - 8), LEVELS - 1)
    sums = block_sums(image, block)[:GRID_SIZE, :GRID_SIZE]
    return (sums // (block * block)).astype(np.int32)


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
    counts, sums = np.cumsum(histogram), np.cumsum(histogram * np.arange(LEVELS))
    counts_above, sums_above = counts[-1] - counts, sums[-1] - sums
    gap = quotient(sums_above, np.maximum(counts_above, 1)) - quotient(sums, np.maximum(counts, 1))
    weight = np.float32(counts) * np.float32(counts_above)
    return int(np.argmax(weight * (gap * gap)))


def _mean_position(counts: np.ndarray, total: int) -> np.float32:
    """Return the mean position of `total` pixels, given their numbers (n,) in rows or columns: a multiple of 1/64."""
    sum_of_positions = int(counts @ np.arange(len(counts)))
    return rounded(quotient(sum_of_positions, total), CENTER_STEPS)


def _sum_of(terms: np.ndarray) -> np.float32:
    """Return the sum of whole numbers, rounded once."""
    return np.float32(terms.sum(dtype=np.float64))


def _cells(mask: np.ndarray) -> np.ndarray:
    """Return which cells of CELL x CELL px of a mask (h, w) contain a pixel of it."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % CELL), (0, -width % CELL)))
    return np.asarray(padded.reshape(len(padded) // CELL, CELL, -1, CELL).any(axis=(1, 3)))


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
    half, total = np.float32(0.5), spread_x + spread_y
    return (total + root) * half, (total - root) * half, *_unit_vector(axis_y, axis_x)


def _unit_vector(y: np.float32, x: np.float32) -> tuple[np.float32, np.float32]:
    """Return a vector divided by its length, as a quotient of whole numbers: all are scaled to about 16 bits."""
    length = np.sqrt(y * y + x * x)
    bits = max(0, int(np.frexp(length)[1]))
    whole_y, whole_x, whole_length = (int(np.rint(value * np.float32(2.0 ** (16 - bits)))) for value in (y, x, length))
    dy, dx = (np.float32(np.sign(whole)) * quotient(abs(whole), whole_length) for whole in (whole_y, whole_x))
    return dy, dx
