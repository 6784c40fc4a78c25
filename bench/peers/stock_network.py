"""The network in plain PyTorch."""

from collections.abc import Callable

import torch
from torch import nn

from ssim_ae.network.architecture import LEAKY_SLOPE, Layer

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}


def stock_network(table: tuple[Layer, ...]) -> nn.Sequential:
    """Return the layers of a table in sequence, in float32 and the default memory layout."""
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    for layer in table:
        kind = nn.Conv2d if layer.kind == "conv" else nn.ConvTranspose2d
        modules.append(kind(layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding))
        modules.append(ACTIVATIONS[layer.activation]())
    return nn.Sequential(*modules)
