"""Structural similarity, SSIM (Wang et al. 2004, "Image Quality Assessment"), as products with banded matrices.

Local means are taken with an 11 x 11 Gaussian window. The window is separable, so that filtering an image X is
`rows @ X @ columns.T` with two banded matrices. The products are computed block by block, each with the few inputs
that its outputs depend on.
"""

from collections.abc import Iterator
from functools import cache
from math import ceil
from typing import Literal

import numpy as np

SIGMA = 1.5  # px, standard deviation of the Gaussian window of SSIM
REACH = 3  # standard deviations on either side of the middle of a Gaussian window, rounded up to whole pixels
C1 = 0.01**2  # (K1 L)² for the data range L = 1
C2 = 0.03**2  # (K2 L)² for the data range L = 1

# Output rows and columns of one block. Larger blocks multiply more zeros, smaller ones need more calls.
ROW_BLOCK = 16
COLUMN_BLOCK = 32


def window_side(sigma: float) -> int:
    """Return the side of a Gaussian window, px: odd, and 11 for SSIM's."""
    return 2 * ceil(REACH * sigma) + 1


WINDOW = window_side(SIGMA)  # px


def gaussian_weights(sigma: float = SIGMA) -> np.ndarray:
    """Return the weights of a Gaussian window along one axis, (window_side(sigma),); their sum is 1."""
    reach = window_side(sigma) // 2
    weights = np.exp(-0.5 * np.arange(-reach, reach + 1) ** 2 / sigma**2)
    normalized: np.ndarray = weights / weights.sum()
    return normalized


def reflect_indices(indices: np.ndarray, size: int) -> np.ndarray:
    """Map indices up to `size` outside of [0, size) to the indices that they mirror (b a | a b | b a)."""
    indices = np.where(indices < 0, -1 - indices, indices)
    return np.where(indices >= size, 2 * size - 1 - indices, indices)


@cache
def gaussian_matrix(size: int, *, border: Literal["valid", "reflect"] = "valid", sigma: float = SIGMA) -> np.ndarray:
    """Return the banded matrix that filters a line of `size` px with a Gaussian window, float32, read-only.

    With `valid` it is (size - window + 1, size): outputs only where the window fits. With `reflect` it is (size, size):
    the line is mirrored at its ends (d c b a | a b c d | d c b a).
    """
    window = window_side(sigma)
    if size < window:
        raise ValueError(f"a Gaussian window of {window} px needs as many in height and width, not {size}")
    outputs = size - window + 1 if border == "valid" else size
    source = np.arange(outputs)[:, None] + np.arange(window)
    if border == "reflect":
        source = reflect_indices(source - window // 2, size)
    matrix = np.zeros((outputs, size))
    np.add.at(matrix, (np.arange(outputs)[:, None], source), gaussian_weights(sigma))
    matrix = matrix.astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def band_blocks(shape: tuple[int, ...], block: int, window: int = WINDOW) -> Iterator[tuple[slice, slice]]:
    """Yield the row blocks of a Gaussian matrix or its transpose: `block` rows, and the columns that are not zero."""
    outputs, inputs = shape
    before = (window - 1 + outputs - inputs) // 2
    after = window - 1 - before
    for start in range(0, outputs, block):
        stop = min(start + block, outputs)
        yield slice(start, stop), slice(max(0, start - before), min(stop + after, inputs))


def gaussian_filter(maps: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    """Filter maps (K, H, W) float32 with a Gaussian window; the border is mirrored."""
    rows, columns = (gaussian_matrix(side, border="reflect", sigma=sigma) for side in maps.shape[1:])
    return _filter(maps, rows, columns, window_side(sigma))


def ssim_residual(x: np.ndarray, y: np.ndarray, *, border: Literal["valid", "reflect"] = "reflect") -> np.ndarray:
    """Return 1 - SSIM of two images, (C, H, W) in [0, 1], at every pixel: (C, H, W) float32.

    With `valid` the result covers only the pixels where the window fits: (C, H - 10, W - 10).
    """
    rows, columns = (gaussian_matrix(side, border=border) for side in x.shape[1:])
    return np.stack([_plane_residual(*planes, rows, columns) for planes in zip(x, y, strict=True)])


def _plane_residual(x: np.ndarray, y: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return 1 - SSIM of two planes (H, W), computed from their difference d = y - x.

    SSIM is luminance * structure, with

        luminance = (2 mu_x mu_y + C1) / (mu_x² + mu_y² + C1)         = 1 - mu_d² / (mu_x² + mu_y² + C1)
        structure = (2 sigma_xy + C2) / (sigma_x² + sigma_y² + C2)    = 1 - sigma_d² / (sigma_x² + sigma_y² + C2)

    because (mu_x - mu_y)² = mu_d² and sigma_x² + sigma_y² - 2 sigma_xy = sigma_d². The right-hand sides are exact
    where x and y are nearly equal: the rounding errors are relative to the residual, not to 1.
    """
    # `out` reuses the memory of a map that is not needed any more, which saves 4 % of the time
    offset = np.float32(x.mean())
    mu_x, mu_d, mean_d2, mean_x2_y2 = _local_means(x, y, offset, rows, columns)
    mu_y = mu_x + mu_d
    mu_d2 = np.square(mu_d, out=mu_d)

    sigma_d2 = np.subtract(mean_d2, mu_d2, out=mean_d2)
    sigma_x2_y2 = np.subtract(mean_x2_y2, mu_x * mu_x + mu_y * mu_y, out=mean_x2_y2)  # sigma_x² + sigma_y²
    sigma_x2_y2 += np.float32(C2)
    structure_deficit = np.divide(sigma_d2, sigma_x2_y2, out=sigma_d2)

    mu_x += offset
    mu_y += offset
    mu_x2_y2 = np.add(np.square(mu_x, out=mu_x), np.square(mu_y, out=mu_y), out=mu_x)  # mu_x² + mu_y²
    mu_x2_y2 += np.float32(C1)
    luminance_deficit = np.divide(mu_d2, mu_x2_y2, out=mu_d2)

    product = luminance_deficit * structure_deficit  # 1 - (1 - l) (1 - s) = l + s - l s
    residual = np.add(luminance_deficit, structure_deficit, out=luminance_deficit)
    residual -= product
    return residual


def _local_means(x: np.ndarray, y: np.ndarray, offset: np.float32, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the local means of x, d = y - x, d², and x² + y², as (4, H', W').

    In x, x² and y², `offset` is subtracted from the image first.

    Variances do not depend on the offset. Subtracting it keeps the squares small, and with them the rounding errors
    of a variance, which is a difference of squares.
    """
    maps = np.empty((4, *x.shape), np.float32)
    x_centered, d, d2, x2_y2 = maps
    np.subtract(x, offset, out=x_centered)
    np.subtract(y, x, out=d)
    np.square(d, out=d2)
    np.add(x_centered, d, out=x2_y2)  # y less the offset
    np.square(x2_y2, out=x2_y2)
    x2_y2 += x_centered * x_centered
    return _filter(maps, rows, columns)


def _filter(maps: np.ndarray, rows: np.ndarray, columns: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Filter maps (K, H, W) along both axes; return (K, len(rows), len(columns))."""
    count, _, width = maps.shape
    vertical = np.empty((count, len(rows), width), np.float32)
    for outputs, inputs in band_blocks(rows.shape, ROW_BLOCK, window):
        np.matmul(rows[outputs, inputs], maps[:, inputs], out=vertical[:, outputs])
    lines = vertical.reshape(-1, width)
    filtered = np.empty((len(lines), len(columns)), np.float32)
    for outputs, inputs in band_blocks(columns.shape, COLUMN_BLOCK, window):
        np.matmul(lines[:, inputs], columns[outputs, inputs].T, out=filtered[:, outputs])
    return filtered.reshape(count, len(rows), len(columns))
