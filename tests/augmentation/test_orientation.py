import numpy as np
import pytest
from PIL import Image

from ssim_ae.augmentation.orientation import MIN_IMAGES, _polar_descriptor, _rotate, has_any_orientation
from ssim_ae.images.resize import resize
from ssim_ae.synthetic import fabric

BILINEAR = Image.Resampling.BILINEAR
COUNT = 64


@pytest.fixture(scope="module")
def badges():
    """Parts of one orientation on a plain background, (N, 3, 64, 64)."""
    drawn = [fabric.draw("badge", size=128, seed=seed)[0] for seed in range(COUNT)]
    return np.stack([resize(np.moveaxis(image, 2, 0), 64, 64) / 255 for image in drawn])


def rotated(images, angle):
    """Rotate image n by angle(n) degrees; the border pixels are repeated outward."""
    padded = np.pad(np.rint(images * 255).astype(np.uint8), [(0, 0), (0, 0), (16, 16), (16, 16)], "edge")
    rotated_images = [
        Image.fromarray(np.moveaxis(image, 0, 2)).rotate(angle(n), BILINEAR) for n, image in enumerate(padded)
    ]
    return np.stack([np.moveaxis(np.asarray(image), 2, 0)[:, 16:-16, 16:-16] for image in rotated_images])


def test_parts_of_one_orientation_are_not_of_any_orientation(badges):
    assert not has_any_orientation(badges)


def test_parts_rotated_by_any_angle_are_of_any_orientation(badges, rng):
    any_angle = rotated(badges, lambda _: rng.uniform(0, 360))
    assert has_any_orientation(any_angle)
    assert has_any_orientation(any_angle.astype(np.float32) / 255)


def test_parts_in_the_middle_of_wide_images_are_recognized(badges, rng):
    wide = np.pad(badges, [(0, 0), (0, 0), (0, 0), (70, 70)], "edge")
    assert not has_any_orientation(wide)
    any_angle = np.pad(rotated(badges, lambda _: rng.uniform(0, 360)), [(0, 0), (0, 0), (0, 0), (70, 70)], "edge")
    assert has_any_orientation(any_angle) and has_any_orientation(any_angle.swapaxes(2, 3))


@pytest.mark.parametrize("step", [90, 180])
def test_parts_rotated_by_quarter_or_half_turns_are_not_of_any_orientation(badges, step):
    assert not has_any_orientation(rotated(badges, lambda n: step * n))


def test_stripes_are_not_of_any_orientation(rng):
    """A texture has no features at a location, but it has a direction."""
    across = np.sin(1.6 * np.arange(64) + rng.uniform(0, 6, (COUNT, 1))) / 4 + 0.5
    illumination = np.kron(rng.normal(0, 0.1, (COUNT, 1, 4, 4)), np.ones((16, 16)))
    stripes = across[:, None, :, None] + illumination + rng.normal(0, 0.05, (COUNT, 1, 64, 64))
    assert not has_any_orientation(stripes.astype(np.float32))


def test_too_few_or_equal_images_are_not_of_any_orientation(badges, rng):
    assert not has_any_orientation(rotated(badges, lambda _: rng.uniform(0, 360))[: MIN_IMAGES - 1])
    assert not has_any_orientation(np.full((COUNT, 1, 64, 64), 128, np.uint8))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_descriptor_of_a_rotated_image_is_the_rotated_descriptor(rng, quarters):
    image = rng.random((3, 128, 128), np.float32)
    colors, edges = _rotate(*(part[None] for part in _polar_descriptor(image)), 2 * quarters)
    expected = _polar_descriptor(np.rot90(image, quarters, axes=(1, 2)))
    assert np.allclose(colors[0], expected[0], atol=1e-5) and np.allclose(edges[0], expected[1], atol=1e-5)
