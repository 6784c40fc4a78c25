"""The layer table: the definition of a network, from which every framework builds it.

The network of the method `reference` is that of Bergmann et al. 2018, "Improving Unsupervised Defect Segmentation by
Applying Structural Similarity to Autoencoders", table 1.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.network.network import Operators, Weight

RECONSTRUCTIONS = "reconstructions"  # the name of the output in an ONNX graph
CODE_SIZE = 8  # px: the encoder halves the patch down to 8 x 8 before the code layer


class Layer(NamedTuple):
    """A convolution or transposed convolution with bias, followed by an activation."""

    name: str
    kind: Literal["conv", "conv_transpose"]
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int
    activation: Literal["leaky_relu", "sigmoid", "linear"] = "leaky_relu"
    skip: str = ""  # the earlier layer whose output is concatenated after the input
    initial_bias: float = 0.0

    def output_side(self, side: int) -> int:
        """Return the height or width of the output, given that of the input."""
        if self.kind == "conv":
            return (side + 2 * self.padding - self.kernel) // self.stride + 1
        return (side - 1) * self.stride - 2 * self.padding + self.kernel


LEAKY_SLOPE = 0.2  # of LeakyReLU below 0


class LayeredNetwork(NamedTuple):
    """The network of a layer table."""

    layers: tuple[Layer, ...]
    input_shape: tuple[int, int, int]
    output: str = RECONSTRUCTIONS

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the output for a patch."""
        _, height, width = self.input_shape
        for layer in self.layers:
            height, width = layer.output_side(height), layer.output_side(width)
        return self.layers[-1].out_channels, height, width

    def weights(self) -> dict[str, Weight]:
        """Return the shape and dtype of every weight, by name."""
        return {name: Weight(shape) for name, shape in weight_shapes(self.layers).items()}

    def operators(self) -> Operators:
        """Return the operators that compute the output from the patches and the weights."""
        from ssim_ae.network.onnx_network import layer_nodes

        return Operators(layer_nodes(self.layers, self.output))


def halvings(crop_size: int) -> int:
    """Return how often a patch is halved down to CODE_SIZE. ValueError where it cannot be, or less than twice."""
    count = (crop_size // CODE_SIZE).bit_length() - 1
    if count < 2 or CODE_SIZE << count != crop_size:
        raise ValueError(f"crop_size should be 8 * 2^k with k >= 2, not {crop_size}")
    return count


def weight_shapes(table: tuple[Layer, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight: conv (out, in, k, k), conv_transpose (in, out, k, k), bias (out,)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in table:
        ends = (layer.out_channels, layer.in_channels)
        if layer.kind == "conv_transpose":
            ends = ends[::-1]
        shapes[f"{layer.name}.weight"] = (*ends, layer.kernel, layer.kernel)
        shapes[f"{layer.name}.bias"] = (layer.out_channels,)
    return shapes


def check_weights(table: tuple[Layer, ...], weights: Mapping[str, np.ndarray], source: str) -> None:
    """Raise InputError with `source` in its message if the weights do not fit the network of `table`."""
    expected = weight_shapes(table)
    for name in expected.keys() | weights.keys():
        shape = weights[name].shape if name in weights else None
        needed = expected.get(name)
        if shape != needed:
            raise InputError(
                f"{source}: weight {name} has shape {shape or 'none'}, this network needs {needed or 'none'}"
            )


def describe(table: tuple[Layer, ...], crop_size: int) -> str:
    """Return the table as Markdown: output size, kernel, stride and padding of every layer."""
    side = crop_size
    rows = [
        "| Layer | Output size | Kernel | Stride | Padding |",
        "|---|---|:---:|---|---|",
        f"| input | {side} x {side} x {table[0].in_channels} | | | |",
    ]
    for layer in table:
        side = layer.output_side(side)
        rows.append(
            f"| {layer.name} | {side} x {side} x {layer.out_channels} | "
            f"{layer.kernel} x {layer.kernel} | {layer.stride} | {layer.padding} |"
        )
    return "\n".join(rows)
