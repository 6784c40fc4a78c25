"""The layer table: the network is data, and every framework builds from it.

Bergmann et al. 2018, "Improving Unsupervised Defect Segmentation by Applying Structural Similarity to
Autoencoders", table 1.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from ssim_ae.errors import InputError

CODE_SIZE = 8  # px: the encoder halves the patch down to 8 x 8 before the code layer


class Layer(NamedTuple):
    """A convolution or transposed convolution with bias, and the activation after it."""

    name: str
    kind: Literal["conv", "conv_transpose"]
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int
    activation: Literal["leaky_relu", "sigmoid", "linear"] = "leaky_relu"  # the slope of leaky_relu is 0.2
    skip: str = ""  # the earlier layer whose output is joined to the input, behind it


LEAKY_SLOPE = 0.2


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
    """InputError that names `source` where weights do not fit the network of `table`."""
    expected = weight_shapes(table)
    for name in expected.keys() | weights.keys():
        given = weights[name].shape if name in weights else None
        if given != expected.get(name):
            raise InputError(f"{source}: weight {name} is {given}, this network needs {expected.get(name)}")


def describe(table: tuple[Layer, ...], crop_size: int) -> str:
    """Return the table as Markdown, as in the README."""
    side = crop_size
    rows = [
        "| Layer | Output size | Kernel | Stride | Padding |",
        "|---|---|:---:|---|---|",
        f"| input | {side} x {side} x {table[0].in_channels} | | | |",
    ]
    for layer in table:
        if layer.kind == "conv":
            side = (side + 2 * layer.padding - layer.kernel) // layer.stride + 1
        else:
            side = (side - 1) * layer.stride - 2 * layer.padding + layer.kernel
        rows.append(
            f"| {layer.name} | {side} x {side} x {layer.out_channels} | "
            f"{layer.kernel} x {layer.kernel} | {layer.stride} | {layer.padding} |"
        )
    return "\n".join(rows)
