"""Alignment is chosen for elongated, asymmetric parts in varying poses, and for nothing else."""

import json

import numpy as np
import pytest

from ssim_ae.alignment import choose
from ssim_ae.alignment.choose import Alignment, choose_alignment, parts_lie_inside
from ssim_ae.alignment.pose import find_part, find_pose
from ssim_ae.alignment.strip import aligned
from ssim_ae.synthetic import fabric


@pytest.fixture(scope="module")
def images(draw):
    """Draw n good images of a shape in varying poses."""

    def images(n, shape="bolt", turn=360, shift=0.05, size=128, **settings):
        rng = np.random.default_rng(n)
        return [
            draw(
                (*(size * (0.5 + rng.uniform(-shift, shift, 2))), rng.uniform(0, turn), 0.6 * size),
                height=size,
                width=size,
                shape=shape,
                seed=i,
                **settings,
            )
            for i in range(n)
        ]

    return images


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_bolts_in_any_pose_are_aligned(images, n):
    good = images(n)
    alignment, statistics = choose_alignment(good)
    assert alignment is not None, statistics
    strips = np.stack([aligned(image, find_pose(image), alignment.strip, 32, 96) for image in good])
    border = np.concatenate([strips[..., 0], strips[..., -1], strips[:, :, 0], strips[:, :, -1]], axis=-1)
    assert border[:, 0].min() > 0.6  # nothing is cut off


@pytest.mark.parametrize(
    "settings",
    [
        {"shape": "disk"},
        {"shape": "rod"},
        {"shape": "wedge"},  # about as long as wide
        {"turn": 0, "shift": 0},  # always in the same pose
        {"shift": 0.5},  # cut off by the border
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [2, 5, 20])
def test_other_parts_are_not(images, settings, n):
    assert choose_alignment(images(n, **settings))[0] is None


@pytest.mark.parametrize("name", fabric.CLASSES)
def test_fabrics_and_badges_are_not(name):
    good = [fabric.draw(name, seed=seed, size=96)[0] for seed in range(6)]
    assert choose_alignment(good)[0] is None


def test_one_image_says_nothing(images):
    assert choose_alignment(images(1))[0] is None


@pytest.mark.parametrize("shape", [(64, 64, 1), (30, 200, 3), (1, 1, 3)])
def test_images_of_one_color_or_of_noise_are_not_aligned(shape):
    rng = np.random.default_rng(0)
    for good in ([np.full(shape, 90, np.uint8)] * 3, [rng.integers(0, 256, shape, np.uint8) for _ in range(4)]):
        alignment, statistics = choose_alignment(good)
        assert alignment is None
        assert np.all(np.isfinite(statistics))


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="at least one image"):
        choose_alignment([])


def test_an_alignment_returns_from_a_file(images):
    alignment, _ = choose_alignment(images(3))
    values = json.loads(json.dumps(alignment.in_file()))
    assert Alignment.from_file(values) == alignment
    for wrong in ([0.5, -0.5, -0.1, 0.1], [-0.5, 0.5, 0, float("nan")], [-2, 2, -0.1, 0.1]):
        with pytest.raises(ValueError, match="strip"):
            Alignment.from_file({"strip": wrong})
    for wrong in ({}, {"strip": [0.1]}, {"strip": None}):
        with pytest.raises((KeyError, TypeError)):
            Alignment.from_file(wrong)


@pytest.mark.parametrize("count", [1, 100, 101, 250])
def test_a_sample_says_whether_parts_lie_inside(images, monkeypatch, count):
    inside = images(1)[0]
    looked_at = []
    monkeypatch.setattr(choose, "find_part", lambda image: looked_at.append(image) or find_part(image))
    assert parts_lie_inside([inside] * count)
    assert len(looked_at) == min(count, 100)
    touching = inside[:, inside.shape[1] // 2 :]
    assert not parts_lie_inside([inside, touching] * count)
