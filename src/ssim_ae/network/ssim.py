"""SSIM (Wang et al. 2004) as products with banded Gaussian matrices.

A separable Gaussian filter of an image X is `rows @ X @ columns.T` with banded matrices, the same values as the
11 x 11 convolution and several times as fast. The formula is written once, for NumPy arrays and framework tensors.
"""

from functools import cache
from typing import Any

import numpy as np

WINDOW = 11  # px
SIGMA = 1.5  # px
C1, C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 with data range L = 1


@cache
def gaussian_matrix(size: int, *, border: str = "valid") -> np.ndarray:
    """Return the matrix that filters a line of `size` px with the 11-tap Gaussian, float32.

    `valid`: (size - 10, size), only where the window fits. `reflect`: (size, size), the line mirrored at its ends
    (d c b a | a b c d | d c b a).
    """
    if size < WINDOW:
        raise ValueError(f"SSIM needs at least {WINDOW} px in height and width, not {size}")
    taps = np.exp(-0.5 * (np.arange(WINDOW) - WINDOW // 2) ** 2 / SIGMA**2)
    taps /= taps.sum()
    outputs = size - WINDOW + 1 if border == "valid" else size
    source = np.arange(outputs)[:, None] + np.arange(WINDOW)
    if border == "reflect":
        source -= WINDOW // 2
        source = np.where(source < 0, -1 - source, source)
        source = np.where(source >= size, 2 * size - 1 - source, source)
    matrix = np.zeros((outputs, size))
    np.add.at(matrix, (np.arange(outputs)[:, None], source), taps)
    matrix = matrix.astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def ssim_map(x: Any, y: Any, rows: Any, columns: Any) -> Any:
    """Return the SSIM index of x and y, (..., H, W) in [0, 1], at every window: (..., len(rows), len(columns)).

    `rows` and `columns` are `gaussian_matrix(H)` and `gaussian_matrix(W)` as arrays of the same framework as x and y.
    """
    columns = columns.T

    def mean(values: Any) -> Any:
        return rows @ values @ columns

    mean_x, mean_y = mean(x), mean(y)
    product = mean_x * mean_y
    squares = mean_x * mean_x + mean_y * mean_y
    covariance = mean(x * y) - product
    variances = mean(x * x + y * y) - squares
    return ((2 * product + C1) * (2 * covariance + C2)) / ((squares + C1) * (variances + C2))
