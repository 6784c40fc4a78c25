import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter as gaussian_of_scipy
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional

from ssim_ae.network.ssim import SIGMA, WINDOW, gaussian_filter, gaussian_matrix, ssim_residual
from ssim_ae.network.torch_ssim import SSIMLoss

sides = st.integers(WINDOW, 90)


def skimage_ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The SSIM map of scikit-image, with mirrored borders."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return structural_similarity(x.astype(np.float64), y.astype(np.float64), full=True, **options)[1]


def direct_ssim(x: Tensor, y: Tensor) -> Tensor:
    """The formula of SSIM as it is printed: (B, C, H, W) -> (B, C, H - 10, W - 10)."""
    taps = torch.exp(-((torch.arange(WINDOW) - 5).double() ** 2) / (2 * SIGMA**2))
    window = torch.outer(taps, taps) / taps.sum() ** 2

    def local_mean(images: Tensor) -> Tensor:
        planes = functional.conv2d(images.flatten(0, 1)[:, None], window[None, None])
        return planes[:, 0].unflatten(0, images.shape[:2])

    c1, c2 = 0.01**2, 0.03**2
    mu_x, mu_y = local_mean(x), local_mean(y)
    sigma_x2, sigma_y2 = local_mean(x * x) - mu_x**2, local_mean(y * y) - mu_y**2
    sigma_xy = local_mean(x * y) - mu_x * mu_y
    numerator = (2 * mu_x * mu_y + c1) * (2 * sigma_xy + c2)
    return numerator / ((mu_x**2 + mu_y**2 + c1) * (sigma_x2 + sigma_y2 + c2))


def pair(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((height, width), np.float32)
    return x, np.clip(x + rng.normal(0, 0.2, x.shape), 0, 1).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.integers(0, 99))
def test_ssim_equals_that_of_scikit_image(height, width, seed):
    x, y = pair(height, width, seed)
    expected = skimage_ssim(x, y)
    inner = 1 - ssim_residual(x[None], y[None], border="valid")[0]
    assert np.abs(inner - expected[5:-5, 5:-5]).max() < 1e-5
    assert np.abs(1 - ssim_residual(x[None], y[None])[0] - expected).max() < 1e-5


@settings(deadline=None, max_examples=20)
@given(sides, sides, st.integers(0, 99))
def test_the_residual_equals_the_direct_formula(height, width, seed):
    x, y = pair(height, width, seed)
    expected = 1 - direct_ssim(*(torch.from_numpy(image).double()[None, None] for image in (x, y)))[0, 0]
    residual = ssim_residual(x[None], y[None], border="valid")[0]
    assert np.abs(residual - expected.numpy()).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 1, 11, 11), (2, 3, 32, 32), (16, 1, 128, 128)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-5)])
def test_loss_and_gradient_equal_those_of_the_direct_formula(shape, dtype, tolerance):
    torch.manual_seed(0)
    y = torch.rand(shape, dtype=dtype)
    x = (y + 0.2 * torch.randn(shape, dtype=dtype)).clamp(0, 1).requires_grad_()
    loss = SSIMLoss(shape[-1])(x, y)
    loss.backward()
    direct_x = x.detach().double().requires_grad_()
    expected = 1 - direct_ssim(direct_x, y.double()).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=tolerance)
    difference = float((x.grad - direct_x.grad).abs().max())
    assert difference < tolerance * float(direct_x.grad.abs().max())


@pytest.mark.parametrize("size", [11, 12, 32, 128, 256])
def test_the_loss_is_one_minus_the_mean_ssim(size):
    pairs = [pair(size, size, seed) for seed in range(3)]
    x, y = (torch.from_numpy(np.stack(images)[:, None]) for images in zip(*pairs, strict=True))
    expected = np.mean([skimage_ssim(*images)[5 : size - 5, 5 : size - 5].mean() for images in pairs])
    assert float(SSIMLoss(size)(x, y)) == pytest.approx(1 - expected, abs=1e-5)


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    x = torch.rand(1, 2, 13, 13, dtype=torch.float64, requires_grad=True)
    y = torch.rand(1, 2, 13, 13, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda image: SSIMLoss(13)(image, y), x, atol=1e-6)


def test_identical_images_have_loss_zero():
    x = torch.rand(2, 3, 32, 32)
    assert abs(float(SSIMLoss(32)(x, x))) < 1e-6


def test_the_residual_is_symmetric():
    x, y = (image[None] for image in pair(40, 50, 1))
    assert np.allclose(ssim_residual(x, y), ssim_residual(y, x), atol=1e-6)


def test_a_line_shorter_than_the_window_is_an_error():
    with pytest.raises(ValueError, match="window of 11 px"):
        gaussian_matrix(10)


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.2, 10])
def test_the_gaussian_filter_agrees_with_scipy(rng, sigma):
    maps = rng.random((2, 90, 75), np.float32)
    expected = [gaussian_of_scipy(plane, sigma, truncate=np.ceil(3 * sigma) / sigma) for plane in maps]
    assert np.allclose(gaussian_filter(maps, sigma), expected, atol=1e-6)


def test_flat_bright_images_lose_no_precision():
    """Without the offset, variances would be differences of squares near 1 and lose four digits."""
    rng = np.random.default_rng(0)
    x, y = (np.clip(0.95 + 0.01 * rng.standard_normal((64, 64)), 0, 1).astype(np.float32) for _ in range(2))
    assert np.abs(1 - ssim_residual(x[None], y[None])[0] - skimage_ssim(x, y)).max() < 1e-6


def test_nearly_identical_images_lose_no_precision():
    """Computed as 1 - SSIM, the residual would consist of rounding errors."""
    rng = np.random.default_rng(0)
    x = np.where(np.arange(64) < 32, 0.02, 0.98) * np.ones((64, 64))
    y = x + 1e-3 * rng.standard_normal(x.shape)
    expected = 1 - skimage_ssim(x, y)
    residual = ssim_residual(x[None].astype(np.float32), y[None].astype(np.float32))[0]
    assert np.abs(residual - expected).max() < 1e-6
