import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import block_reduce
from skimage.metrics import structural_similarity

from ssim_ae.maps.normalization import EDGE, FOLDS, GRID, NormalStatistics, coarse_residuals, cross_fitted, relative
from ssim_ae.maps.residuals import Residuals, Thresholds, anomaly_map

SIZE = 64


@pytest.fixture(params=[64, 256])
def pair(rng, request):
    image = rng.random((3, request.param, request.param), np.float32)
    return image, np.clip(image + rng.normal(0, 0.1, image.shape), 0, 1).astype(np.float32)


def scikit_image(image, reconstruction):
    """SSIM residuals at half or a quarter of the size, and differences, smoothed, by independent implementations."""
    size = image.shape[-1]
    by = 2 if size == 64 else 4
    inner = np.zeros((size, size), bool)
    inner[EDGE:-EDGE, EDGE:-EDGE] = True
    repaired = np.where(inner, reconstruction, image)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "full": True}
    x, y = (block_reduce(planes.astype(float), (1, by, by), np.mean) for planes in (image, repaired))
    ssim = np.mean([structural_similarity(*pair, **options)[1] for pair in zip(x, y, strict=True)], axis=0)
    maps = np.kron(1 - ssim, np.ones((by, by))), np.abs(image - repaired).mean(axis=0)
    return [gaussian_filter(m, 1.5, truncate=3.5) for m in maps]


def test_they_are_scikit_images(pair):
    maps = coarse_residuals(*pair)
    for ours, theirs in zip((maps.ssim, maps.l1), scikit_image(*pair), strict=True):
        assert ours.shape == pair[0].shape[1:] and np.abs(ours - theirs).max() < 2e-5
    assert maps.foreground.all()


def test_the_edge_is_taken_as_good(pair):
    image, _ = pair
    reconstruction = image.copy()
    reconstruction[:, :EDGE] = reconstruction[:, :, -EDGE:] = 0
    maps = coarse_residuals(image, reconstruction)
    assert maps.ssim.max() < 1e-6 and maps.l1.max() == 0


def good_images(rng, count):
    """Residuals that are higher on the left."""
    level = np.where(np.arange(SIZE) < SIZE // 2, 0.4, 0.1).astype(np.float32)
    ssim = [(level * rng.uniform(0.8, 1.2, (SIZE, SIZE))).astype(np.float32) for _ in range(count)]
    return [Residuals(m, m / 4, np.ones((SIZE, SIZE), bool)) for m in ssim]


def test_usual_is_what_most_good_images_do_not_exceed(rng):
    good = [
        Residuals(*np.broadcast_to(np.float32(level), (2, SIZE, SIZE)), np.ones((SIZE, SIZE), bool))
        for level in rng.normal(3, 0.5, 500)
    ]
    assert NormalStatistics.of(good).l1 == pytest.approx(np.full((GRID, GRID), 4), rel=0.05)
    assert NormalStatistics.of(good[:1]).l1 == pytest.approx(good[0].l1[:GRID, :GRID])


def test_relative_to_what_is_usual_a_place_is_like_another(rng):
    good = good_images(rng, 1)
    usual = NormalStatistics.of(good)
    assert usual.ssim.shape == usual.l1.shape == (GRID, GRID) and usual.ssim.dtype == np.float32
    divisors = usual.divisors(SIZE)
    left, right = divisors[0, :, 8].mean(), divisors[0, :, -8].mean()
    assert (left, right) == pytest.approx((0.4 + 0.25, 0.1 + 0.25), rel=0.02)
    maps = relative(good[0], divisors)
    assert maps.ssim[:, :16].mean() == pytest.approx(0.4 / 0.65, rel=0.05)
    assert np.allclose(maps.ssim, maps.l1, rtol=1e-3) and maps.foreground is good[0].foreground


def test_where_nothing_is_usual_nothing_is_divided_by_zero():
    nothing = Residuals(*np.zeros((2, SIZE, SIZE), np.float32), np.ones((SIZE, SIZE), bool))
    assert NormalStatistics.of([nothing]).divisors(SIZE).min() > 0


def test_good_images_are_relative_to_others(rng):
    good = good_images(rng, 11)
    spoilt = good[0]._replace(ssim=good[0].ssim + 10)
    fitted = cross_fitted([spoilt, *good[1:]])
    alone = relative(spoilt, NormalStatistics.of([good[i] for i in range(11) if i % FOLDS]).divisors(SIZE))
    assert np.allclose(fitted[0].ssim, alone.ssim, rtol=1e-5), "its own residuals do not excuse it"
    assert len(cross_fitted(good[:1])) == 1 and len(cross_fitted(good[:2])) == 2


def test_both_residuals_add_up(rng):
    ssim, l1 = rng.random((2, SIZE, SIZE), np.float32)
    maps = Residuals(ssim, l1, np.arange(SIZE * SIZE).reshape(SIZE, SIZE) > 100)
    anomaly = anomaly_map(maps, Thresholds(2, 4), method="repair")
    assert np.allclose(anomaly, (ssim / 2 + l1 / 4) * maps.foreground)
