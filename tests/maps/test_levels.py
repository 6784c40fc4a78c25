import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.morphology import remove_small_objects

from ssim_ae.maps.levels import LEVEL_THRESHOLDS, anomaly_levels, levels_image, read_levels_image
from ssim_ae.maps.residuals import Residuals
from ssim_ae.methods import get_method

SIZE = 48
THRESHOLDS = {"ssim": 1.0, "l1": 1.0}


def _maps(rng: np.random.Generator) -> Residuals:
    """Return an SSIM residual map with bumps of random heights and widths on a low background."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    bumps = [
        height * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / width**2)
        for height, width, r, c in zip(
            rng.uniform(0.2, 12, 9), rng.uniform(3, 9, 9), *rng.integers(0, SIZE, (2, 9)), strict=True
        )
    ]
    ssim = (0.05 + np.sum(bumps, axis=0)).astype(np.float32)
    return Residuals(np.stack([ssim, np.zeros_like(ssim)]), np.ones((SIZE, SIZE), bool))


@given(st.integers(0, 2**32 - 1))
def test_levels_are_exact_at_every_threshold(seed):
    anomaly = get_method("reference").anomaly_map(_maps(np.random.default_rng(seed)), THRESHOLDS)
    levels = anomaly_levels(anomaly)
    for k in range(0, len(LEVEL_THRESHOLDS), 7):
        assert np.array_equal(levels > k, anomaly > LEVEL_THRESHOLDS[k])


@given(st.integers(0, 2**32 - 1))
def test_the_map_that_is_read_from_the_image_exceeds_the_same_thresholds(seed):
    levels = np.random.default_rng(seed).integers(0, len(LEVEL_THRESHOLDS) + 1, (SIZE, SIZE), np.uint8)
    truth = levels % 3 == 0
    anomaly, read_truth = read_levels_image(levels_image(levels, truth))
    assert np.array_equal(anomaly_levels(anomaly), levels) and anomaly.dtype == np.float32
    assert np.array_equal(anomaly == 0, levels == 0)
    assert np.array_equal(read_truth, truth)
    assert not read_levels_image(levels_image(levels))[1].any()


def test_the_default_threshold_is_level_120():
    assert LEVEL_THRESHOLDS[120] == 1 and LEVEL_THRESHOLDS[0] == 0.125 and LEVEL_THRESHOLDS[-1] == 8
    assert np.array_equal(anomaly_levels(np.array([[1.0, np.nextafter(np.float32(1), 2)]], np.float32)), [[120, 121]])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_area", [120, 400])
def test_small_regions_are_removed_at_every_threshold(seed, min_area):
    maps = _maps(np.random.default_rng(seed))
    anomaly_map = get_method("reference").anomaly_map
    plain = anomaly_map(maps, THRESHOLDS)
    levels = anomaly_levels(anomaly_map(maps, THRESHOLDS, min_area=min_area), min_area)
    for k in range(60, len(LEVEL_THRESHOLDS), 5):
        kept = remove_small_objects(plain > LEVEL_THRESHOLDS[k], max_size=min_area - 1, connectivity=2)
        assert np.array_equal(levels > k, kept), k
