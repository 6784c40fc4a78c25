"""SSIM and the Gaussian filter as ONNX operators: `network.ssim` in a graph."""

from __future__ import annotations

import numpy as np

from ssim_ae.images.size import Size
from ssim_ae.network.ssim import C1, C2, SIGMA, gaussian_matrix, reflect_indices, window_side
from ssim_ae.onnx_operators.graph import GraphBuilder

ROWS_PER_PRODUCT = 32  # of the Gaussian filter in one matrix product


def ssim_residual(add: GraphBuilder, x: str, y: str, size: Size) -> str:
    """Add 1 - SSIM of x and y, (C, H, W), the mean over channels: (H, W)."""
    offset = add("ReduceMean", x, [1, 2], keepdims=1)
    centered_x, centered_y, difference = add("Sub", x, offset), add("Sub", y, offset), add("Sub", y, x)
    squares = add("Add", add("Mul", centered_x, centered_x), add("Mul", centered_y, centered_y))
    maps = add("Concat", centered_x, difference, add("Mul", difference, difference), squares, axis=0)
    filtered = add.add_multi("Split", gaussian(add, maps, size), outputs=4, axis=0, num_outputs=4)
    mu_x, mu_d, squares_d, squares = filtered
    mu_y, mu_d_squared = add("Add", mu_x, mu_d), add("Mul", mu_d, mu_d)
    sigma_d_squared = add("Sub", squares_d, mu_d_squared)
    sigmas_squared = add("Sub", squares, add("Add", add("Mul", mu_x, mu_x), add("Mul", mu_y, mu_y)))
    mu_x, mu_y = add("Add", mu_x, offset), add("Add", mu_y, offset)
    mus_squared = add("Add", add("Mul", mu_x, mu_x), add("Mul", mu_y, mu_y))
    luminance = add("Div", mu_d_squared, add("Add", mus_squared, C1))
    structure = add("Div", sigma_d_squared, add("Add", sigmas_squared, C2))
    residual = add("Sub", add("Add", luminance, structure), add("Mul", luminance, structure))
    return add("ReduceMean", residual, [0], keepdims=0)


def gaussian(add: GraphBuilder, maps: str, size: Size, sigma: float = SIGMA) -> str:
    """Add the Gaussian filter of maps (K, H, W), mirrored at the border."""
    height, width = size
    window = window_side(sigma)
    row_source, column_source = _block_inputs(height, window), _block_inputs(width, window)
    band = gaussian_matrix(ROWS_PER_PRODUCT + window - 1, sigma=sigma)
    rows = add("MatMul", band, add("Gather", maps, row_source, axis=1))
    maps = add("Slice", add("Reshape", rows, [0, len(row_source) * ROWS_PER_PRODUCT, width]), [0], [height], [1])
    columns = add("MatMul", add("Gather", maps, column_source, axis=2), np.ascontiguousarray(band.T))
    padded = add("Reshape", columns, [0, height, len(column_source) * ROWS_PER_PRODUCT])
    return add("Slice", padded, [0], [width], [2])


def _block_inputs(length: int, window: int) -> np.ndarray:
    """Return the positions along a side, mirrored at the border, that each block of outputs depends on, (blocks, n)."""
    blocks = -(-length // ROWS_PER_PRODUCT)
    inputs = np.arange(ROWS_PER_PRODUCT + window - 1)
    positions = np.minimum(ROWS_PER_PRODUCT * np.arange(blocks)[:, None] + inputs, length + window - 2)
    return reflect_indices(positions - window // 2, length)
