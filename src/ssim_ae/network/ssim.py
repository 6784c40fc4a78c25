"""SSIM (Wang et al. 2004) as products with banded Gaussian matrices.

A separable Gaussian filter of an image X is `rows @ X @ columns.T` with banded matrices: the same values as the
11 x 11 convolution. The products are done block by block, each with the few inputs that its outputs need.
"""

from collections.abc import Iterator
from functools import cache
from typing import Literal

import numpy as np

WINDOW = 11  # px
SIGMA = 1.5  # px
C1, C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 with data range L = 1
LINES, COLUMNS = (
    16,
    32,
)  # of a filter's output in one product: wider blocks multiply more zeros, smaller ones cost calls


def gaussian_taps() -> np.ndarray:
    """Return the weights (11,) of the window along a line; their sum is 1."""
    taps = np.exp(-0.5 * (np.arange(WINDOW) - WINDOW // 2) ** 2 / SIGMA**2)
    normalised: np.ndarray = taps / taps.sum()
    return normalised


def mirrored(positions: np.ndarray, size: int) -> np.ndarray:
    """Return positions up to `size` px beyond a line of `size` px as those within that they mirror (b a | a b)."""
    positions = np.where(positions < 0, -1 - positions, positions)
    return np.where(positions >= size, 2 * size - 1 - positions, positions)


@cache
def gaussian_matrix(size: int, *, border: Literal["valid", "reflect"] = "valid") -> np.ndarray:
    """Return the matrix that filters a line of `size` px with the 11-tap Gaussian, float32.

    `valid`: (size - 10, size), only where the window fits. `reflect`: (size, size), the line mirrored at its ends
    (d c b a | a b c d | d c b a).
    """
    if size < WINDOW:
        raise ValueError(f"SSIM needs at least {WINDOW} px in height and width, not {size}")
    outputs = size - WINDOW + 1 if border == "valid" else size
    source = np.arange(outputs)[:, None] + np.arange(WINDOW)
    if border == "reflect":
        source = mirrored(source - WINDOW // 2, size)
    matrix = np.zeros((outputs, size))
    np.add.at(matrix, (np.arange(outputs)[:, None], source), gaussian_taps())
    matrix = matrix.astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def blocks(shape: tuple[int, ...], count: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows of a Gaussian matrix, or of its transpose, `count` at a time, and where they are not zero."""
    outputs, inputs = shape
    before = (WINDOW - 1 + outputs - inputs) // 2
    beyond = WINDOW - 1 - before
    for start in range(0, outputs, count):
        stop = min(start + count, outputs)
        yield slice(start, stop), slice(max(0, start - before), min(stop + beyond, inputs))


def gaussian(maps: np.ndarray) -> np.ndarray:
    """Filter (K, H, W) float32 with the window of SSIM, mirrored at the border."""
    return _filtered(maps, *(gaussian_matrix(side, border="reflect") for side in maps.shape[1:]))


def ssim_residual(x: np.ndarray, y: np.ndarray, *, border: Literal["valid", "reflect"] = "reflect") -> np.ndarray:
    """Return 1 - SSIM of x and y, (C, H, W) in [0, 1], around every pixel: (C, H, W) float32.

    With `valid` only where the window fits: (C, H - 10, W - 10).
    """
    rows, columns = (gaussian_matrix(side, border=border) for side in x.shape[1:])
    return np.stack([_plane_residual(*planes, rows, columns) for planes in zip(x, y, strict=True)])


def _plane_residual(x: np.ndarray, y: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Of the difference d = y - x, SSIM = (1 - mean(d)² / (mean squares + C1)) (1 - variance(d) / (variances + C2)).

    So 1 - SSIM is small where d is, and its rounding errors with it.
    """
    middle = np.float32(x.mean())  # variances are differences of squares: about the mean these are small
    maps = np.empty((4, *x.shape), np.float32)
    np.subtract(x, middle, out=maps[0])
    np.subtract(y, x, out=maps[1])
    np.multiply(maps[1], maps[1], out=maps[2])
    np.add(maps[0], maps[1], out=maps[3])  # y about the middle
    maps[3] *= maps[3]
    maps[3] += maps[0] * maps[0]

    mean_x, mean_d, squares_d, squares = _filtered(maps, rows, columns)
    mean_y = mean_x + mean_d
    structure = squares_d
    mean_d *= mean_d
    structure -= mean_d
    squares -= mean_x * mean_x + mean_y * mean_y
    squares += np.float32(C2)
    structure /= squares
    mean_x += middle
    mean_y += middle
    mean_x *= mean_x
    mean_y *= mean_y
    mean_x += mean_y
    mean_x += np.float32(C1)
    luminance = np.divide(mean_d, mean_x, out=mean_d)
    both = luminance * structure
    luminance += structure
    luminance -= both
    return luminance


def _filtered(maps: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(K, H, W) -> (K, len(rows), len(columns))."""
    kinds, _, width = maps.shape
    along_lines = np.empty((kinds, len(rows), width), np.float32)
    for block, needed in blocks(rows.shape, LINES):
        np.matmul(rows[block, needed], maps[:, needed], out=along_lines[:, block])
    lines = along_lines.reshape(-1, width)
    along_both = np.empty((len(lines), len(columns)), np.float32)
    for block, needed in blocks(columns.shape, COLUMNS):
        np.matmul(lines[:, needed], columns[block, needed].T, out=along_both[:, block])
    return along_both.reshape(kinds, len(rows), len(columns))
