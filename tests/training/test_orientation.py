import numpy as np
import pytest

from ssim_ae.images import fabric
from ssim_ae.images.resize import resize
from ssim_ae.training.orientation import FEWEST, _layout, _turned, lie_at_any_angle

COUNT = 24


@pytest.fixture(scope="module")
def badges():
    """Parts that all lie alike, on a plain background, (N, 3, 64, 64)."""
    drawn = [fabric.draw("badge", size=128, seed=seed)[0] for seed in range(COUNT)]
    return np.stack([resize(np.moveaxis(image, 2, 0), 64, 64) / 255 for image in drawn])


def test_parts_that_lie_alike_do_not_lie_at_any_angle(badges):
    assert not lie_at_any_angle(badges)


def test_parts_turned_by_quarters_do(badges):
    turned = np.stack([np.rot90(badge, number, axes=(1, 2)) for number, badge in enumerate(badges)])
    assert lie_at_any_angle(turned)
    assert lie_at_any_angle(np.rint(turned * 255).astype(np.uint8)), "bytes say the same"


def test_parts_turned_by_a_half_turn_alone_do_not(badges):
    assert not lie_at_any_angle(np.stack([badge[:, :: (-1) ** n, :: (-1) ** n] for n, badge in enumerate(badges)]))


def test_stripes_do_not(rng):
    """A texture has no place that an image could be told by, but a direction."""
    across = np.sin(0.8 * np.arange(64) + rng.uniform(0, 6, (COUNT, 1))) / 4 + 0.5
    stripes = across[:, None, None] + rng.normal(0, 0.05, (COUNT, 1, 64, 64))
    assert not lie_at_any_angle(stripes.astype(np.float32))


def test_a_few_or_equal_images_do_not_tell(badges):
    assert not lie_at_any_angle(
        np.stack([np.rot90(badge, n, axes=(1, 2)) for n, badge in enumerate(badges)])[: FEWEST - 1]
    )
    assert not lie_at_any_angle(np.full((COUNT, 1, 64, 64), 128, np.uint8))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_layout_of_a_turned_image_is_its_layout_turned(rng, quarters):
    image = rng.random((3, 128, 128), np.float32)
    colours, edges = _turned(*(part[None] for part in _layout(image)), quarters)
    expected = _layout(np.rot90(image, quarters, axes=(1, 2)))
    assert np.allclose(colours[0], expected[0], atol=1e-6) and np.allclose(edges[0], expected[1], atol=1e-6)
