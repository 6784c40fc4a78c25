"""Resizing with a triangle filter, as two matrix products without rounding.

Output pixel i of n is a weighted mean of the m input pixels. The weights are a triangle of half-width max(1, m/n) px
around the input position (i + 1/2) * m/n - 1/2, cut at the border and normalized. The filter is bilinear when it
enlarges and antialiased when it reduces.
"""

from functools import lru_cache

import numpy as np

BLOCK_SIZE = 16  # output lines per product; the matrix is banded, so small blocks skip most of its zeros


@lru_cache(maxsize=64)
def triangle_matrix(size: int, new_size: int) -> np.ndarray:
    """Return the matrix (new_size, size), float32, that resizes a line of pixels. Its rows sum to 1."""
    distance = (2 * np.arange(size) + 1) * new_size - (2 * np.arange(new_size)[:, None] + 1) * size
    weights = np.maximum(2 * max(size, new_size) - np.abs(distance), 0)  # integers, so equal on every machine
    matrix: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def resize(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (..., H, W) of any real dtype to (..., height, width) float32, in the units of the input."""
    values = np.ascontiguousarray(planes, np.float32)
    if values.shape[-2] != height:
        lines = np.empty((*values.shape[:-2], height, values.shape[-1]), np.float32)
        for outputs, inputs, weights in _blocks(values.shape[-2], height):
            np.matmul(weights, values[..., inputs, :], out=lines[..., outputs, :])
        values = lines
    if values.shape[-1] != width:
        lines = values.reshape(-1, values.shape[-1])
        columns = np.empty((len(lines), width), np.float32)
        for outputs, inputs, weights in _blocks(values.shape[-1], width):
            np.matmul(lines[:, inputs], weights.T, out=columns[:, outputs])
        values = columns.reshape(*values.shape[:-1], width)
    return values


@lru_cache(maxsize=64)
def _blocks(size: int, new_size: int) -> list[tuple[slice, slice, np.ndarray]]:
    """Split the matrix into blocks: (output lines, input lines they depend on, weights), one tuple per block."""
    matrix = triangle_matrix(size, new_size)
    blocks = []
    for start in range(0, new_size, BLOCK_SIZE):
        weights = matrix[start : start + BLOCK_SIZE]
        used = np.flatnonzero(weights.any(axis=0))
        inputs = slice(used[0], used[-1] + 1)
        blocks.append((slice(start, start + len(weights)), inputs, weights[:, inputs]))
    return blocks
