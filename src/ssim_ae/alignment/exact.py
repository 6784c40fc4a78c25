"""Arithmetic that gives the same numbers on every machine: whole numbers, and rounding to binary fractions.

`onnx_operators.exact` is its counterpart. Runtimes round divisions, and products that they fuse with sums, differently.
"""

from typing import Any, TypeVar

import numpy as np

QUOTIENT_DIGITS = 3  # of 8 bits each, after the point
Float = TypeVar("Float", np.float32, np.ndarray)


def block_sums(image: np.ndarray, block: int) -> np.ndarray:
    """Return the sums (h, w, C) uint32 of the blocks of `block` x `block` px of an image (H, W, C) uint8 or uint16.

    h is H // block. Rows and columns that fill no block, at the bottom and at the right, are left out.
    """
    if block == 1:
        return image.astype(np.uint32)
    height, width, channels = image.shape[0] // block, image.shape[1] // block, image.shape[2]
    lines = image[: height * block, : width * block].reshape(height, block, width * block * channels)
    columns = lines.sum(axis=1, dtype=np.uint32).reshape(height, width, block, channels)
    sums = columns[:, :, 0].copy()
    for i in range(1, block):
        sums += columns[:, :, i]
    return sums


def quotient(a: Any, b: Any) -> Any:
    """Return a / b as float32, after rounding down to a multiple of 2^-24: whole numbers a < 2^24 and 0 < b <= 2^16."""
    whole, rest = np.divmod(a, b)
    scale = 256**QUOTIENT_DIGITS
    return np.float32(whole) + np.float32(rest * scale // b) / np.float32(scale)


def rounded(value: Float, steps: int) -> Float:
    """Round to a multiple of 1 / `steps`, a power of 2."""
    return np.rint(value * np.float32(steps)) / np.float32(steps)
