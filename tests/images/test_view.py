import numpy as np
import pytest

from ssim_ae.images.view import View

VIEW = View(im_resize=266, size=256, bit_depth=16)


def test_crop_is_the_center_of_the_resized_image(rng):
    image = rng.integers(0, 256, (266, 266, 3), dtype=np.uint8)
    assert np.allclose(VIEW.crop(image), np.moveaxis(image, 2, 0)[:, 5:261, 5:261] / 255)


@pytest.mark.parametrize(
    ("dtype", "bit_depth", "white"), [(np.uint8, 16, 255), (np.uint16, 16, 65535), (np.uint16, 12, 4095)]
)
def test_white_becomes_one(dtype, bit_depth, white):
    view = View(im_resize=64, size=64, bit_depth=bit_depth)
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
    view = View(im_resize=64, size=64, bit_depth=16)
    values = rng.random((64, 64))
    assert np.array_equal(view.to_image_size(values, 64, 64), values)


@pytest.mark.parametrize("shape", [(900, 700), (266, 266), (31, 2000), (7, 5)])
def test_image_share_is_the_mean_of_the_mask_in_image_size(rng, shape):
    mask = rng.random((256, 256)) > 0.7
    assert VIEW.image_share(mask, *shape) == pytest.approx(
        VIEW.to_image_size(mask.astype(np.float32), *shape).mean(dtype=float)
    )


def test_a_smaller_image_takes_the_values_at_its_pixel_centers(rng):
    view = View(im_resize=64, size=64, bit_depth=16)
    values = rng.random((64, 64))
    assert np.array_equal(view.to_image_size(values, 32, 192), np.repeat(values[1::2], 3, axis=1))
