import numpy as np
import pytest

from ssim_ae.detectability.changed_images import brightened, shifted, turned

IMAGE = np.random.default_rng(0).uniform(0, 1, (20, 30, 3)).astype(np.float32)


def test_a_shift_moves_pixels_and_repeats_the_border() -> None:
    right = shifted(IMAGE, 3, 0)
    assert np.array_equal(right[:, 3:], IMAGE[:, :-3])
    assert np.array_equal(right[:, :3], np.repeat(IMAGE[:, :1], 3, axis=1))
    assert np.array_equal(shifted(IMAGE, 2, np.pi / 2)[2:], IMAGE[:-2])


def test_turning_by_0_changes_nothing_and_by_90_turns_the_center() -> None:
    assert np.allclose(turned(IMAGE, 0), IMAGE, atol=1e-6)
    square = IMAGE[:, :20]
    assert np.allclose(turned(square, 90), np.rot90(square), atol=1e-5)


def test_turning_repeats_the_border() -> None:
    even = np.full((20, 30, 1), 0.7, np.float32)
    assert np.allclose(turned(even, 33), 0.7, atol=1e-6)


def test_brightness_is_multiplied_and_clipped() -> None:
    assert np.allclose(brightened(IMAGE, -0.5), IMAGE / 2)
    assert brightened(IMAGE, 1.0).max() == pytest.approx(1)
