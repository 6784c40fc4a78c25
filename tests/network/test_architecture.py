from math import prod
from pathlib import Path

import pytest
import torch

from ssim_ae.config import CROP_SIZES
from ssim_ae.network.architecture import describe, layers, repair_layers, weight_shapes
from ssim_ae.network.torch_network import Autoencoder

PAPER = """
| Layer | Output size | Kernel | Stride | Padding |
|---|---|:---:|---|---|
| input | 128 x 128 x 1 | | | |
| conv1 | 64 x 64 x 32 | 4 x 4 | 2 | 1 |
| conv2 | 32 x 32 x 32 | 4 x 4 | 2 | 1 |
| conv3 | 32 x 32 x 32 | 3 x 3 | 1 | 1 |
| conv4 | 16 x 16 x 64 | 4 x 4 | 2 | 1 |
| conv5 | 16 x 16 x 64 | 3 x 3 | 1 | 1 |
| conv6 | 8 x 8 x 128 | 4 x 4 | 2 | 1 |
| conv7 | 8 x 8 x 64 | 3 x 3 | 1 | 1 |
| conv8 | 8 x 8 x 32 | 3 x 3 | 1 | 1 |
| conv9 | 1 x 1 x 100 | 8 x 8 | 1 | 0 |
| conv_trans1 | 8 x 8 x 32 | 8 x 8 | 1 | 0 |
| conv10 | 8 x 8 x 64 | 3 x 3 | 1 | 1 |
| conv11 | 8 x 8 x 128 | 3 x 3 | 1 | 1 |
| conv_trans2 | 16 x 16 x 64 | 4 x 4 | 2 | 1 |
| conv12 | 16 x 16 x 64 | 3 x 3 | 1 | 1 |
| conv_trans3 | 32 x 32 x 32 | 4 x 4 | 2 | 1 |
| conv13 | 32 x 32 x 32 | 3 x 3 | 1 | 1 |
| conv_trans4 | 64 x 64 x 32 | 4 x 4 | 2 | 1 |
| conv_trans5 | 128 x 128 x 1 | 4 x 4 | 2 | 1 |
"""


def table(crop_size=128, channels=1, z_dim=100, flc=32):
    return layers(crop_size=crop_size, channels=channels, z_dim=z_dim, flc=flc)


def test_the_table_is_that_of_the_paper_and_the_documentation():
    assert describe(table(), 128) == PAPER.strip()
    document = Path(__file__).parents[2] / "docs" / "architecture.md"
    assert PAPER.strip() in document.read_text()


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 1_048_549), ({"crop_size": 256, "channels": 3, "z_dim": 500}, 2_722_231)],
)
def test_parameter_counts_equal_those_of_the_reference(options, parameters):
    shapes = weight_shapes(table(**options))
    assert sum(map(prod, shapes.values())) == parameters
    network = Autoencoder(table(**options))
    assert {name: tuple(value.shape) for name, value in network.named_parameters()} == shapes


@pytest.mark.parametrize("crop_size", CROP_SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_have_the_shape_and_range_of_the_patches(crop_size, channels):
    network = Autoencoder(table(crop_size, channels, z_dim=5, flc=2))
    with torch.no_grad():
        reconstruction = network(torch.rand(2, channels, crop_size, crop_size))
    assert reconstruction.shape == (2, channels, crop_size, crop_size)
    assert reconstruction.min() >= 0 and reconstruction.max() <= 1


@pytest.mark.parametrize("crop_size", CROP_SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_of_the_method_repair_have_the_shape_of_the_patches(crop_size, channels):
    repair_table = repair_layers(crop_size=crop_size, channels=channels, flc=2)
    network = Autoencoder(repair_table)
    with torch.no_grad():
        assert network(torch.rand(2, channels, crop_size, crop_size)).shape == (2, channels, crop_size, crop_size)
    skips = [layer.skip for layer in repair_table if layer.skip]
    assert (
        skips
        == {32: [], 64: ["down2"], 128: ["down3", "down2"], 256: ["down4", "down3"], 512: ["down5", "down4"]}[crop_size]
    )
    assert repair_table[-1].activation == "linear"


@pytest.mark.parametrize("crop_size", [8, 16, 48, 100])
def test_other_sizes_are_an_error(crop_size):
    with pytest.raises(ValueError, match="8 \\* 2\\^k"):
        table(crop_size)
    with pytest.raises(ValueError, match="8 \\* 2\\^k"):
        repair_layers(crop_size=crop_size, channels=1, flc=2)


def test_the_code_layer_is_linear_and_the_output_a_sigmoid():
    activations = {layer.name: layer.activation for layer in table()}
    assert activations.pop("conv9") == "linear" and activations.pop("conv_trans5") == "sigmoid"
    assert set(activations.values()) == {"leaky_relu"}


def test_initial_weights_are_xavier_uniform_and_biases_zero():
    torch.manual_seed(0)
    network = Autoencoder(table())
    weight = network.get_parameter("conv5.weight")
    bound = (6 / (64 * 9 + 64 * 9)) ** 0.5
    assert 0.98 * bound < weight.abs().max() <= bound
    assert not any(value.any() for name, value in network.named_parameters() if name.endswith("bias"))
