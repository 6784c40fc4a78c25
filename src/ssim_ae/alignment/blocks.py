"""Reducing an image by a whole factor, as means of blocks of pixels: sums of integers, the same on every machine."""

import numpy as np


def block_sums(image: np.ndarray, block: int) -> np.ndarray:
    """Return the sums (h, w, C) uint32 of the blocks of `block` x `block` px of an image (H, W, C) uint8 or uint16.

    h is H // block. Rows and columns that fill no block, at the bottom and at the right, are left out.
    """
    if block == 1:
        return image.astype(np.uint32)
    height, width, channels = (image.shape[0] // block, image.shape[1] // block, image.shape[2])
    lines = image[: height * block, : width * block].reshape(height, block, width * block * channels)
    columns = lines.sum(axis=1, dtype=np.uint32).reshape(height, width, block, channels)
    return sum(columns[:, :, i] for i in range(1, block)) + columns[:, :, 0]
