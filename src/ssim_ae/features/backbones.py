"""What features are computed with: a frozen network, or fixed filters. The setting `backbone` names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from ssim_ae.features import gabor
from ssim_ae.pretrained import efficientnet_lite
from ssim_ae.pretrained.efficientnet_lite_onnx import backbone_nodes

if TYPE_CHECKING:
    from ssim_ae.onnx_operators.graph import GraphBuilder

BackboneName = Literal["efficientnet_lite0", "gabor"]
AVERAGED = 3  # places along each side whose features are averaged


class Backbone(Protocol):
    """Computes the features of images with C channels, 1 or 3."""

    description: str

    def channels(self, image_channels: int) -> int:
        """Return the number of features of a place."""
        ...

    def weight_shapes(self, image_channels: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by name."""
        ...

    def load_weights(self, image_channels: int) -> dict[str, np.ndarray]:
        """Return the weights, float32. Raises InputError if the package that has them is not installed."""
        ...

    def add_features(self, add: GraphBuilder, images: str, image_channels: int) -> str:
        """Add the features of images (B, C, H, W) in [0, 1]: (B, channels, H / 16, W / 16)."""
        ...


class EfficientNetLite0:
    """Two levels of a pretrained network, averaged and joined (Defard et al. 2021, PaDiM, without random channels)."""

    description = "EfficientNet-Lite0 up to stride 16"

    def channels(self, image_channels: int) -> int:  # noqa: ARG002 (the interface)
        """Return the number of features of a place."""
        return efficientnet_lite.STRIDE_8_CHANNELS + efficientnet_lite.STRIDE_16_CHANNELS

    def weight_shapes(self, image_channels: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by name."""
        return efficientnet_lite.weight_shapes(image_channels)

    def load_weights(self, image_channels: int) -> dict[str, np.ndarray]:
        """Return the weights, float32. Raises InputError if the package that has them is not installed."""
        return efficientnet_lite.load_weights(image_channels)

    def add_features(self, add: GraphBuilder, images: str, image_channels: int) -> str:  # noqa: ARG002
        """Add the features of images; the finer level is reduced to the places of the coarser."""
        fine, coarse = backbone_nodes(add, images)
        reduced = add("AveragePool", neighborhood_mean(add, fine), kernel_shape=[2, 2], strides=[2, 2])
        return add("Concat", reduced, neighborhood_mean(add, coarse), axis=1)


class Gabor:
    """Energies of Gabor filters, and colors: fixed filters, for which nothing was trained."""

    description = "Gabor filters at four scales, and colors"

    def channels(self, image_channels: int) -> int:
        """Return the number of features of a place."""
        return gabor.channels(image_channels)

    def weight_shapes(self, image_channels: int) -> dict[str, tuple[int, ...]]:  # noqa: ARG002 (the interface)
        """Return nothing: the filters are constants of the graph."""
        return {}

    def load_weights(self, image_channels: int) -> dict[str, np.ndarray]:  # noqa: ARG002 (the interface)
        """Return nothing."""
        return {}

    def add_features(self, add: GraphBuilder, images: str, image_channels: int) -> str:
        """Add the features of images."""
        return neighborhood_mean(add, gabor.add_gabor_features(add, images, image_channels))


BACKBONES: dict[BackboneName, Backbone] = {"efficientnet_lite0": EfficientNetLite0(), "gabor": Gabor()}


def neighborhood_mean(add: GraphBuilder, planes: str) -> str:
    """Add the mean of the places around each place of planes (B, C, h, w); fewer at the border."""
    padding = AVERAGED // 2
    return add("AveragePool", planes, kernel_shape=[AVERAGED] * 2, pads=[padding] * 4, count_include_pad=0)
