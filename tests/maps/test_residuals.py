import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes
from skimage.measure import label
from skimage.metrics import structural_similarity
from skimage.morphology import disk

from ssim_ae.maps.residuals import Residuals, Thresholds, anomaly_map, foreground, level_of_area, residuals

thresholds = st.builds(Thresholds, st.floats(0.05, 1.5), st.floats(0.02, 0.8))


def random_maps(seed: int, size: int = 48) -> Residuals:
    rng = np.random.default_rng(seed)

    def blotches():
        coarse = rng.random((size // 4, size // 4), np.float32)
        return np.kron(coarse, np.ones((4, 4), np.float32)) + 0.3 * rng.random((size, size), np.float32)

    return Residuals(1.4 * blotches(), 0.7 * blotches(), blotches() > 0.3)


def reference_mask(maps: Residuals, limits: Thresholds) -> np.ndarray:
    """The reference's pipeline, literally: two thresholds, either one, background, opening with a disk."""
    mask = np.zeros(maps.ssim.shape, bool)
    mask[maps.ssim > limits.ssim] = True
    mask[maps.l1 > limits.l1] = True
    mask[~maps.foreground] = False
    return binary_dilation(binary_erosion(mask, disk(4), border_value=1), disk(4))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), thresholds)
def test_one_score_is_the_two_threshold_pipeline(seed, limits):
    maps = random_maps(seed)
    # The limits as float32 quotients see them: a residual within rounding of its threshold may fall either way.
    near = np.isclose(maps.ssim / np.float32(limits.ssim), 1, atol=1e-6) | np.isclose(
        maps.l1 / np.float32(limits.l1), 1, atol=1e-6
    )
    if near.any():
        return
    expected = reference_mask(maps, limits)
    opened = anomaly_map(maps, limits)
    assert np.array_equal(opened > 1, expected)
    assert (opened.max() > 1) == expected.any()


def test_residuals_are_the_references(rng):
    image = rng.random((3, 64, 64), np.float32)
    other = np.clip(image + rng.normal(0, 0.1, image.shape), 0, 1).astype(np.float32)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    ssim = 1 - structural_similarity(image, other, full=True, channel_axis=0, **options)[1].mean(axis=0)
    ssim[:5] *= 0.2
    ssim[-5:] *= 0.2
    ssim[5:-5, :5] *= 0.2
    ssim[5:-5, -5:] *= 0.2
    maps = residuals(image, other)
    assert np.abs(maps.ssim - ssim).max() < 1e-5
    assert np.allclose(maps.l1, np.abs(image - other).mean(axis=0))
    assert maps.foreground.all()


@pytest.mark.parametrize(("kind", "background"), [("W", 0.9), ("B", 0.1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_background_is_ignored_but_not_within_the_object(kind, background, channels):
    image = np.full((channels, 60, 60), background, np.float32)
    image[:, 10:50, 10:50] = 0.5
    image[:, 25:30, 25:30] = background
    expected = np.zeros((60, 60), bool)
    expected[10:50, 10:50] = True
    assert np.array_equal(foreground(image, kind), expected)
    assert np.array_equal(foreground(image, kind), binary_fill_holes(np.abs(image[0] - background) > 0.1))


def test_a_threshold_of_zero_calls_any_residual_a_defect():
    flat = np.full((32, 32), 1e-3, np.float32)
    maps = Residuals(flat, np.zeros_like(flat), np.ones_like(flat, bool))
    assert (anomaly_map(maps, Thresholds(0, 0)) > 1).all()
    nothing = Residuals(np.zeros_like(flat), np.zeros_like(flat), np.ones_like(flat, bool))
    assert not (anomaly_map(nothing, Thresholds(0, 0)) > 1).any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 300))
def test_small_regions_are_no_defects(seed, min_area):
    limits = Thresholds(1.1, 0.5)
    maps = random_maps(seed)
    plain = anomaly_map(maps, limits)
    regions = label(plain > 1, connectivity=2)
    sizes = np.bincount(regions.ravel())
    expected = (regions > 0) & (sizes[regions] >= min_area)
    filtered = anomaly_map(maps, limits, min_area=min_area)
    assert np.array_equal(filtered > 1, expected)
    assert (filtered <= plain).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 300))
def test_the_level_of_an_area(seed, min_area):
    opened = anomaly_map(random_maps(seed), Thresholds(1, 1))
    level = float(level_of_area(opened, min_area))

    def largest(limit):
        return np.bincount(label(opened > limit, connectivity=2).ravel())[1:].max(initial=0)

    assert largest(level) < min_area
    assert largest(level - 1e-4) >= min_area or level < 1e-4
