import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from ssim_ae.maps.residuals import foreground_mask


@pytest.mark.parametrize(("bg_mask", "background"), [("W", 0.9), ("B", 0.1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_foreground_excludes_the_background_but_not_holes_in_the_object(bg_mask, background, channels):
    image = np.full((channels, 60, 60), background, np.float32)
    image[:, 10:50, 10:50] = 0.5
    image[:, 25:30, 25:30] = background
    expected = np.zeros((60, 60), bool)
    expected[10:50, 10:50] = True
    assert np.array_equal(foreground_mask(image, bg_mask), expected)
    assert np.array_equal(foreground_mask(image, bg_mask), binary_fill_holes(np.abs(image[0] - background) > 0.1))


def test_foreground_is_the_whole_image_without_bg_mask():
    assert foreground_mask(np.ones((3, 20, 20), np.float32), "").all()
