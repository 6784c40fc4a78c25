"""Convolutions on a GPU. Tensor cores need channels by the eight, which the first and the last layer have not.

cuDNN computes these two without tensor cores and converts layouts around them. Here they are a matrix product, and a
convolution that returns four pixels as channels.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.network.architecture import Layer

CHANNEL_MULTIPLE = 8
HALVING = (4, 2, 1)  # kernel, stride and padding of the layers that halve or double the size


def gpu_convolution(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    """Apply the convolution of `layer`, without its activation, to values (B, in, H, W) in the channels-last layout."""
    is_halving = (layer.kernel, layer.stride, layer.padding) == HALVING
    if layer.kind == "conv":
        if is_halving and layer.in_channels % CHANNEL_MULTIPLE:
            return _as_product(values, weight, bias)
        return functional.conv2d(values, weight, bias, stride=layer.stride, padding=layer.padding)
    if is_halving and layer.out_channels % CHANNEL_MULTIPLE:
        return _as_four_phases(values, weight, bias)
    return functional.conv_transpose2d(values, weight, bias, stride=layer.stride, padding=layer.padding)


def _as_product(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a convolution that halves the size, as the product of all windows with the weights."""
    kernel, stride, padding = HALVING
    padded = functional.pad(values, [padding] * 4)
    windows = padded.unfold(2, kernel, stride).unfold(3, kernel, stride)  # (B, in, H / 2, W / 2, 4, 4)
    rows = windows.permute(0, 2, 3, 1, 4, 5).flatten(3)
    return functional.linear(rows, weight.flatten(1), bias).permute(0, 3, 1, 2)


def _as_four_phases(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a transposed convolution that doubles the size, as a convolution whose channels are the 2 x 2 pixels."""
    channels = weight.shape[1]
    # Every second row of the flipped kernel reaches the even output rows, the others reach the odd ones
    flipped = weight.flip(2, 3)
    phases = [functional.pad(flipped[:, :, y::2, x::2], [x, 1 - x, y, 1 - y]) for y in (0, 1) for x in (0, 1)]
    kernels = torch.stack(phases).permute(2, 0, 1, 3, 4).flatten(0, 1)  # (out * 4, in, 3, 3), as in pixel_shuffle
    kernels = functional.pad(kernels, [0, 0, 0, 0, 0, 0, 0, -len(kernels) % CHANNEL_MULTIPLE])
    pixels = functional.conv2d(values, kernels.contiguous(memory_format=torch.channels_last), padding=1)
    return functional.pixel_shuffle(pixels[:, : 4 * channels], 2) + bias[:, None, None]
