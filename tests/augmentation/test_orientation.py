import numpy as np
import pytest
from PIL import Image

from ssim_ae.augmentation.orientation import FEWEST, _layout, _turned, has_any_orientation
from ssim_ae.images.resize import resize
from ssim_ae.synthetic import fabric

BILINEAR = Image.Resampling.BILINEAR
COUNT = 64


@pytest.fixture(scope="module")
def badges():
    """Parts that all lie alike, on a plain background, (N, 3, 64, 64)."""
    drawn = [fabric.draw("badge", size=128, seed=seed)[0] for seed in range(COUNT)]
    return np.stack([resize(np.moveaxis(image, 2, 0), 64, 64) / 255 for image in drawn])


def turned(images, angle):
    """Turn image n by angle(n) degrees; beyond their edges they go on as there."""
    wide = np.pad(np.rint(images * 255).astype(np.uint8), [(0, 0), (0, 0), (16, 16), (16, 16)], "edge")
    rolled = [Image.fromarray(np.moveaxis(image, 0, 2)).rotate(angle(n), BILINEAR) for n, image in enumerate(wide)]
    return np.stack([np.moveaxis(np.asarray(image), 2, 0)[:, 16:-16, 16:-16] for image in rolled])


def test_parts_that_lie_alike_do_not_lie_at_any_angle(badges):
    assert not has_any_orientation(badges)


def test_parts_turned_by_any_angle_do(badges, rng):
    any_angle = turned(badges, lambda _: rng.uniform(0, 360))
    assert has_any_orientation(any_angle)
    assert has_any_orientation(any_angle.astype(np.float32) / 255)


@pytest.mark.parametrize("step", [90, 180])
def test_parts_turned_by_quarters_or_halves_alone_do_not(badges, step):
    assert not has_any_orientation(turned(badges, lambda n: step * n))


def test_stripes_do_not(rng):
    """A texture has no place that an image could be told by, but a direction."""
    across = np.sin(1.6 * np.arange(64) + rng.uniform(0, 6, (COUNT, 1))) / 4 + 0.5
    light = np.kron(rng.normal(0, 0.1, (COUNT, 1, 4, 4)), np.ones((16, 16)))
    stripes = across[:, None, :, None] + light + rng.normal(0, 0.05, (COUNT, 1, 64, 64))
    assert not has_any_orientation(stripes.astype(np.float32))


def test_a_few_or_equal_images_do_not_tell(badges, rng):
    assert not has_any_orientation(turned(badges, lambda _: rng.uniform(0, 360))[: FEWEST - 1])
    assert not has_any_orientation(np.full((COUNT, 1, 64, 64), 128, np.uint8))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_layout_of_a_turned_image_is_its_layout_turned(rng, quarters):
    image = rng.random((3, 128, 128), np.float32)
    colours, edges = _turned(*(part[None] for part in _layout(image)), 2 * quarters)
    expected = _layout(np.rot90(image, quarters, axes=(1, 2)))
    assert np.allclose(colours[0], expected[0], atol=1e-5) and np.allclose(edges[0], expected[1], atol=1e-5)
