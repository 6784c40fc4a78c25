"""`images.resize` for constant sizes, in ONNX operators."""

import numpy as np

from ssim_ae.images.resize import triangle_blocks
from ssim_ae.images.size import Size
from ssim_ae.onnx_operators.graph import GraphBuilder


def triangle_matrix(size: int, new_size: int) -> np.ndarray:
    """Return the matrix (new_size, size) float32 that resizes a line of pixels."""
    matrix = np.zeros((new_size, size), np.float32)
    for block in triangle_blocks(size, new_size):
        matrix[block.outputs, block.inputs] = block.weights
    return matrix


def enlarged(add: GraphBuilder, plane: str, stride: int, size: Size) -> str:
    """Add a map (1, h, w) of places of `stride` px, enlarged to `size`, (H, W)."""
    rows, columns = (triangle_matrix(side // stride, side) for side in size)
    return add("Squeeze", add("MatMul", add("MatMul", rows, plane), columns.T), [0])
