import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssim_ae.images.size import Size
from ssim_ae.images.view import View

VIEW = View(Size.of(266), Size.of(256), bit_depth=16)


def test_crop_is_the_center_of_the_resized_image(rng):
    image = rng.integers(0, 256, (266, 266, 3), dtype=np.uint8)
    assert np.allclose(VIEW.crop(image), np.moveaxis(image, 2, 0)[:, 5:261, 5:261] / 255)


@pytest.mark.parametrize(
    ("dtype", "bit_depth", "white"), [(np.uint8, 16, 255), (np.uint16, 16, 65535), (np.uint16, 12, 4095)]
)
def test_white_becomes_one(dtype, bit_depth, white):
    view = View(Size.of(64), Size.of(64), bit_depth=bit_depth)
    image = np.full((50, 70, 1), white, dtype)
    assert np.allclose(view.crop(image), 1)


def test_crop_mask_agrees_with_crop(rng):
    mask = np.zeros((900, 700), bool)
    mask[300:500, 200:400] = True
    image = np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8) * 255
    assert np.array_equal(VIEW.crop_mask(mask), VIEW.crop(image)[0] >= 0.5)


@pytest.mark.parametrize("shape", [(900, 700), (266, 266), (100, 130), (31, 2000)])
def test_to_image_size_reverses_crop(shape):
    rows = np.linspace(0, 1, shape[0])[:, None] * np.ones(shape)
    image = np.rint(np.repeat(rows[:, :, None], 3, axis=2) * 255).astype(np.uint8)
    restored = VIEW.to_image_size(VIEW.crop(image)[0], *shape)
    inside = restored > 0
    assert inside.mean() > 0.89
    assert np.abs(restored - rows)[inside].max() < 2 / 255 + 2 / min(shape[0], 266)


def test_pixels_outside_the_crop_are_zero():
    restored = VIEW.to_image_size(np.ones((256, 256)), 266, 266)
    assert restored[:5].sum() == restored[261:].sum() == restored[:, :5].sum() == 0
    assert restored[5:261, 5:261].all()


def test_to_image_size_is_the_identity_if_the_sizes_are_equal(rng):
    view = View(Size.of(64), Size.of(64), bit_depth=16)
    values = rng.random((64, 64))
    assert np.array_equal(view.to_image_size(values, 64, 64), values)


@pytest.mark.parametrize("shape", [(900, 700), (266, 266), (31, 2000), (7, 5)])
def test_image_share_is_the_mean_of_the_mask_in_image_size(rng, shape):
    mask = rng.random((256, 256)) > 0.7
    assert VIEW.image_share(mask, *shape) == pytest.approx(
        VIEW.to_image_size(mask.astype(np.float32), *shape).mean(dtype=float)
    )


def test_a_smaller_image_takes_the_values_at_its_pixel_centers(rng):
    view = View(Size.of(64), Size.of(64), bit_depth=16)
    values = rng.random((64, 64))
    assert np.array_equal(view.to_image_size(values, 32, 192), np.repeat(values[1::2], 3, axis=1))


sides = st.integers(8, 48)
views = st.tuples(sides, sides, st.integers(0, 7), st.integers(0, 7)).map(
    lambda numbers: View(Size(*numbers[:2]), Size(numbers[0] - numbers[2], numbers[1] - numbers[3]), 8)
)


@given(views, st.integers(1, 120), st.integers(1, 120), st.integers(0, 99))
def test_a_rectangular_view_maps_each_pixel_to_the_one_that_covers_its_center(view, height, width, seed):
    values = np.random.default_rng(seed).random(view.size) + 1
    found = view.to_image_size(values, height, width)
    expected = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = int((row + 0.5) * view.working_size.height / height) - view.margin.height
            x = int((column + 0.5) * view.working_size.width / width) - view.margin.width
            if 0 <= y < view.size.height and 0 <= x < view.size.width:
                expected[row, column] = values[y, x]
    assert np.array_equal(found, expected)


@given(views, st.integers(1, 4), st.integers(0, 99))
def test_what_a_rectangular_view_maps_to_a_larger_image_is_what_it_crops(view, factor, seed):
    mask = np.random.default_rng(seed).random(view.size) < 0.3
    height, width = (factor * side for side in view.working_size)
    assert np.array_equal(view.crop_mask(view.to_image_size(mask, height, width)), mask)


@given(views, st.integers(1, 120), st.integers(1, 120), st.integers(0, 99))
def test_boxes_and_shares_in_the_image_are_those_of_the_mapped_mask(view, height, width, seed):
    rng = np.random.default_rng(seed)
    top, left = (int(rng.integers(side)) for side in view.size)
    bottom, right = int(rng.integers(top, view.size.height)), int(rng.integers(left, view.size.width))
    mask = np.zeros(view.size, bool)
    mask[top : bottom + 1, left : right + 1] = True
    mapped = view.to_image_size(mask, height, width)
    assert view.image_share(mask, height, width) == pytest.approx(mapped.mean())
    if mapped.any():
        rows, columns = np.nonzero(mapped)
        expected = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert view.to_image_box(top, bottom, left, right, height, width) == expected
