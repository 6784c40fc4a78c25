"""The layer table: the definition of a network, from which every framework builds it.

The network of the method `reference` is that of Bergmann et al. 2018, "Improving Unsupervised Defect Segmentation by
Applying Structural Similarity to Autoencoders", table 1.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from ssim_ae.errors import InputError

CODE_SIDE = 8  # px: the encoder halves the patch down to 8 x 8 before the code layer


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


LEAKY_SLOPE = 0.2
LARGEST_JOINED = 32  # px


def layers(*, crop_size: int, channels: int, z_dim: int, flc: int) -> tuple[Layer, ...]:
    """Return the table for patches of `crop_size` = 8 * 2^k px, k >= 2. At 128 it is the paper's.

    Larger patches get more stride-2 layers of `flc` channels at both ends, smaller ones fewer.
    """
    halvings = _halvings(crop_size)

    def same(channels: int) -> tuple[str, int, int, int, int]:
        return ("conv", channels, 3, 1, 1)

    def halve(channels: int) -> tuple[str, int, int, int, int]:
        return ("conv", channels, 4, 2, 1)

    def double(channels: int) -> tuple[str, int, int, int, int]:
        return ("conv_transpose", channels, 4, 2, 1)

    outer = halvings - 2
    encoder = [
        *[halve(flc)] * outer,
        same(flc),
        halve(2 * flc),
        same(2 * flc),
        halve(4 * flc),
        same(2 * flc),
        same(flc),
        ("conv", z_dim, CODE_SIDE, 1, 0),
    ]
    decoder = [
        ("conv_transpose", flc, CODE_SIDE, 1, 0),
        same(2 * flc),
        same(4 * flc),
        double(2 * flc),
        same(2 * flc),
        double(flc),
        same(flc),
        *[double(flc)] * outer,
    ]
    plan = encoder + decoder
    activations = ["leaky_relu"] * len(plan)
    activations[len(encoder) - 1] = "linear"
    activations[-1] = "sigmoid"

    table: list[Layer] = []
    counts = {"conv": 0, "conv_transpose": 0}
    incoming = channels
    for index, (kind, out, kernel, stride, padding) in enumerate(plan):
        counts[kind] += 1
        if index == len(plan) - 1:
            out = channels
        name = f"{'conv' if kind == 'conv' else 'conv_trans'}{counts[kind]}"
        table.append(Layer(name, kind, incoming, out, kernel, stride, padding, activations[index]))  # type: ignore[arg-type]
        incoming = out
    return tuple(table)


def repair_layers(*, crop_size: int, channels: int, flc: int) -> tuple[Layer, ...]:
    """Return the table of a U-Net (Ronneberger et al. 2015) for patches of `crop_size` = 8 * 2^k px, k >= 2.

    It halves the patch down to 8 x 8 px and doubles it again, joining what there was at this size on the way down. But
    only of small sizes: what could be copied pixel by pixel would never be repaired.
    """
    sizes = [crop_size >> number for number in range(1, _halvings(crop_size) + 1)]
    widths = [flc * min(8, max(1, 128 // size)) for size in sizes]
    inner = widths[-1]
    table = [
        Layer(f"down{number}", "conv", incoming, width, 4, 2, 1)
        for number, (incoming, width) in enumerate(zip([channels, *widths], widths, strict=False), 1)
    ]
    table += [Layer(f"middle{number}", "conv", inner, inner, 3, 1, 1) for number in (1, 2, 3)]
    incoming = inner
    for number in range(len(sizes), 1, -1):
        joined = CODE_SIDE < sizes[number - 1] <= min(LARGEST_JOINED, crop_size // 4)
        before, width = incoming + joined * widths[number - 1], widths[number - 2]
        skip = f"down{number}" if joined else ""
        table.append(Layer(f"up{number}", "conv_transpose", before, width, 4, 2, 1, skip=skip))
        if number < len(sizes):
            table.append(Layer(f"same{number}", "conv", width, width, 3, 1, 1))
        incoming = width
    return (*table, Layer("up1", "conv_transpose", incoming, channels, 4, 2, 1, "linear"))


def _halvings(crop_size: int) -> int:
    """Return how often a patch is halved down to CODE_SIDE. ValueError where it cannot be, or less than twice."""
    halvings = (crop_size // CODE_SIDE).bit_length() - 1
    if halvings < 2 or CODE_SIDE << halvings != crop_size:
        raise ValueError(f"crop_size should be 8 * 2^k with k >= 2, not {crop_size}")
    return halvings


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
        if layer.kind == "conv":
            side = (side + 2 * layer.padding - layer.kernel) // layer.stride + 1
        else:
            side = (side - 1) * layer.stride - 2 * layer.padding + layer.kernel
        rows.append(
            f"| {layer.name} | {side} x {side} x {layer.out_channels} | "
            f"{layer.kernel} x {layer.kernel} | {layer.stride} | {layer.padding} |"
        )
    return "\n".join(rows)
