"""The matrix of `images.resize` for constant sizes, as a constant of ONNX graphs."""

import numpy as np

from ssim_ae.images.resize import triangle_blocks


def triangle_matrix(size: int, new_size: int) -> np.ndarray:
    """Return the matrix (new_size, size) float32 that resizes a line of pixels."""
    matrix = np.zeros((new_size, size), np.float32)
    for block in triangle_blocks(size, new_size):
        matrix[block.outputs, block.inputs] = block.weights
    return matrix
