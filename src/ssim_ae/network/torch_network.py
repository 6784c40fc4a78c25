"""The layer table as a PyTorch module, and its SSIM loss."""

from typing import Self

import torch
from torch import Tensor, nn

from ssim_ae.network.architecture import LEAKY_SLOPE, Layer
from ssim_ae.network.ssim import gaussian_matrix, ssim_map


class Autoencoder(nn.Module):
    """(B, C, S, S) in [0, 1] -> the reconstruction, same shape and range. Weights are Xavier-uniform, biases 0."""

    def __init__(self, table: tuple[Layer, ...]) -> None:
        super().__init__()
        self.table = table
        for layer in table:
            self.add_module(layer.name, _convolution(layer))

    def placed(self, device: torch.device) -> Self:
        """Move to a device, in the memory layout that is fastest there."""
        return self.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, patches: Tensor) -> Tensor:
        values = patches
        for layer in self.table:
            values = _activate(self.get_submodule(layer.name)(values), layer.activation)
        return values


class SSIMLoss(nn.Module):
    """1 - the mean SSIM of two batches (B, C, S, S) in [0, 1], over the windows that fit. In float32."""

    band: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("band", torch.from_numpy(gaussian_matrix(size).copy()), persistent=False)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        band = self.band.to(target.dtype)
        return 1 - ssim_map(reconstruction, target, band, band).mean()


def _convolution(layer: Layer) -> nn.Module:
    kind = nn.Conv2d if layer.kind == "conv" else nn.ConvTranspose2d
    module = kind(layer.in_channels, layer.out_channels, layer.kernel, stride=layer.stride, padding=layer.padding)
    nn.init.xavier_uniform_(module.weight)
    assert module.bias is not None
    nn.init.zeros_(module.bias)
    return module


def _activate(values: Tensor, activation: str) -> Tensor:
    if activation == "leaky_relu":
        return nn.functional.leaky_relu(values, LEAKY_SLOPE)
    return torch.sigmoid(values) if activation == "sigmoid" else values
