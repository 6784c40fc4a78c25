"""The map of the method `segment` as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence

from ssim_ae.augmentation.damage import STRIDE
from ssim_ae.images.size import Size
from ssim_ae.methods.segment import NEGLIGIBLE, SMOOTHING, part_blocks
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.resize import enlarged
from ssim_ae.onnx_operators.ssim import gaussian


def residual_maps(add: GraphBuilder, image: str, output: str, size: Size) -> Sequence[str]:  # noqa: ARG001 (interface)
    """Add what the smoothed log-odds of damage say of damage and of the absence of a part, each (H, W)."""
    blocks = Size(size.height // STRIDE, size.width // STRIDE)
    smoothed = gaussian(add, output, blocks, SMOOTHING)
    count = part_blocks(blocks.height * blocks.width)
    most_likely, _ = add.add_multi("TopK", add("Reshape", smoothed, [-1]), [count], outputs=2)
    absence = add("Exp", add("Neg", add("Gather", most_likely, [count - 1])))
    damage = add("Max", add("Sub", enlarged(add, smoothed, STRIDE, size), NEGLIGIBLE), 0.0)
    return damage, add("Expand", absence, list(size))


def combine(add: GraphBuilder, ratios: Sequence[str]) -> str:
    """Add the maximum of both maps."""
    return add("Max", *ratios)


def postprocess(add: GraphBuilder, anomaly: str, size: Size) -> str:  # noqa: ARG001 (interface)
    """Return the map as it is."""
    return anomaly
