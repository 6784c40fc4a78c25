"""The network of the method `features`: an image in, the distances of its features from good ones out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ssim_ae.features.backbones import BACKBONES, BackboneName, neighborhood_mean
from ssim_ae.features.extractor import STRIDE, FeatureExtractor
from ssim_ae.features.gaussians import Gaussians, block_grid
from ssim_ae.network.network import PATCHES, Operators, Weight

if TYPE_CHECKING:
    from ssim_ae.onnx_operators.graph import GraphBuilder

DISTANCES = "distances"  # the name of the output in an ONNX graph
SCALE, MEAN, FACTOR = "gaussians.scale", "gaussians.mean", "gaussians.factor"  # weights
INSPECTED = "inspected"  # a weight: 1 at the places that are inspected, 0 elsewhere


class DistanceNetwork(NamedTuple):
    """The network from images (B, C, H, W) in [0, 1] to Mahalanobis distances (B, 1, H / STRIDE, W / STRIDE)."""

    input_shape: tuple[int, int, int]
    backbone: BackboneName
    output: str = DISTANCES

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the distances of an image."""
        _, height, width = self.input_shape
        return 1, height // STRIDE, width // STRIDE

    def weights(self) -> dict[str, Weight]:
        """Return the shape and dtype of every weight, by name."""
        _, height, width = self.output_shape
        _, rows, columns = block_grid(height, width)
        extractor = FeatureExtractor(self.input_shape, self.backbone)
        channels = extractor.output_shape[0]
        return extractor.weights() | {
            SCALE: Weight((channels, 1, 1)),
            MEAN: Weight((channels, height, width)),
            FACTOR: Weight((rows * columns, channels * (channels + 1) // 2), "float16"),
            INSPECTED: Weight((height, width)),
        }

    def operators(self) -> Operators:
        """Return the operators that compute the distances from the images and the weights, of any opset from 11 on."""
        from ssim_ae.onnx_operators.graph import GraphBuilder

        add = GraphBuilder(prefix="network.")
        backbone, image_channels = BACKBONES[self.backbone], self.input_shape[0]
        features = add("Mul", backbone.add_features(add, PATCHES, image_channels), SCALE)
        shape = (backbone.channels(image_channels), *self.output_shape[1:])
        distances = _distances(add, add("Sub", features, MEAN), shape)
        smoothed = neighborhood_mean(add, add("Mul", distances, INSPECTED))
        add("Mul", smoothed, INSPECTED, output=DISTANCES)
        return Operators(add.nodes, add.tensors)


def distance_weights(gaussians: Gaussians, inspected: np.ndarray) -> dict[str, np.ndarray]:
    """Return Gaussians, and the places (h, w) bool that are inspected, as weights of the network."""
    return {
        SCALE: gaussians.scale,
        MEAN: gaussians.mean,
        FACTOR: gaussians.factor,
        INSPECTED: inspected.astype(np.float32),
    }


def _distances(add: GraphBuilder, differences: str, shape: tuple[int, int, int]) -> str:
    """Add the lengths of the products of differences (B, d, h, w) and their blocks' factors, (B, 1, h, w)."""
    channels, height, width = shape
    side, rows, columns = block_grid(height, width)
    missing = (rows * side - height, columns * side - width)
    if any(missing):
        differences = add("Pad", differences, [0] * 6 + list(missing))
    split = add("Reshape", differences, [-1, channels, rows, side, columns, side])
    in_blocks = add("Reshape", add("Transpose", split, perm=[2, 4, 1, 3, 5, 0]), [rows * columns, channels, -1])
    products = add("MatMul", _factors(add, rows * columns, channels), in_blocks)
    squares = add("MatMul", np.ones((1, channels), np.float32), add("Mul", products, products))
    lengths = add("Reshape", add("Sqrt", squares), [rows, columns, side, side, -1])
    in_places = add("Reshape", add("Transpose", lengths, perm=[4, 0, 2, 1, 3]), [-1, 1, rows * side, columns * side])
    return add("Slice", in_places, [0, 0], [height, width], [2, 3]) if any(missing) else in_places


def _factors(add: GraphBuilder, blocks: int, channels: int) -> str:
    """Add the factors of all blocks, lower triangles as matrices (blocks, d, d)."""
    from onnx import TensorProto

    length = channels * (channels + 1) // 2
    positions = np.full((channels, channels), length)  # of the zero that is appended
    positions[np.tril_indices(channels)] = np.arange(length)
    values = add("Concat", FACTOR, np.zeros((blocks, 1), np.float16), axis=1)
    spread = add("Reshape", add("Gather", values, positions.ravel(), axis=1), [blocks, channels, channels])
    return add("Cast", spread, to=TensorProto.FLOAT)
