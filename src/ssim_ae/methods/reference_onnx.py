"""The maps of the method `reference` as ONNX operators."""

from collections.abc import Sequence

import numpy as np

from ssim_ae.images.size import Size
from ssim_ae.methods.reference import BORDER_WEIGHT, DAMPED_BORDER, OPENING_RADIUS
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.regions import opening
from ssim_ae.onnx_operators.ssim import ssim_residual


def residual_maps(add: GraphBuilder, image: str, output: str, size: Size) -> Sequence[str]:
    """Add 1 - SSIM, damped near the border, and the absolute difference, each (H, W)."""
    l1 = add("ReduceMean", add("Abs", add("Sub", image, output)), [0], keepdims=0)
    weights = np.full(size, BORDER_WEIGHT, np.float32)
    weights[DAMPED_BORDER:-DAMPED_BORDER, DAMPED_BORDER:-DAMPED_BORDER] = 1
    return add("Mul", ssim_residual(add, image, output, size), weights), l1


def combine(add: GraphBuilder, ratios: Sequence[str]) -> str:
    """Add the larger of both maps at each pixel."""
    return add("Max", *ratios)


def postprocess(add: GraphBuilder, anomaly: str, size: Size) -> str:
    """Add the morphological opening of the map with a disk."""
    return opening(add, anomaly, size, radius=OPENING_RADIUS)
