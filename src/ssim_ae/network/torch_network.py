"""The layer table as a PyTorch module."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssim_ae.network.architecture import LEAKY_SLOPE, Layer
from ssim_ae.network.torch_convolution import convolution


class Autoencoder(nn.Module):
    """(B, C, S, S) in [0, 1] -> the reconstruction, same shape, dtype and range.

    The weights are float32 and are used in the dtype of the patches. They start Xavier-uniform, biases 0.
    """

    def __init__(self, table: tuple[Layer, ...]) -> None:
        super().__init__()
        self.table = table
        self.joined_later = {layer.skip for layer in table}
        for layer in table:
            self.add_module(layer.name, _convolution(layer))

    def placed(self, device: torch.device) -> Self:
        """Move to a device, in the memory layout that is fastest there."""
        return self.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, patches: Tensor) -> Tensor:
        onednn = patches.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        apply = _by_onednn if onednn else _by_framework
        values = _channels_last(patches)
        kept: dict[str, Tensor] = {}
        for layer in self.table:
            if layer.skip:
                values = _channels_last(torch.cat([values, kept[layer.skip]], dim=1))
            weight, bias = (self.get_parameter(f"{layer.name}.{name}").to(values.dtype) for name in ("weight", "bias"))
            values = apply(values, weight, bias, layer)
            if layer.name in self.joined_later:
                kept[layer.name] = values
        return values


def _by_onednn(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    values = convolution(values, _channels_last(weight), bias, layer)
    return torch.sigmoid(values) if layer.activation == "sigmoid" else values


def _by_framework(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    convolve = functional.conv2d if layer.kind == "conv" else functional.conv_transpose2d
    values = convolve(values, weight, bias, stride=layer.stride, padding=layer.padding)
    if layer.activation == "leaky_relu":
        return functional.leaky_relu(values, LEAKY_SLOPE)
    return torch.sigmoid(values) if layer.activation == "sigmoid" else values


def _channels_last(values: Tensor) -> Tensor:
    """Lay out as (B, H, W, C), and say so: with one channel PyTorch takes the strides for those of (B, C, H, W)."""
    _, channels, height, width = values.shape
    values = values.contiguous(memory_format=torch.channels_last)
    return values.as_strided(values.shape, (height * width * channels, 1, width * channels, channels))


def _convolution(layer: Layer) -> nn.Module:
    kind = nn.Conv2d if layer.kind == "conv" else nn.ConvTranspose2d
    module = kind(layer.in_channels, layer.out_channels, layer.kernel, stride=layer.stride, padding=layer.padding)
    nn.init.xavier_uniform_(module.weight)
    assert module.bias is not None
    nn.init.zeros_(module.bias)
    return module
