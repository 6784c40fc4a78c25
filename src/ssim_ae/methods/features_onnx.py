"""The map of the method `features` as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence

from ssim_ae.features.extractor import STRIDE
from ssim_ae.images.size import Size
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.resize import enlarged


def residual_maps(add: GraphBuilder, image: str, output: str, size: Size) -> Sequence[str]:  # noqa: ARG001 (interface)
    """Add the distances, enlarged to the size of the image, (H, W)."""
    return (enlarged(add, output, STRIDE, size),)


def combine(add: GraphBuilder, ratios: Sequence[str]) -> str:  # noqa: ARG001 (interface)
    """Return the only map."""
    return ratios[0]


def postprocess(add: GraphBuilder, anomaly: str, size: Size) -> str:  # noqa: ARG001 (interface)
    """Return the map as it is."""
    return anomaly
