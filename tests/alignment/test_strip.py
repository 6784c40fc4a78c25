"""Strips along parts, and values mapped back to the image."""

import numpy as np
import pytest

from ssim_ae.alignment.pose import Pose, find_pose
from ssim_ae.alignment.strip import Strip, aligned

STRIP = Strip(-0.3, 0.4, -0.12, 0.12)
WHOLE = Strip(-0.5, 0.5, -0.5, 0.5)


def quarter_turned(pose, height):
    return pose._replace(y=height - pose.x, x=pose.y, dy=-pose.dx, dx=pose.dy)


def test_the_whole_upright_image_is_itself(draw):
    image = draw((32, 32, 30, 40), height=64, width=64)
    planes = aligned(image, Pose.upright(64, 64), WHOLE, 64, 64)
    np.testing.assert_allclose(planes, np.moveaxis(image, 2, 0) / 255, atol=1e-7)
    assert planes.dtype == np.float32


def test_halving_takes_means_of_blocks(draw):
    image = draw((32, 32, 30, 40), height=64, width=64)
    planes = aligned(image, Pose.upright(64, 64), WHOLE, 32, 32)
    means = image.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(planes, np.moveaxis(means, 2, 0) / 255, atol=1e-6)


def test_a_turned_image_gives_the_same_strip(draw):
    image = draw((120, 130, 33, 150), height=240, width=240)
    pose = find_pose(image)
    strip, turned = (
        aligned(i, p, STRIP, 32, 96) for i, p in ((image, pose), (np.rot90(image), quarter_turned(pose, 240)))
    )
    np.testing.assert_allclose(strip, turned, atol=1e-6)


@pytest.mark.parametrize("size", [256, 700])
def test_strips_of_parts_in_any_pose_look_the_same(draw, size):
    rng = np.random.default_rng(size)
    images = [
        draw((y, x, rng.uniform(0, 360), 0.6 * size), height=size, width=size, seed=i)
        for i, (y, x) in enumerate(rng.uniform(0.45, 0.55, (8, 2)) * size)
    ]
    strips = np.stack([aligned(image, find_pose(image), STRIP, 64, 192) for image in images])
    assert strips.std(axis=0).mean() < 0.02
    mean = strips.mean(axis=(0, 1))
    assert mean[32, 20:160].max() < 0.5 < mean[4].min()  # a level part, on its background
    assert mean[22, :60].min() < 0.5 < mean[22, 80:].min()  # the head is at the left


def test_deep_images_give_the_same_strip(draw):
    image = draw((128, 128, 70, 150))
    pose = find_pose(image)
    expected = aligned(image, pose, STRIP, 32, 96)
    for bit_depth in (12, 16):
        white = 2**bit_depth - 1
        deep = np.rint(image / 255 * white).astype(np.uint16)
        np.testing.assert_allclose(aligned(deep, pose, STRIP, 32, 96, bit_depth), expected, atol=2e-4)


def test_pixels_outside_the_image_have_the_nearest_color():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1)
    planes = aligned(image, Pose.upright(10, 10), Strip(-1, 1, -1, 1), 20, 20)
    padded = np.pad(image[..., 0], 5, mode="edge")
    np.testing.assert_allclose(planes[0], padded / 255, atol=1e-6)


def test_a_strip_of_less_than_a_pixel_has_one():
    image = np.full((3, 3, 1), 51, np.uint8)
    tiny = Strip(-0.01, 0.01, -0.01, 0.01)
    np.testing.assert_allclose(aligned(image, Pose.upright(3, 3), tiny, 4, 4), 0.2)
