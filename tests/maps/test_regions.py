"""Regions, holes and openings, compared with the implementations in SciPy and scikit-image."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as reference_label
from skimage.morphology import disk

from ssim_ae.maps.regions import areas, fill_holes, label, largest_region, opening

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12))
GRAYSCALE = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=14),
    elements=st.integers(0, 8).map(lambda quarter: quarter / 4),
)
quick = settings(deadline=None, max_examples=150)


def spiral(side: int) -> NDArray[np.bool_]:
    """Return a spiral path of one pixel width, with gaps of one pixel, from the border to the center."""
    mask = np.zeros((side, side), bool)
    row, column, step = 0, 0, (0, 1)
    lengths = [side - 1, *np.repeat(np.arange(side - 1, 1, -2), 2)]
    for length in lengths:
        for _ in range(length):
            mask[row, column] = True
            row, column = row + step[0], column + step[1]
        step = step[1], -step[0]
    return mask


def reference_opening(values: NDArray[Any], radius: int) -> NDArray[Any]:
    footprint = disk(radius).astype(bool)
    eroded = ndimage.grey_erosion(values, footprint=footprint, mode="constant", cval=np.inf)
    return ndimage.grey_dilation(eroded, footprint=footprint, mode="constant", cval=-np.inf)


@quick
@given(MASKS, st.sampled_from([4, 8]))
def test_label_agrees_with_scikit_image(mask: NDArray[np.bool_], connectivity: int) -> None:
    labels, count = label(mask, connectivity=connectivity)
    if not mask.size:
        assert (labels.shape, count) == (mask.shape, 0)
        return
    expected, expected_count = reference_label(mask, connectivity=connectivity // 4, return_num=True)
    np.testing.assert_array_equal(labels, expected)
    assert (labels.dtype, count) == (np.int32, expected_count)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("density", [0.1, 0.4, 0.5, 0.6, 0.9])
def test_label_agrees_with_scipy_on_noise(density: float, connectivity: int) -> None:
    mask = np.random.default_rng(0).random((150, 211)) < density
    expected, count = ndimage.label(mask, ndimage.generate_binary_structure(2, connectivity // 4))
    labels, found = label(mask, connectivity=connectivity)
    np.testing.assert_array_equal(labels, expected)
    assert found == count


@pytest.mark.parametrize("quarter_turns", range(4))
def test_label_finds_one_region_in_a_spiral(quarter_turns: int) -> None:
    mask = np.rot90(spiral(101), quarter_turns)
    labels, count = label(mask, connectivity=4)
    assert count == 1
    np.testing.assert_array_equal(labels, mask)


def test_corner_neighbors_are_connected_only_at_connectivity_8() -> None:
    checkerboard = np.indices((6, 7)).sum(axis=0) % 2 == 0
    assert label(checkerboard)[1] == 1
    assert label(checkerboard, connectivity=4)[1] == checkerboard.sum()


@quick
@given(MASKS)
def test_areas_count_the_pixels_of_each_label(mask: NDArray[np.bool_]) -> None:
    labels, count = label(mask)
    np.testing.assert_array_equal(areas(mask), [(labels == number + 1).sum() for number in range(count)])


@quick
@given(MASKS)
def test_fill_holes_agrees_with_scipy(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask) if mask.size else mask)


@quick
@given(MASKS)
def test_the_largest_region_is_that_of_scipy(mask: NDArray[np.bool_]) -> None:
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=1)[1:]
    ends = [np.flatnonzero(labels == i + 1)[-1] for i in range(count)]
    best = max(range(count), key=lambda i: (sizes[i], ends[i]), default=count)
    np.testing.assert_array_equal(largest_region(mask), labels == best + 1)


def test_fill_holes_fills_a_ring_that_is_connected_by_corners_only() -> None:
    ring = disk(3).astype(bool) & ~np.pad(disk(2).astype(bool), 1)
    np.testing.assert_array_equal(fill_holes(ring), disk(3))


@quick
@given(GRAYSCALE, st.integers(0, 6))
def test_opening_agrees_with_scipy_and_ignores_pixels_beyond_the_border(
    values: NDArray[np.float32], radius: int
) -> None:
    opened = opening(values, radius=radius)
    np.testing.assert_array_equal(opened, reference_opening(values, radius))
    assert opened.dtype == np.float32


@pytest.mark.parametrize("radius", range(12))
def test_opening_agrees_with_scipy_on_noise(radius: int) -> None:
    values = np.random.default_rng(radius).normal(size=(40, 57))
    np.testing.assert_array_equal(opening(values, radius=radius), reference_opening(values, radius))


@quick
@given(GRAYSCALE)
def test_thresholding_commutes_with_opening(values: NDArray[np.float32]) -> None:
    footprint = disk(4).astype(bool)
    eroded = ndimage.binary_erosion(values > 1, footprint, border_value=1)
    np.testing.assert_array_equal(opening(values) > 1, ndimage.binary_dilation(eroded, footprint))


def test_opening_treats_leading_dimensions_as_a_batch() -> None:
    batch = np.random.default_rng(0).normal(size=(2, 3, 20, 17)).astype(np.float32)
    expected = [[opening(image) for image in images] for images in batch]
    np.testing.assert_array_equal(opening(batch), expected)


def test_opening_does_not_modify_its_input() -> None:
    values = np.random.default_rng(0).normal(size=(20, 20))
    before = values.copy()
    opening(values, radius=0)[:] = 0
    opening(values)[:] = 0
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("function", [label, areas, fill_holes])
def test_masks_without_two_dimensions_are_rejected(function: Any) -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        function(np.zeros((2, 3, 4), bool))


def test_invalid_arguments_are_rejected() -> None:
    with pytest.raises(ValueError, match="connectivity of 4 or 8, got 6"):
        label(np.ones((2, 2), bool), connectivity=6)
    with pytest.raises(ValueError, match="radius of 0 or more, got -1"):
        opening(np.ones((2, 2)), radius=-1)
    with pytest.raises(ValueError, match=r"got float64 \(5,\)"):
        opening(np.ones(5))
    with pytest.raises(ValueError, match=r"got int64 \(2, 2\)"):
        opening(np.ones((2, 2), np.int64))
