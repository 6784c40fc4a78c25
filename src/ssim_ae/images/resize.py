"""Resizing with a triangle filter, as two matrix products without rounding.

Output pixel i of n is a weighted mean of the m input pixels. The weights are a triangle of half-width max(1, m/n) px
around the input position (i + 1/2) * m/n - 1/2, cut at the border and normalized. The filter is bilinear when it
enlarges and antialiased when it reduces.

The matrices are banded. They are computed and multiplied in blocks: a dense matrix for 32,768 px and a new side of
256 px would take 34 MB.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

BLOCK_SIZE = 16  # output lines per product; the matrix is banded, so small blocks skip most of its zeros
CACHED_SIZES = 16  # pairs of sizes whose blocks are kept; one takes at most 80 bytes per pixel of the longer side


class Block(NamedTuple):
    """Rows of the matrix: the output lines, the input lines that they depend on, and the weights, float32."""

    outputs: slice
    inputs: slice
    weights: np.ndarray


def resize(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (..., H, W) of any real dtype to (..., height, width) float32, in the units of the input."""
    return _resize_width(_resize_height(planes, height), width)


def _resize_height(planes: np.ndarray, height: int) -> np.ndarray:
    *others, old_height, width = planes.shape
    if old_height == height:
        return np.ascontiguousarray(planes, np.float32)
    resized = np.empty((*others, height, width), np.float32)
    for outputs, inputs, weights in triangle_blocks(old_height, height):
        lines = np.ascontiguousarray(planes[..., inputs, :], np.float32)  # not the whole image, to save memory
        np.matmul(weights, lines, out=resized[..., outputs, :])
    return resized


def _resize_width(planes: np.ndarray, width: int) -> np.ndarray:
    *others, old_width = planes.shape
    if old_width == width:
        return planes
    lines = planes.reshape(-1, old_width)
    resized = np.empty((len(lines), width), np.float32)
    for outputs, inputs, weights in triangle_blocks(old_width, width):
        np.matmul(lines[:, inputs], weights.T, out=resized[:, outputs])
    return resized.reshape(*others, width)


@lru_cache(CACHED_SIZES)
def triangle_blocks(size: int, new_size: int) -> list[Block]:
    """Return the matrix (new_size, size) that resizes a line of pixels, in blocks of rows. Its rows sum to 1."""
    return [
        _block(size, new_size, start, min(start + BLOCK_SIZE, new_size)) for start in range(0, new_size, BLOCK_SIZE)
    ]


def _block(size: int, new_size: int, start: int, stop: int) -> Block:
    """Return the rows `start` to `stop`. All positions are in units of 1 / (2 * new_size) px, so they are integers."""
    radius = 2 * max(size, new_size)
    centers = (2 * np.arange(start, stop)[:, None] + 1) * size
    first = max(0, ((2 * start + 1) * size - radius + new_size) // (2 * new_size))
    end = min(size, ((2 * stop - 1) * size + radius + new_size - 1) // (2 * new_size))
    weights = np.maximum(radius - np.abs((2 * np.arange(first, end) + 1) * new_size - centers), 0)
    normalized = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    normalized.flags.writeable = False
    return Block(slice(start, stop), slice(first, end), normalized)
