"""Moments and Gaussians of features, compared with a computation place by place."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssim_ae.features import gaussians
from ssim_ae.features.gaussians import PRIOR_IMAGES, RIDGE, Gaussians, Moments, block_side

CHANNELS = 5
RAGGED = (7, 10)  # places; with blocks of 2 x 2 the last row of blocks is not full, with 3 x 3 neither row nor column


def correlated(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Return features (N, d, h, w) float32 whose channels have different units and offsets, and are correlated."""
    mixing = rng.normal(size=(height, width, CHANNELS, CHANNELS))
    offsets = rng.normal(size=(1, CHANNELS, height, width))
    values = np.einsum("hwdk,nkhw->ndhw", mixing, rng.normal(size=(count, CHANNELS, height, width))) + offsets
    units, means = np.array([[1, 100, 0.01, 3, 1], [20, 0, 5, 0, -9]]).reshape(2, CHANNELS, 1, 1)
    return (units * (values + means)).astype(np.float32)


def fitted(*batches: np.ndarray) -> Moments:
    moments = Moments(batches[0].shape[1:])
    for batch in batches:
        moments.add(batch)
    return moments


def assert_equal(actual: Moments, expected: Moments, *, stored: bool = False) -> None:
    """Both moments are equal, relative to the standard deviations; `stored` ones as float32 is."""
    tolerance = 1e-6 if stored else 1e-9
    variances = np.sqrt(np.diagonal(expected.scatter, axis1=1, axis2=2) + 1e-12)
    assert actual.count == expected.count
    np.testing.assert_allclose(actual.mean, expected.mean, rtol=1e-9, atol=1e-9 * variances.max())
    assert (np.abs(actual.scatter - expected.scatter) <= tolerance * variances[:, :, None] * variances[:, None]).all()


@pytest.mark.parametrize("max_blocks", [1100, 9])
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=5))
def test_any_split_of_the_images_has_the_moments_of_all_at_once(max_blocks, seed, batches):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaussians, "MAX_BLOCKS", max_blocks)
        sizes = [size for size, _ in batches]
        features = correlated(np.random.default_rng(seed), sum(sizes), 4, 7)
        moments = Moments(features.shape[1:])
        for batch, (_, stored) in zip(np.split(features, np.cumsum(sizes)[:-1]), batches, strict=True):
            if stored:
                moments = Moments.from_arrays(features.shape[1:], moments.arrays())
            moments.add(batch)
        assert_equal(moments, fitted(features), stored=any(stored for _, stored in batches))


def blocks_of(height: int, width: int, side: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, top + side), slice(left, left + side)


def expected_gaussians(features: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return scale (d,), scaled means (d, h, w) and the covariance of each block, computed in loops."""
    count, channels, height, width = features.shape
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    covariances = np.zeros((height, width, channels, channels))
    for row in range(height):
        for column in range(width):
            if count > 1:
                covariances[row, column] = np.cov(values[:, :, row, column].T)
    common = covariances.mean(axis=(0, 1))
    scale = 1 / np.maximum(np.sqrt(np.diagonal(common) + mean.var(axis=(1, 2))), 1e-6)
    share = PRIOR_IMAGES / (count - 1 + PRIOR_IMAGES)
    shrunk = [
        ((1 - share) * covariances[block].mean(axis=(0, 1)) + share * common) * np.outer(scale, scale)
        + RIDGE * np.eye(channels)
        for block in blocks_of(height, width, side)
    ]
    return scale, mean * scale[:, None, None], shrunk


def lower_triangle(values: np.ndarray) -> np.ndarray:
    matrix = np.zeros((CHANNELS, CHANNELS))
    matrix[np.tril_indices(CHANNELS)] = values
    return matrix


def assert_fits(found: Gaussians, features: np.ndarray, side: int, rng: np.random.Generator) -> None:
    """Means and scale are those of a computation in loops, and the factors reproduce its Mahalanobis distances."""
    scale, mean, covariances = expected_gaussians(features, side)
    assert [array.dtype for array in found] == [np.float32, np.float32, np.float16]
    np.testing.assert_allclose(found.scale[:, 0, 0], scale, rtol=1e-6)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6, atol=1e-6)
    assert len(found.factor) == len(covariances)
    for factor, covariance in zip(found.factor, covariances, strict=True):
        for difference in rng.normal(size=(5, CHANNELS)):
            expected = np.sqrt(difference @ np.linalg.solve(covariance, difference))
            assert np.linalg.norm(lower_triangle(factor) @ difference) == pytest.approx(expected, rel=4e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 60])
def test_each_place_has_a_gaussian_shrunk_toward_that_of_all_places(rng, count):
    features = correlated(rng, count, *RAGGED)
    assert_fits(fitted(features).gaussians(), features, 1, rng)


@pytest.mark.parametrize(("max_blocks", "side"), [(69, 2), (34, 2), (19, 3), (1, 10)])
def test_places_of_a_block_share_a_covariance(rng, monkeypatch, max_blocks, side):
    monkeypatch.setattr(gaussians, "MAX_BLOCKS", max_blocks)
    assert block_side(*RAGGED) == side
    features = correlated(rng, 20, *RAGGED)
    assert_fits(fitted(features).gaussians(), features, side, rng)


def test_places_beyond_the_border_do_not_count(rng, monkeypatch):
    monkeypatch.setattr(gaussians, "MAX_BLOCKS", 20)
    moments = fitted(correlated(rng, 4, *RAGGED))
    assert moments.places.ravel().tolist() == [4] * 15 + [2] * 5
    last = moments.mean[15:].reshape(5, CHANNELS, 2, 2)
    assert last[:, :, 0].all() and not last[:, :, 1].any()


def test_a_constant_channel_is_no_division_by_zero(rng):
    features = correlated(rng, 6, 4, 4)
    features[:, 1] = 7
    found = fitted(features).gaussians()
    assert all(np.isfinite(array).all() for array in found)
    assert_fits(found, features, 1, rng)


def test_many_places_have_as_many_blocks_as_a_file_has_room_for():
    for height, width in ((32, 32), (33, 33), (34, 34), (250, 188), (4, 1000), (256, 256)):
        side = block_side(height, width)
        blocks = -(-height // side) * -(-width // side)
        assert blocks <= gaussians.MAX_BLOCKS and (side == 1) == (height * width <= gaussians.MAX_BLOCKS)


def test_stored_moments_can_be_added_to(rng):
    features = correlated(rng, 8, 4, 4)
    stored = {name: array.copy() for name, array in fitted(features[:5]).arrays().items()}
    for array in stored.values():
        array.flags.writeable = False  # as read from a file
    moments = Moments.from_arrays(features.shape[1:], stored)
    moments.add(features[5:])
    expected = fitted(features)
    assert_equal(moments, expected, stored=True)
    assert stored["count"] == 5
    for found, all_at_once in zip(moments.gaussians(), expected.gaussians(), strict=True):
        np.testing.assert_allclose(found, all_at_once, rtol=1e-3, atol=1e-5)  # the factor has float16


def test_stored_moments_have_each_product_of_channels_once(rng):
    stored = fitted(correlated(rng, 3, 4, 4)).arrays()
    assert stored["scatter"].shape == (16, CHANNELS * (CHANNELS + 1) // 2) and stored["scatter"].dtype == np.float32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", np.array(-1)),
        ("count", np.array(2.5)),
        ("count", np.array([2])),
        ("mean", np.zeros((3, CHANNELS, 1))),
        ("mean", np.full((16, CHANNELS, 1), np.nan)),
        ("mean", np.full((16, CHANNELS, 1), "a")),
        ("mean", np.full((16, CHANNELS, 1), 1j)),
        ("scatter", np.full((16, CHANNELS * (CHANNELS + 1) // 2), np.inf, np.float32)),
        ("scatter", np.full((16, CHANNELS * (CHANNELS + 1) // 2), -1, np.float32)),
        ("scatter", np.ones((16, CHANNELS, CHANNELS))),
        ("scatter", None),
        ("more", np.zeros(1)),
    ],
)
def test_other_arrays_are_no_moments(rng, name, value):
    arrays = fitted(correlated(rng, 3, 4, 4)).arrays() | {name: value}
    with pytest.raises(ValueError, match=r"^not the moments of features of shape \(5, 4, 4\)$"):
        Moments.from_arrays((CHANNELS, 4, 4), {key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match="not the moments"):
        Moments.from_arrays((CHANNELS, 4, 5), fitted(correlated(rng, 3, 4, 4)).arrays())


def test_removed_images_leave_the_moments_of_the_others(rng):
    features = rng.normal(3, 2, (12, CHANNELS, 4, 5)).astype(np.float32)
    moments, others = gaussians.Moments((CHANNELS, 4, 5)), gaussians.Moments((CHANNELS, 4, 5))
    moments.add(features)
    others.add(features[3:])
    left = moments.copy()
    left.remove(features[:3])
    assert moments.count == 12, "the copy is another one"
    for name, array in others.arrays().items():
        np.testing.assert_allclose(left.arrays()[name], array, rtol=1e-6, atol=1e-6)
    left.remove(features[4:])
    assert left.count == 1 and np.abs(left.scatter).max() < 1e-9
    np.testing.assert_allclose(left.gaussians().mean / left.gaussians().scale, features[3], rtol=1e-4)
