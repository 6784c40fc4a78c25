"""The pose that is found against the one that was drawn."""

import numpy as np
import pytest

from ssim_ae.alignment.pose import find_pose


def angle_between(pose, degrees):
    found = np.degrees(np.arctan2(pose.dy, pose.dx))
    return abs((found - degrees + 180) % 360 - 180)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [200, 512])
def test_center_and_direction_of_a_drawn_bolt(draw, bolt_center, size, seed):
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(0.45, 0.55, 2) * size
    degrees, length = rng.uniform(-180, 180), 0.6 * size
    pose = find_pose(draw((y, x, degrees, length), height=size, width=size, seed=seed))
    offset = bolt_center * length
    true_y, true_x = y + offset * np.sin(np.radians(degrees)), x + offset * np.cos(np.radians(degrees))
    assert np.hypot(pose.y - true_y, pose.x - true_x) < 0.004 * size
    assert angle_between(pose, degrees) < 0.3


def test_the_pose_follows_quarter_turns_of_the_image(draw):
    image = draw((120, 140, 20, 150), height=240, width=280)
    pose, turned = find_pose(image), find_pose(np.rot90(image))
    assert abs(turned.y - (280 - pose.x)) + abs(turned.x - pose.y) <= 2 / 32
    assert (turned.dy, turned.dx) == (-pose.dx, pose.dy)


def test_the_direction_points_to_the_thinner_end(draw):
    for degrees in (0, 90, 180, 270):
        pose = find_pose(draw((128, 128, degrees, 150)))
        assert angle_between(pose, degrees) < 0.3
        assert pose.skewness > 0.3


def test_the_largest_of_several_parts_is_found(draw):
    alone, both = (draw((90, 128, 10, 160), *others) for others in ([], [(200, 128, 80, 80)]))
    np.testing.assert_allclose(find_pose(both)[:4], find_pose(alone)[:4], atol=0.05)


def test_specks_do_not_move_the_pose(draw):
    image = draw((128, 128, 30, 160), noise=0)
    specked = image.copy()
    rng = np.random.default_rng(0)
    specked[rng.integers(8, 40, 30), rng.integers(200, 248, 30)] = 0
    np.testing.assert_allclose(find_pose(specked)[:4], find_pose(image)[:4], atol=0.1)


def test_a_part_that_differs_in_one_channel_only_is_found():
    image = np.full((100, 160, 3), 120, np.uint8)
    image[40:50, 30:130, 2] = 160
    pose = find_pose(image)
    assert (pose.y, pose.x, abs(pose.dx)) == (45, 80, 1)


@pytest.mark.parametrize("bit_depth", [12, 16])
def test_deep_images_have_the_pose_of_their_upper_eight_bits(draw, bit_depth):
    image = draw((128, 120, 200, 170))
    deep = image.astype(np.uint16) << (bit_depth - 8)
    assert find_pose(deep, bit_depth) == find_pose(image)


def test_sizes_do_not_depend_on_the_resolution(draw):
    small, large = (find_pose(draw((n / 2, n / 2, 40, 0.6 * n), height=n, width=n)) for n in (256, 768))
    np.testing.assert_allclose(small[4:], large[4:], rtol=0.02)
    np.testing.assert_allclose(small.length, 0.63, rtol=0.02)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 3), (3, 700, 1), (100, 80, 3), (2, 3000, 3)])
def test_an_image_of_one_color_has_the_pose_of_the_whole_image(shape):
    for color in (0, 128, 255):
        pose = find_pose(np.full(shape, color, np.uint8))
        assert abs(pose.y - shape[0] / 2) <= 2
        assert shape[1] > 1000 or abs(pose.x - shape[1] / 2) <= 2
        assert abs(pose.dy) + abs(pose.dx) == 1
        assert np.all(np.isfinite(pose))


@pytest.mark.parametrize("seed", range(3))
def test_images_of_noise_have_some_pose(seed):
    pose = find_pose(np.random.default_rng(seed).integers(0, 256, (90, 300, 3), np.uint8))
    assert np.all(np.isfinite(pose))
