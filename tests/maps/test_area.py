import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from ssim_ae.maps.area import level_of_area, limit_to_area
from ssim_ae.maps.regions import opening

seeds = st.integers(0, 10_000)


def random_map(seed: int, size: int = 48) -> np.ndarray:
    """Return an anomaly map (size, size) with regions of many sizes."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.random((size // 4, size // 4), np.float32), np.ones((4, 4), np.float32))
    return opening(1.4 * blocks + 0.4 * rng.random((size, size), np.float32))


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 300))
def test_no_region_above_the_level_of_an_area_has_that_area(seed, min_area):
    anomaly = random_map(seed)
    level = float(level_of_area(anomaly, min_area))

    def largest_area(threshold):
        return np.bincount(label(anomaly > threshold, connectivity=2).ravel())[1:].max(initial=0)

    assert largest_area(level) < min_area
    assert largest_area(level - 1e-4) >= min_area or level < 1e-4


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(1, 300))
def test_regions_above_one_have_the_minimum_area(seed, min_area):
    anomaly = random_map(seed)
    regions = label(anomaly > 1, connectivity=2)
    sizes = np.bincount(regions.ravel())
    limited = limit_to_area(anomaly, min_area)
    assert np.array_equal(limited > 1, (regions > 0) & (sizes[regions] >= min_area))
    assert (limited <= anomaly).all() and limited.dtype == np.float32


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(2, 300))
def test_maximum_of_a_limited_map_is_the_level_of_the_area(seed, min_area):
    anomaly = random_map(seed)
    level = level_of_area(anomaly, min_area)
    below = level - limit_to_area(anomaly, min_area).max()
    assert 0 <= below <= 1e-6 * max(anomaly.max(), 1), "within the error of the level"


def test_a_minimum_area_of_one_changes_nothing():
    anomaly = random_map(0)
    assert limit_to_area(anomaly, 1) is anomaly
