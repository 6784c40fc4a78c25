import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.measure import block_reduce
from skimage.metrics import structural_similarity

from ssim_ae import Config
from ssim_ae.config.settings import CROP_SIZES
from ssim_ae.images.size import Size
from ssim_ae.maps.residuals import Residuals
from ssim_ae.methods.repair import EXCLUDED_BORDER, METHOD, reduction, unet_layers
from ssim_ae.network.torch_network import Autoencoder

SKIPS = {32: [], 64: ["down2"], 128: ["down3", "down2"], 256: ["down4", "down3"], 512: ["down5", "down4"]}


@pytest.fixture(params=[64, 256])
def pair(rng, request):
    """An image and its reconstruction."""
    image = rng.random((3, request.param, request.param), np.float32)
    return image, np.clip(image + rng.normal(0, 0.1, image.shape), 0, 1).astype(np.float32)


def expected_residuals(image, reconstruction):
    """Return smoothed SSIM residuals at half or a quarter of the size, and smoothed L1 residuals, by scikit-image."""
    size = image.shape[-1]
    factor = 2 if size == 64 else 4
    inner = np.zeros((size, size), bool)
    inner[EXCLUDED_BORDER:-EXCLUDED_BORDER, EXCLUDED_BORDER:-EXCLUDED_BORDER] = True
    compared = np.where(inner, reconstruction, image)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "full": True}
    x, y = (block_reduce(planes.astype(float), (1, factor, factor), np.mean) for planes in (image, compared))
    ssim = np.mean([structural_similarity(*planes, **options)[1] for planes in zip(x, y, strict=True)], axis=0)
    maps = np.kron(1 - ssim, np.ones((factor, factor))), np.abs(image - compared).mean(axis=0)
    return [gaussian_filter(residual, 1.5, truncate=3.5) for residual in maps]


def test_residuals_agree_with_scikit_image(pair):
    residuals = METHOD.residuals(*pair)
    for actual, expected in zip(residuals.maps, expected_residuals(*pair), strict=True):
        assert actual.shape == pair[0].shape[1:] and np.abs(actual - expected).max() < 2e-5
    assert residuals.weights.all()


def test_the_border_is_not_compared(pair):
    image, _ = pair
    reconstruction = image.copy()
    reconstruction[:, :EXCLUDED_BORDER] = reconstruction[:, :, -EXCLUDED_BORDER:] = 0
    residuals = METHOD.residuals(image, reconstruction)
    ssim, l1 = residuals.maps
    assert ssim.max() < 1e-6 and l1.max() == 0


def test_residuals_are_added(rng):
    ssim, l1 = rng.random((2, 64, 64), np.float32)
    residuals = Residuals(np.stack([ssim, l1]), np.arange(64 * 64).reshape(64, 64) > 100)
    anomaly = METHOD.anomaly_map(residuals, METHOD.thresholds([2, 4]))
    assert np.allclose(anomaly, (ssim / 2 + l1 / 4) * residuals.weights)


@pytest.mark.parametrize("crop_size", CROP_SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_have_the_shape_of_the_patches(crop_size, channels):
    table = unet_layers(crop_size=crop_size, channels=channels, flc=2)
    network = Autoencoder(table)
    with torch.no_grad():
        assert network(torch.rand(2, channels, crop_size, crop_size)).shape == (2, channels, crop_size, crop_size)
    assert [layer.skip for layer in table if layer.skip] == SKIPS[crop_size]
    assert table[-1].activation == "linear"


def test_layer_table_follows_the_settings():
    config = Config(method="repair", im_resize=64, crop_size=32, flc=4, grayscale=True)
    assert METHOD.layers(config) == unet_layers(crop_size=32, channels=1, flc=4)


@pytest.mark.parametrize(("size", "factor"), [((255, 256), 2), ((256, 256), 4), ((128, 496), 2), ((512, 128), 4)])
def test_the_scale_of_the_comparison_depends_on_the_number_of_pixels(size, factor):
    assert reduction(Size(*size)) == factor


@pytest.mark.parametrize("crop_size", [8, 16, 48, 100])
def test_other_crop_sizes_are_an_error(crop_size):
    with pytest.raises(ValueError, match="8 \\* 2\\^k"):
        unet_layers(crop_size=crop_size, channels=1, flc=2)


def test_every_patch_gets_a_corruption(rng):
    corruption = METHOD.draw_corruption(10, 3, rng)
    assert len(corruption) == 10 and set(corruption.piece_image) <= {0, 1, 2}
