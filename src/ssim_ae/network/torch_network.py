"""The network in PyTorch, built from the layer table."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssim_ae.network.architecture import LEAKY_SLOPE, Layer
from ssim_ae.network.torch_convolution import onednn_convolution
from ssim_ae.network.torch_gpu_convolution import gpu_convolution


class Autoencoder(nn.Module):
    """The network of a layer table: patches (B, C, H, W) in [0, 1] in, outputs out.

    The weights are float32 and are converted to the dtype of the patches. Initially the weights are Xavier-uniform
    and the biases those of the layers.
    """

    def __init__(self, table: tuple[Layer, ...]) -> None:
        super().__init__()
        self.table = table
        self.skip_sources = {layer.skip for layer in table}
        for layer in table:
            self.add_module(layer.name, _initial_convolution(layer))

    def to_device(self, device: torch.device) -> Self:
        """Move the network to a device, in the channels-last layout."""
        return self.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, patches: Tensor) -> Tensor:
        """Return the outputs."""
        apply_layer = _apply_function(patches.device)
        values = _channels_last(patches)
        skip_outputs: dict[str, Tensor] = {}
        for layer in self.table:
            if layer.skip:
                values = _channels_last(torch.cat([values, skip_outputs[layer.skip]], dim=1))
            weight = self.get_parameter(f"{layer.name}.weight").to(values.dtype)
            bias = self.get_parameter(f"{layer.name}.bias").to(values.dtype)
            values = apply_layer(values, weight, bias, layer)
            if layer.name in self.skip_sources:
                skip_outputs[layer.name] = values
        return values


def _apply_function(device: torch.device) -> Callable[[Tensor, Tensor, Tensor, Layer], Tensor]:
    """Return the fastest way to apply a layer with its activation on a device."""
    if device.type == "cuda":
        return _apply_on_gpu
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return _apply_with_onednn
    return _apply_with_torch


def _apply_with_onednn(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    values = onednn_convolution(values, _channels_last(weight), bias, layer)
    return torch.sigmoid(values) if layer.activation == "sigmoid" else values


def _apply_on_gpu(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    return _activated(gpu_convolution(values, weight, bias, layer), layer)


def _apply_with_torch(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    convolve = functional.conv2d if layer.kind == "conv" else functional.conv_transpose2d
    return _activated(convolve(values, weight, bias, stride=layer.stride, padding=layer.padding), layer)


def _activated(values: Tensor, layer: Layer) -> Tensor:
    if layer.activation == "leaky_relu":
        return functional.leaky_relu(values, LEAKY_SLOPE)
    return torch.sigmoid(values) if layer.activation == "sigmoid" else values


def _channels_last(values: Tensor) -> Tensor:
    """Return (B, C, H, W) in the memory layout (B, H, W, C), with the strides of this layout even for one channel.

    With one channel the strides are ambiguous, and PyTorch would choose those of the layout (B, C, H, W).
    """
    _, channels, height, width = values.shape
    values = values.contiguous(memory_format=torch.channels_last)
    return values.as_strided(values.shape, (height * width * channels, 1, width * channels, channels))


def _initial_convolution(layer: Layer) -> nn.Module:
    """Return the module of a layer with Xavier-uniform weights and its initial bias."""
    kind = nn.Conv2d if layer.kind == "conv" else nn.ConvTranspose2d
    module = kind(layer.in_channels, layer.out_channels, layer.kernel, stride=layer.stride, padding=layer.padding)
    nn.init.xavier_uniform_(module.weight)
    assert module.bias is not None
    nn.init.constant_(module.bias, layer.initial_bias)
    return module
