import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.morphology import remove_small_objects

from ssim_ae.maps.levels import LIMITS, levels
from ssim_ae.maps.residuals import Residuals, Thresholds, anomaly_map

SIZE = 48


def _maps(rng: np.random.Generator) -> Residuals:
    """Bumps of all heights and widths on a low ground."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    bumps = [
        height * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / width**2)
        for height, width, r, c in zip(
            rng.uniform(0.2, 12, 9), rng.uniform(3, 9, 9), *rng.integers(0, SIZE, (2, 9)), strict=True
        )
    ]
    ssim = (0.05 + np.sum(bumps, axis=0)).astype(np.float32)
    return Residuals(ssim, np.zeros_like(ssim), np.ones((SIZE, SIZE), bool))


@given(st.integers(0, 2**32 - 1))
def test_levels_are_exact_at_every_limit(seed):
    anomaly = anomaly_map(_maps(np.random.default_rng(seed)), Thresholds(1, 1))
    exceeded = levels(anomaly)
    for k in range(0, len(LIMITS), 7):
        assert np.array_equal(exceeded > k, anomaly > LIMITS[k])


def test_the_limit_of_a_detector_is_among_them():
    assert LIMITS[120] == 1 and LIMITS[0] == 0.125 and LIMITS[-1] == 8
    assert np.array_equal(levels(np.array([[1.0, np.nextafter(np.float32(1), 2)]], np.float32)), [[120, 121]])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_area", [120, 400])
def test_small_regions_are_left_out_at_every_limit(seed, min_area):
    maps = _maps(np.random.default_rng(seed))
    plain = anomaly_map(maps, Thresholds(1, 1))
    exceeded = levels(anomaly_map(maps, Thresholds(1, 1), min_area=min_area), min_area)
    for k in range(60, len(LIMITS), 5):
        kept = remove_small_objects(plain > LIMITS[k], max_size=min_area - 1, connectivity=2)
        assert np.array_equal(exceeded > k, kept), k
