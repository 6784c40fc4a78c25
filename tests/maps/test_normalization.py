import numpy as np
import pytest

from ssim_ae.images.size import Size
from ssim_ae.maps.normalization import CROSS_FITTING_FOLDS, GRID_SIZE, NormalStatistics, cross_normalize, normalize
from ssim_ae.maps.residuals import Residuals

SIZE = Size(48, 64)
FOREGROUND = np.ones(SIZE, bool)


def good_images(rng, count):
    """Return residuals that are higher on the left."""
    level = np.where(np.arange(SIZE.width) < SIZE.width // 2, 0.4, 0.1).astype(np.float32)
    ssim = [(level * rng.uniform(0.8, 1.2, SIZE)).astype(np.float32) for _ in range(count)]
    return [Residuals(np.stack([residual, residual / 4]), FOREGROUND) for residual in ssim]


def test_statistics_are_the_mean_plus_two_standard_deviations(rng):
    constant = [np.broadcast_to(np.float32(level), (2, *SIZE)) for level in rng.normal(3, 0.5, 500)]
    good = [Residuals(maps, FOREGROUND) for maps in constant]
    assert NormalStatistics.fit(good).grids == pytest.approx(np.full((2, GRID_SIZE, GRID_SIZE), 4), rel=0.05)
    assert NormalStatistics.fit(good[:1]).grids == pytest.approx(good[0].maps[:, :GRID_SIZE, :GRID_SIZE])


def test_normalized_residuals_are_divided_by_the_location_plus_the_overall_mean(rng):
    good = good_images(rng, 1)
    statistics = NormalStatistics.fit(good)
    assert statistics.grids.shape == (2, GRID_SIZE, GRID_SIZE) and statistics.grids.dtype == np.float32
    scale = statistics.scale(SIZE)
    left, right = scale[0, :, 8].mean(), scale[0, :, -8].mean()
    assert (left, right) == pytest.approx((0.4 + 0.25, 0.1 + 0.25), rel=0.02)
    normalized = normalize(good[0], scale)
    ssim, l1 = normalized.maps
    assert ssim[:, :16].mean() == pytest.approx(0.4 / 0.65, rel=0.05)
    assert np.allclose(ssim, l1, rtol=1e-3)
    assert normalized.weights is good[0].weights


def test_all_locations_of_a_texture_share_their_statistics(rng):
    good = good_images(rng, 12)
    grids = NormalStatistics.fit(good, texture=True).grids
    assert grids.shape == (2, GRID_SIZE, GRID_SIZE) and np.ptp(grids[0]) < 1e-6
    assert grids[0, 0, 0] == pytest.approx(0.25, rel=0.02), "the mean of 0.4 and 0.1; images hardly vary"
    left, right = (cross_normalize(good, texture=True)[0].maps[0][:, columns].mean() for columns in (0, -1))
    assert left / right == pytest.approx(4, rel=0.1)


def test_scale_of_zero_residuals_is_positive():
    zero = Residuals(np.zeros((2, *SIZE), np.float32), FOREGROUND)
    assert NormalStatistics.fit([zero]).scale(SIZE).min() > 0


def test_cross_normalization_uses_the_other_folds(rng):
    good = good_images(rng, 11)
    outlier = good[0]._replace(maps=good[0].maps + 10)
    normalized = cross_normalize([outlier, *good[1:]])
    other_folds = [good[index] for index in range(11) if index % CROSS_FITTING_FOLDS]
    expected = normalize(outlier, NormalStatistics.fit(other_folds).scale(SIZE))
    assert np.allclose(normalized[0].maps, expected.maps, rtol=1e-5), "its own residuals have no influence"
    assert len(cross_normalize(good[:1])) == 1 and len(cross_normalize(good[:2])) == 2


def test_a_single_image_is_normalized_by_its_own_statistics(rng):
    (good,) = good_images(rng, 1)
    (normalized,) = cross_normalize([good])
    assert np.array_equal(normalized.maps, normalize(good, NormalStatistics.fit([good]).scale(SIZE)).maps)
