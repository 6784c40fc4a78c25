import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from ssim_ae.network.ssim import WINDOW, gaussian_matrix, ssim_residual
from ssim_ae.network.torch_ssim import SSIMLoss

sides = st.integers(WINDOW, 90)


def independent_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """scikit-image's SSIM map, borders mirrored."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return structural_similarity(x.astype(np.float64), y.astype(np.float64), full=True, **options)[1]


def pair(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((height, width), np.float32)
    return x, np.clip(x + rng.normal(0, 0.2, x.shape), 0, 1).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.integers(0, 99))
def test_equal_to_an_independent_implementation(height, width, seed):
    x, y = pair(height, width, seed)
    expected = independent_map(x, y)
    inner = 1 - ssim_residual(x[None], y[None], border="valid")[0]
    assert np.abs(inner - expected[5:-5, 5:-5]).max() < 1e-5
    assert np.abs(1 - ssim_residual(x[None], y[None])[0] - expected).max() < 1e-5


@pytest.mark.parametrize("size", [11, 12, 32, 128, 256])
def test_the_loss_is_one_minus_the_mean(size):
    pairs = [pair(size, size, seed) for seed in range(3)]
    x, y = (torch.from_numpy(np.stack(images)[:, None]) for images in zip(*pairs, strict=True))
    expected = np.mean([independent_map(*images)[5 : size - 5, 5 : size - 5].mean() for images in pairs])
    assert float(SSIMLoss(size)(x, y)) == pytest.approx(1 - expected, abs=1e-5)


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    x = torch.rand(1, 2, 13, 13, dtype=torch.float64, requires_grad=True)
    y = torch.rand(1, 2, 13, 13, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda image: SSIMLoss(13)(image, y), x, atol=1e-6)


def test_identical_images_have_no_loss():
    x = torch.rand(2, 3, 32, 32)
    assert abs(float(SSIMLoss(32)(x, x))) < 1e-6


def test_the_order_of_the_two_does_not_matter():
    x, y = (image[None] for image in pair(40, 50, 1))
    assert np.allclose(ssim_residual(x, y), ssim_residual(y, x), atol=1e-6)


def test_a_line_shorter_than_the_window_is_refused():
    with pytest.raises(ValueError, match="at least 11 px"):
        gaussian_matrix(10)


def test_flat_bright_images_are_as_exact_as_others():
    """Naively, variances come out of squares near 1 and lose four digits."""
    rng = np.random.default_rng(0)
    x, y = (np.clip(0.95 + 0.01 * rng.standard_normal((64, 64)), 0, 1).astype(np.float32) for _ in range(2))
    assert np.abs(1 - ssim_residual(x[None], y[None])[0] - independent_map(x, y)).max() < 1e-6


def test_what_is_nearly_the_same_differs_by_nearly_nothing():
    """Of squares near 1 the naive difference would be rounding alone."""
    rng = np.random.default_rng(0)
    x = np.where(np.arange(64) < 32, 0.02, 0.98) * np.ones((64, 64))
    y = x + 1e-3 * rng.standard_normal(x.shape)
    expected = 1 - independent_map(x, y)
    found = ssim_residual(x[None].astype(np.float32), y[None].astype(np.float32))[0]
    assert np.abs(found - expected).max() < 1e-6
