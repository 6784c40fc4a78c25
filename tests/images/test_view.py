import numpy as np
import pytest

from ssim_ae.images.view import View

OBJECT = View(im_resize=266, size=256, bit_depth=16)


def test_the_centre_is_cut_from_the_resized_image(rng):
    image = rng.integers(0, 256, (266, 266, 3), dtype=np.uint8)
    assert np.allclose(OBJECT.centre(image), np.moveaxis(image, 2, 0)[:, 5:261, 5:261] / 255)


@pytest.mark.parametrize(
    ("dtype", "bit_depth", "white"), [(np.uint8, 16, 255), (np.uint16, 16, 65535), (np.uint16, 12, 4095)]
)
def test_white_is_one(dtype, bit_depth, white):
    view = View(im_resize=64, size=64, bit_depth=bit_depth)
    image = np.full((50, 70, 1), white, dtype)
    assert np.allclose(view.centre(image), 1)


def test_ground_truth_lies_where_the_image_says(rng):
    mask = np.zeros((900, 700), bool)
    mask[300:500, 200:400] = True
    image = np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8) * 255
    assert np.array_equal(OBJECT.truth(mask), OBJECT.centre(image)[0] >= 0.5)


@pytest.mark.parametrize("shape", [(900, 700), (266, 266), (100, 130), (31, 2000)])
def test_a_map_goes_back_to_where_it_came_from(shape):
    rows = np.linspace(0, 1, shape[0])[:, None] * np.ones(shape)
    image = np.rint(np.repeat(rows[:, :, None], 3, axis=2) * 255).astype(np.uint8)
    back = OBJECT.back(OBJECT.centre(image)[0], *shape)
    inside = back > 0
    assert inside.mean() > 0.89
    assert np.abs(back - rows)[inside].max() < 2 / 255 + 2 / min(shape[0], 266)


def test_what_was_cut_off_is_zero():
    back = OBJECT.back(np.ones((256, 256)), 266, 266)
    assert back[:5].sum() == back[261:].sum() == back[:, :5].sum() == 0
    assert back[5:261, 5:261].all()


def test_a_map_of_its_own_size_is_unchanged(rng):
    view = View(im_resize=64, size=64, bit_depth=16)
    values = rng.random((64, 64))
    assert np.array_equal(view.back(values, 64, 64), values)


@pytest.mark.parametrize("shape", [(900, 700), (266, 266), (31, 2000), (7, 5)])
def test_the_share_is_that_of_the_mask_laid_over_the_image(rng, shape):
    mask = rng.random((256, 256)) > 0.7
    assert OBJECT.share(mask, *shape) == pytest.approx(OBJECT.back(mask.astype(np.float32), *shape).mean(dtype=float))


def test_a_smaller_image_gets_the_values_at_its_middles(rng):
    view = View(im_resize=64, size=64, bit_depth=16)
    values = rng.random((64, 64))
    assert np.array_equal(view.back(values, 32, 192), np.repeat(values[1::2], 3, axis=1))
