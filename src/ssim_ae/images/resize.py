"""Resizing by a triangle filter, exact and stated in two matrix products.

Output pixel i of n looks at the input around (i + 1/2) * m/n - 1/2 with a triangle of half-width max(1, m/n) px,
cut at the border and normalised: bilinear when enlarging, antialiased when reducing. Nothing is rounded.
"""

from functools import lru_cache

import numpy as np

BLOCK = 16  # output lines in one product: the matrix is banded, and a block of it is nearly dense


@lru_cache(maxsize=64)
def triangle_matrix(size: int, new_size: int) -> np.ndarray:
    """Return the matrix (new_size, size) that resizes a line of px, float32. Rows sum to 1."""
    distance = (2 * np.arange(size) + 1) * new_size - (2 * np.arange(new_size)[:, None] + 1) * size
    weights = np.maximum(2 * max(size, new_size) - np.abs(distance), 0)  # whole numbers: the same on every machine
    matrix: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def resize(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (..., H, W) of any real dtype to (..., height, width) float32, in the input's units."""
    values = np.ascontiguousarray(planes, np.float32)
    if values.shape[-2] != height:
        lines = np.empty((*values.shape[:-2], height, values.shape[-1]), np.float32)
        for block, needed, weights in _blocks(values.shape[-2], height):
            np.matmul(weights, values[..., needed, :], out=lines[..., block, :])
        values = lines
    if values.shape[-1] != width:
        lines = values.reshape(-1, values.shape[-1])
        columns = np.empty((len(lines), width), np.float32)
        for block, needed, weights in _blocks(values.shape[-1], width):
            np.matmul(lines[:, needed], weights.T, out=columns[:, block])
        values = columns.reshape(*values.shape[:-1], width)
    return values


@lru_cache(maxsize=64)
def _blocks(size: int, new_size: int) -> list[tuple[slice, slice, np.ndarray]]:
    """Return blocks of output lines, the input lines that each needs, and their weights."""
    matrix = triangle_matrix(size, new_size)
    blocks = []
    for start in range(0, new_size, BLOCK):
        weights = matrix[start : start + BLOCK]
        used = np.flatnonzero(weights.any(axis=0))
        needed = slice(used[0], used[-1] + 1)
        blocks.append((slice(start, start + len(weights)), needed, weights[:, needed]))
    return blocks
