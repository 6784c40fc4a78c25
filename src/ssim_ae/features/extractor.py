"""The network from an image to the features of its places."""

from __future__ import annotations

from typing import NamedTuple

from ssim_ae.features.backbones import BACKBONES, BackboneName
from ssim_ae.network.network import PATCHES, Operators, Weight

FEATURES = "features"  # the name of the output in an ONNX graph
STRIDE = 16  # px of the image per place, along each side


class FeatureExtractor(NamedTuple):
    """The network from images (B, C, H, W) in [0, 1] to their features (B, D, H / STRIDE, W / STRIDE)."""

    input_shape: tuple[int, int, int]
    backbone: BackboneName
    output: str = FEATURES

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the features of an image."""
        channels, height, width = self.input_shape
        return BACKBONES[self.backbone].channels(channels), height // STRIDE, width // STRIDE

    def weights(self) -> dict[str, Weight]:
        """Return the shape and dtype of every weight, by name."""
        shapes = BACKBONES[self.backbone].weight_shapes(self.input_shape[0])
        return {name: Weight(shape) for name, shape in shapes.items()}

    def operators(self) -> Operators:
        """Return the operators that compute the features from the images and the weights."""
        from ssim_ae.onnx_operators.graph import GraphBuilder

        add = GraphBuilder(prefix="network.")
        features = BACKBONES[self.backbone].add_features(add, PATCHES, self.input_shape[0])
        add("Identity", features, output=FEATURES)
        return Operators(add.nodes, add.tensors)
