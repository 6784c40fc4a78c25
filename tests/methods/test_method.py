"""Properties of all methods: the anomaly map agrees with the pipeline of thresholds that it replaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion
from skimage.measure import label
from skimage.morphology import disk

from ssim_ae.maps.residuals import Residuals, foreground_mask
from ssim_ae.methods import get_method, methods

SIZE = 48
seeds = st.integers(0, 10_000)
thresholds = st.tuples(st.floats(0.05, 1.5), st.floats(0.02, 0.8))
METHODS = [method.name for method in methods()]


def random_residuals(seed: int, count: int = 2) -> Residuals:
    rng = np.random.default_rng(seed)

    def blotches():
        coarse = rng.random((SIZE // 4, SIZE // 4), np.float32)
        return np.kron(coarse, np.ones((4, 4), np.float32)) + 0.3 * rng.random((SIZE, SIZE), np.float32)

    return Residuals(np.stack([1.4 * blotches(), 0.7 * blotches()])[:count], blotches() > 0.3)


def reference_mask(residuals: Residuals, ratios: np.ndarray) -> np.ndarray:
    """Return the mask of the reference's pipeline: either residual above its threshold, foreground, opening."""
    mask = np.zeros(residuals.weights.shape, bool)
    mask[ratios[0] > 1] = True
    mask[ratios[1] > 1] = True
    mask[~residuals.weights] = False
    return binary_dilation(binary_erosion(mask, disk(4), border_value=1), disk(4))


def repair_mask(residuals: Residuals, ratios: np.ndarray) -> np.ndarray:
    """Return the pixels of the foreground where both residuals, as shares of their thresholds, sum to more than 1."""
    return (ratios[0] + ratios[1] > 1) & residuals.weights


def features_mask(residuals: Residuals, ratios: np.ndarray) -> np.ndarray:
    """Return the pixels of the foreground whose distance is above the threshold."""
    return (ratios[0] > 1) & residuals.weights


def near_threshold(method: str, ratios: np.ndarray) -> bool:
    """Return whether rounding to float32 could move a pixel across the threshold."""
    values = ratios[0] + ratios[1] if method == "repair" else ratios
    return bool(np.isclose(values, 1, rtol=0, atol=1e-6).any())


@pytest.mark.parametrize(
    ("method", "expected_mask"), [("reference", reference_mask), ("repair", repair_mask), ("features", features_mask)]
)
@settings(deadline=None, max_examples=60)
@given(seeds, thresholds)
def test_pixels_above_one_are_the_mask_of_the_two_threshold_pipeline(method, expected_mask, seed, thresholds):
    count = len(get_method(method).residual_names)
    residuals, values = random_residuals(seed, count), thresholds[:count]
    ratios = residuals.maps / np.float64(values)[:, None, None]
    if near_threshold(method, ratios):
        return
    expected = expected_mask(residuals, ratios)
    anomaly = get_method(method).anomaly_map(residuals, get_method(method).thresholds(values))
    assert anomaly.dtype == np.float32 and anomaly.min() >= 0
    assert np.array_equal(anomaly > 1, expected)
    assert (anomaly.max() > 1) == expected.any()


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(2, 300))
def test_regions_of_less_than_the_minimum_area_are_no_defects(method, seed, min_area):
    anomaly_map, count = get_method(method).anomaly_map, len(get_method(method).residual_names)
    residuals, limits = random_residuals(seed, count), get_method(method).thresholds([1.1, 0.5][:count])
    plain = anomaly_map(residuals, limits)
    regions = label(plain > 1, connectivity=2)
    sizes = np.bincount(regions.ravel())
    expected = (regions > 0) & (sizes[regions] >= min_area)
    limited = anomaly_map(residuals, limits, min_area=min_area)
    assert np.array_equal(limited > 1, expected)
    assert (limited <= plain).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_residual_is_above_a_threshold_of_zero(method):
    anomaly_map, count = get_method(method).anomaly_map, len(get_method(method).residual_names)
    zeros, foreground = np.zeros((count, 32, 32), np.float32), np.ones((32, 32), bool)
    one_positive = zeros.copy()
    one_positive[0] = 1e-3
    thresholds = get_method(method).thresholds([0.0] * count)
    assert (anomaly_map(Residuals(one_positive, foreground), thresholds) > 1).all()
    assert not (anomaly_map(Residuals(zeros, foreground), thresholds) > 1).any()


@pytest.mark.parametrize("method", METHODS)
def test_residuals_are_the_methods_maps_with_the_foreground(method, rng):
    image = rng.random((3, 64, 64), np.float32)
    image[:, :, :20] = 1
    output = rng.random(image.shape if get_method(method).reconstructs else (1, 16, 16), np.float32)
    residuals = get_method(method).residuals(image, output, "W")
    assert np.array_equal(residuals.maps, get_method(method).residual_maps(image, output))
    assert residuals.maps.shape == (len(get_method(method).residual_names), 64, 64)
    assert residuals.maps.dtype == np.float32 and residuals.size == (64, 64)
    assert np.array_equal(residuals.weights, foreground_mask(image, "W")) and not residuals.weights[:, :20].any()
    assert get_method(method).residuals(image, output).weights.all()
