"""Resizing by a triangle filter, exact and stated in two matrix products.

Output pixel i of n looks at the input around (i + 1/2) * m/n - 1/2 with a triangle of half-width max(1, m/n) px,
cut at the border and normalised: bilinear when enlarging, antialiased when reducing. Nothing is rounded.
"""

from functools import lru_cache

import numpy as np

BLOCK = 64  # output lines filtered at once: the matrix is banded, and a block of it is nearly dense


@lru_cache(maxsize=64)
def triangle_matrix(size: int, new_size: int) -> np.ndarray:
    """Return the matrix (new_size, size) that resizes a line of px, float32. Rows sum to 1."""
    scale = size / new_size
    half_width = max(1.0, scale)
    centres = (np.arange(new_size) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(size) - centres[:, None]) / half_width
    weights = np.maximum(0.0, 1.0 - distance)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix: np.ndarray = weights.astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (H, W) or (H, W, C) of any real dtype to (height, width[, C]) float32, in the input's units."""
    values = image.astype(np.float32, copy=False)
    if values.shape[0] != height:
        values = _resize_lines(values.reshape(values.shape[0], -1), height).reshape(height, *values.shape[1:])
    if values.shape[1] != width:
        columns = np.moveaxis(values, 1, 0)
        flat = np.ascontiguousarray(columns).reshape(columns.shape[0], -1)
        resized = _resize_lines(flat, width).reshape(width, *columns.shape[1:])
        values = np.ascontiguousarray(np.moveaxis(resized, 0, 1))
    return values


def _resize_lines(lines: np.ndarray, count: int) -> np.ndarray:
    matrix = triangle_matrix(len(lines), count)
    resized = np.empty((count, lines.shape[1]), np.float32)
    for start in range(0, count, BLOCK):
        block = matrix[start : start + BLOCK]
        used = np.flatnonzero(block.any(axis=0))
        first, last = used[0], used[-1] + 1
        np.matmul(block[:, first:last], lines[first:last], out=resized[start : start + BLOCK])
    return resized
