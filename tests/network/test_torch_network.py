import pytest
import torch
from torch import nn

from ssim_ae.network.architecture import layers, repair_layers
from ssim_ae.network.torch_network import Autoencoder
from ssim_ae.network.torch_ssim import CACHED, SSIMLoss


def table(channels: int):
    return layers(crop_size=32, channels=channels, z_dim=10, flc=4)


class AsAnyoneWould(nn.Module):
    """The same network of PyTorch's own layers, with the same weights."""

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
        made = {}
        for layer in self.table:
            if layer.skip:
                values = torch.cat([values, made[layer.skip]], dim=1)
            made[layer.name] = values = self.get_submodule(layer.name)(values)
        return values


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", ["reference", "repair"])
def test_equal_to_the_frameworks_own_layers_forward_and_backward(channels, method):
    torch.manual_seed(0)
    repairing = repair_layers(crop_size=128, channels=channels, flc=2)
    network = Autoencoder(repairing if method == "repair" else table(channels)).placed(torch.device("cpu"))
    plain = AsAnyoneWould(network)
    patches = torch.rand(5, channels, 32, 32, requires_grad=True)
    same = patches.detach().clone().requires_grad_()
    reconstruction, expected = network(patches), plain(same)
    assert torch.allclose(reconstruction, expected, atol=1e-5)
    for output in (reconstruction, expected):
        (output**2 * torch.linspace(0, 1, 32)).sum().backward()
    assert torch.allclose(patches.grad, same.grad, atol=1e-5)
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        # A unit at the kink of its activation may fall on either side of it
        assert torch.allclose(ours.grad, theirs.grad, atol=5e-3 * float(theirs.grad.abs().max()))


def test_without_onednn_the_same_is_computed(monkeypatch):
    network = Autoencoder(table(3)).placed(torch.device("cpu"))
    patches = torch.rand(2, 3, 32, 32)
    on_cpu = network(patches)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert torch.allclose(network(patches), on_cpu, atol=1e-5)


def test_patches_set_the_precision():
    network = Autoencoder(table(1)).placed(torch.device("cpu"))
    patches = torch.rand(4, 1, 32, 32)
    half = network(patches.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), network(patches), atol=0.02)
    half.float().mean().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in network.parameters())


@pytest.mark.parametrize("cached", [1, 3 * 40 * 40, 10**9])
def test_the_loss_does_not_depend_on_how_many_patches_are_handled_at_once(monkeypatch, cached):
    monkeypatch.setitem(CACHED, "cpu", cached)
    torch.manual_seed(0)
    target = torch.rand(3, 2, 40, 40)
    reconstruction = (target + 0.1 * torch.randn_like(target)).clamp(0, 1).requires_grad_()
    loss = SSIMLoss(40)(reconstruction, target)
    loss.backward()
    alone = [SSIMLoss(40)(reconstruction[i : i + 1].detach(), target[i : i + 1]) for i in range(3)]
    assert loss.item() == pytest.approx(sum(alone).item() / 3, abs=1e-6)
    assert float(reconstruction.grad.abs().sum()) > 0


def test_a_reconstruction_in_half_precision_has_its_loss_in_full():
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
