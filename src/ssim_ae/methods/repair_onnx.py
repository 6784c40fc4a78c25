"""The maps of the method `repair` as ONNX operators."""

from collections.abc import Sequence

import numpy as np

from ssim_ae.images.size import Size
from ssim_ae.methods.repair import EXCLUDED_BORDER, reduction
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.ssim import gaussian, ssim_residual


def residual_maps(add: GraphBuilder, image: str, output: str, size: Size) -> Sequence[str]:
    """Add 1 - SSIM of the reduced images, enlarged again, and the absolute difference; both smoothed, (H, W)."""
    inner = np.zeros(size, np.float32)
    inner[EXCLUDED_BORDER:-EXCLUDED_BORDER, EXCLUDED_BORDER:-EXCLUDED_BORDER] = 1
    factor = reduction(size)
    difference = add("Mul", add("Sub", output, image), inner)
    x, y = _reduce(add, image, factor), _reduce(add, add("Add", image, difference), factor)
    coarse = add("Unsqueeze", ssim_residual(add, x, y, Size(size.height // factor, size.width // factor)), [0, 1])
    scales = np.array([1, 1, factor, factor], np.float32)
    ssim = add("Squeeze", add("Resize", coarse, "", scales, mode="nearest"), [0])
    l1 = add("ReduceMean", add("Abs", difference), [0], keepdims=1)
    smoothed = gaussian(add, add("Concat", ssim, l1, axis=0), size)
    return add("Gather", smoothed, 0), add("Gather", smoothed, 1)


def combine(add: GraphBuilder, ratios: Sequence[str]) -> str:
    """Add the sum of both maps."""
    return add("Add", *ratios)


def postprocess(add: GraphBuilder, anomaly: str, size: Size) -> str:  # noqa: ARG001 (the interface of all methods)
    """Return the map as it is."""
    return anomaly


def _reduce(add: GraphBuilder, planes: str, factor: int) -> str:
    """(C, H, W) -> (C, H / factor, W / factor): the mean of each block of pixels."""
    batch = add("Unsqueeze", planes, [0])
    return add("Squeeze", add("AveragePool", batch, kernel_shape=[factor] * 2, strides=[factor] * 2), [0])
