"""The features of an image: two levels of a frozen network, averaged and joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ssim_ae.network.network import PATCHES, Operators, Weight
from ssim_ae.pretrained import efficientnet_lite
from ssim_ae.pretrained.efficientnet_lite_onnx import backbone_nodes

if TYPE_CHECKING:
    from ssim_ae.onnx_operators.graph import GraphBuilder

FEATURES = "features"  # the name of the output in an ONNX graph
STRIDE = 16  # px of the image per place, along each side
CHANNELS = efficientnet_lite.STRIDE_8_CHANNELS + efficientnet_lite.STRIDE_16_CHANNELS
AVERAGED = 3  # places along each side whose features are averaged


class FeatureExtractor(NamedTuple):
    """The network from images (B, C, H, W) in [0, 1] to their features (B, CHANNELS, H / STRIDE, W / STRIDE)."""

    input_shape: tuple[int, int, int]
    output: str = FEATURES

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the features of an image."""
        _, height, width = self.input_shape
        return CHANNELS, height // STRIDE, width // STRIDE

    def weights(self) -> dict[str, Weight]:
        """Return the shape and dtype of every weight, by name."""
        shapes = efficientnet_lite.weight_shapes(self.input_shape[0])
        return {name: Weight(shape) for name, shape in shapes.items()}

    def operators(self) -> Operators:
        """Return the operators that compute the features from the images and the weights."""
        from ssim_ae.onnx_operators.graph import GraphBuilder

        add = GraphBuilder(prefix="network.")
        add("Identity", add_features(add, PATCHES), output=FEATURES)
        return Operators(add.nodes, add.tensors)


def add_features(add: GraphBuilder, images: str) -> str:
    """Add the features of images.

    Both levels are averaged over neighboring places (Defard et al. 2021, PaDiM, without its random channels); the finer
    one is then reduced to the places of the coarser.
    """
    fine, coarse = backbone_nodes(add, images)
    reduced = add("AveragePool", neighborhood_mean(add, fine), kernel_shape=[2, 2], strides=[2, 2])
    return add("Concat", reduced, neighborhood_mean(add, coarse), axis=1)


def neighborhood_mean(add: GraphBuilder, planes: str) -> str:
    """Add the mean of the places around each place of planes (B, C, h, w); fewer at the border."""
    padding = AVERAGED // 2
    return add("AveragePool", planes, kernel_shape=[AVERAGED] * 2, pads=[padding] * 4, count_include_pad=0)
