import pytest
import torch

from ssim_ae.methods.reference import autoencoder_layers
from ssim_ae.methods.repair import unet_layers
from ssim_ae.network.architecture import halvings, weight_shapes
from ssim_ae.network.torch_network import Autoencoder


def table(crop_size=128, channels=1, z_dim=100, flc=32):
    return autoencoder_layers(crop_size=crop_size, channels=channels, z_dim=z_dim, flc=flc)


@pytest.mark.parametrize(
    "layers",
    [table(), table(crop_size=256, channels=3, z_dim=500), unet_layers(crop_size=128, channels=3, flc=4)],
    ids=["reference", "reference-256", "repair"],
)
def test_weight_shapes_are_those_of_the_network(layers):
    network = Autoencoder(layers)
    assert {name: tuple(value.shape) for name, value in network.named_parameters()} == weight_shapes(layers)


@pytest.mark.parametrize(("crop_size", "count"), [(32, 2), (64, 3), (128, 4), (256, 5), (512, 6)])
def test_patches_are_halved_down_to_the_size_of_the_code(crop_size, count):
    assert halvings(crop_size) == count


@pytest.mark.parametrize("crop_size", [8, 16, 48, 100])
def test_other_sizes_are_an_error(crop_size):
    with pytest.raises(ValueError, match="8 \\* 2\\^k"):
        halvings(crop_size)


def test_initial_weights_are_xavier_uniform_and_biases_zero():
    torch.manual_seed(0)
    network = Autoencoder(table())
    weight = network.get_parameter("conv5.weight")
    bound = (6 / (64 * 9 + 64 * 9)) ** 0.5
    assert 0.98 * bound < weight.abs().max() <= bound
    assert not any(value.any() for name, value in network.named_parameters() if name.endswith("bias"))
