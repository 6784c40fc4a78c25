from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from ssim_ae import Config
from ssim_ae.config.settings import CROP_SIZES
from ssim_ae.methods.reference import BORDER_WEIGHT, DAMPED_BORDER, METHOD, autoencoder_layers, damp_border
from ssim_ae.network.architecture import describe, weight_shapes
from ssim_ae.network.ssim import gaussian_filter
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
    return autoencoder_layers(crop_size=crop_size, channels=channels, z_dim=z_dim, flc=flc)


@pytest.mark.parametrize(
    ("size", "texture", "sigma"),
    [((352, 512), True, 8.491), (128, True, 2.56), (128, False, 0), (128, None, 0), ((32, 4096), True, 4.167)],
)
def test_residuals_of_a_texture_are_smoothed(size, texture, sigma, rng):
    config = Config(method="reference", im_resize=size, crop_size=32, stride=32, texture=texture)
    assert METHOD.smoothing(config) == pytest.approx(sigma, abs=1e-3)
    image, other = rng.random((2, 1, *config.view_size), np.float32)
    smoothed = METHOD.residuals(image, other, smoothing=METHOD.smoothing(config)).maps
    plain = METHOD.residuals(image, other).maps
    assert np.array_equal(smoothed, gaussian_filter(plain, METHOD.smoothing(config)) if sigma else plain)


def test_residuals_agree_with_scikit_image(rng):
    image = rng.random((3, 64, 64), np.float32)
    other = np.clip(image + rng.normal(0, 0.1, image.shape), 0, 1).astype(np.float32)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = 1 - structural_similarity(image, other, full=True, channel_axis=0, **options)[1].mean(axis=0)
    expected[:5] *= 0.2
    expected[-5:] *= 0.2
    expected[5:-5, :5] *= 0.2
    expected[5:-5, -5:] *= 0.2
    residuals = METHOD.residuals(image, other)
    ssim, l1 = residuals.maps
    assert np.abs(ssim - expected).max() < 1e-5
    assert np.allclose(l1, np.abs(image - other).mean(axis=0))
    assert residuals.weights.all()


def test_border_damping_reduces_the_border_alone(rng):
    residual = rng.random((32, 32), np.float32)
    before = residual.copy()
    damped = damp_border(residual)
    inner = np.zeros((32, 32), bool)
    inner[DAMPED_BORDER:-DAMPED_BORDER, DAMPED_BORDER:-DAMPED_BORDER] = True
    assert np.array_equal(damped[inner], residual[inner])
    assert np.array_equal(damped[~inner], residual[~inner] * np.float32(BORDER_WEIGHT))
    assert np.array_equal(residual, before) and damped.dtype == np.float32


def test_residuals_are_combined_by_their_maximum(rng):
    ssim, l1 = rng.random((2, 16, 16), np.float32)
    assert np.array_equal(METHOD.combine(np.stack([ssim, l1])), np.where(ssim > l1, ssim, l1))


def test_layer_table_is_that_of_the_paper_and_the_documentation():
    assert describe(table(), 128) == PAPER.strip()
    document = Path(__file__).parents[2] / "docs" / "architecture.md"
    assert PAPER.strip() in document.read_text()


def test_layer_table_follows_the_settings():
    config = Config(method="reference", im_resize=64, crop_size=32, z_dim=8, flc=4, grayscale=True)
    assert METHOD.layers(config) == table(32, 1, z_dim=8, flc=4)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 1_048_549), ({"crop_size": 256, "channels": 3, "z_dim": 500}, 2_722_231)],
)
def test_parameter_counts_equal_those_of_the_reference(options, parameters):
    assert sum(map(prod, weight_shapes(table(**options)).values())) == parameters


@pytest.mark.parametrize("crop_size", CROP_SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_have_the_shape_and_range_of_the_patches(crop_size, channels):
    network = Autoencoder(table(crop_size, channels, z_dim=5, flc=2))
    with torch.no_grad():
        reconstruction = network(torch.rand(2, channels, crop_size, crop_size))
    assert reconstruction.shape == (2, channels, crop_size, crop_size)
    assert reconstruction.min() >= 0 and reconstruction.max() <= 1


@pytest.mark.parametrize("crop_size", [8, 16, 48, 100])
def test_other_crop_sizes_are_an_error(crop_size):
    with pytest.raises(ValueError, match="8 \\* 2\\^k"):
        table(crop_size)


def test_the_code_layer_is_linear_and_the_output_a_sigmoid():
    activations = {layer.name: layer.activation for layer in table()}
    assert activations.pop("conv9") == "linear" and activations.pop("conv_trans5") == "sigmoid"
    assert set(activations.values()) == {"leaky_relu"}
