import pytest
import torch
from torch import nn
from torch.nn import functional

from ssim_ae.methods.reference import autoencoder_layers
from ssim_ae.methods.repair import unet_layers
from ssim_ae.network.architecture import Layer
from ssim_ae.network.torch_gpu_convolution import gpu_convolution
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.network.torch_ssim import CHUNK_PIXELS, SSIMLoss


def table(channels: int):
    return autoencoder_layers(crop_size=32, channels=channels, z_dim=10, flc=4)


class PlainNetwork(nn.Module):
    """The same network and weights, built from PyTorch's own layers."""

    def __init__(self, network: Autoencoder) -> None:
        super().__init__()
        activations = {"leaky_relu": nn.LeakyReLU(0.2), "sigmoid": nn.Sigmoid(), "linear": nn.Identity()}
        self.table = network.table
        for layer in network.table:
            kind = nn.Conv2d if layer.kind == "conv" else nn.ConvTranspose2d
            module = kind(layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding)
            module.load_state_dict(network.get_submodule(layer.name).state_dict())
            self.add_module(layer.name, nn.Sequential(module, activations[layer.activation]))

    def forward(self, values):
        outputs = {}
        for layer in self.table:
            if layer.skip:
                values = torch.cat([values, outputs[layer.skip]], dim=1)
            outputs[layer.name] = values = self.get_submodule(layer.name)(values)
        return values


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", ["reference", "repair"])
def test_outputs_and_gradients_equal_those_of_torch_layers(channels, method):
    torch.manual_seed(0)
    repair_table = unet_layers(crop_size=128, channels=channels, flc=2)
    network = Autoencoder(repair_table if method == "repair" else table(channels)).to_device(torch.device("cpu"))
    plain = PlainNetwork(network)
    patches = torch.rand(5, channels, 32, 32, requires_grad=True)
    plain_patches = patches.detach().clone().requires_grad_()
    reconstruction, expected = network(patches), plain(plain_patches)
    assert torch.allclose(reconstruction, expected, atol=1e-5)
    for output in (reconstruction, expected):
        (output**2 * torch.linspace(0, 1, 32)).sum().backward()
    assert torch.allclose(patches.grad, plain_patches.grad, atol=1e-5)
    for actual, expected in zip(network.parameters(), plain.parameters(), strict=True):
        # An input near 0 may be on either side of the kink of leaky_relu
        assert torch.allclose(actual.grad, expected.grad, atol=5e-3 * float(expected.grad.abs().max()))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
def test_convolutions_on_a_gpu_equal_those_of_torch(kind, channels):
    """Run here on the CPU: the functions are the same."""
    torch.manual_seed(0)
    sizes = (channels, 32) if kind == "conv" else (32, channels)
    layer = Layer("name", kind, *sizes, kernel=4, stride=2, padding=1, activation="linear")
    weight_shape = (32, channels, 4, 4)
    weight, bias = torch.randn(weight_shape, dtype=torch.float64), torch.randn(sizes[1], dtype=torch.float64)
    values = torch.randn(2, sizes[0], 16, 12, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (values, weight, bias)]
    convolve = functional.conv2d if kind == "conv" else functional.conv_transpose2d
    expected, actual = convolve(*inputs, stride=2, padding=1), gpu_convolution(*inputs, layer)
    assert torch.allclose(actual, expected)
    direction = torch.randn_like(expected)
    for result in zip(*(torch.autograd.grad(output, inputs, direction) for output in (actual, expected)), strict=True):
        assert torch.allclose(*result)


def test_the_output_is_the_same_without_onednn(monkeypatch):
    network = Autoencoder(table(3)).to_device(torch.device("cpu"))
    patches = torch.rand(2, 3, 32, 32)
    with_onednn = network(patches)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert torch.allclose(network(patches), with_onednn, atol=1e-5)


def test_the_dtype_of_the_patches_sets_the_precision():
    network = Autoencoder(table(1)).to_device(torch.device("cpu"))
    patches = torch.rand(4, 1, 32, 32)
    half = network(patches.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), network(patches), atol=0.02)
    half.float().mean().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


@pytest.mark.parametrize("chunk_pixels", [1, 3 * 40 * 40, 10**9])
def test_the_loss_does_not_depend_on_the_chunk_size(monkeypatch, chunk_pixels):
    monkeypatch.setitem(CHUNK_PIXELS, "cpu", chunk_pixels)
    torch.manual_seed(0)
    target = torch.rand(3, 2, 40, 40)
    reconstruction = (target + 0.1 * torch.randn_like(target)).clamp(0, 1).requires_grad_()
    loss = SSIMLoss(40)(reconstruction, target)
    loss.backward()
    losses = [SSIMLoss(40)(reconstruction[i : i + 1].detach(), target[i : i + 1]) for i in range(3)]
    assert loss.item() == pytest.approx(sum(losses).item() / 3, abs=1e-6)
    assert float(reconstruction.grad.abs().sum()) > 0


def test_the_loss_of_a_bfloat16_reconstruction_is_float32():
    torch.manual_seed(0)
    target = torch.rand(2, 3, 32, 32)
    reconstruction = torch.rand(2, 3, 32, 32).bfloat16().contiguous(memory_format=torch.channels_last)
    reconstruction.requires_grad_()
    loss = SSIMLoss(32)(reconstruction, target)
    assert loss.dtype == torch.float32
    loss.backward()
    exact = reconstruction.detach().float().requires_grad_()
    SSIMLoss(32)(exact, target).backward()
    assert reconstruction.grad.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(reconstruction.grad.float(), exact.grad, rtol=0.02, atol=1e-7)
