import numpy as np
import pytest
from PIL import Image

from ssim_ae.images.colors import brightness, gray


def test_gray_is_identical_to_pillow(rng):
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(gray(image)[:, :, 0], np.asarray(Image.fromarray(image).convert("L")))


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_gray_images_keep_their_values(dtype, white):
    levels = np.arange(0, white + 1, 5, dtype=dtype)[:, None, None]
    assert np.array_equal(gray(np.repeat(levels, 3, axis=2)), levels)


def test_brightness_agrees_with_gray(rng):
    image = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    level = brightness(np.moveaxis(image / np.float32(255), 2, 0).astype(np.float32))
    assert np.abs(level * 255 - gray(image)[:, :, 0]).max() < 0.51
