import numpy as np
import pytest

from ssim_ae import Config
from ssim_ae.training.patch_sampling import SMALL_ROTATION, draw_patches, epoch_patches, monitor_patches


def reference(**settings) -> Config:
    return Config(method="reference", **{"im_resize": 256} | settings)


def test_rates_and_ranges(rng):
    config = reference(im_resize=(256, 448), p_rotate=0.3, rotate_angle=45, p_horizontal_flip=0.2, p_vertical_flip=0.7)
    batch = draw_patches(config, 7, 20_000, rng)
    assert batch.flipped.mean(axis=0) == pytest.approx([0.7, 0.2], abs=0.02)
    assert np.mean(batch.angle != 0) == pytest.approx(0.3, abs=0.02)
    assert 44 < np.degrees(np.abs(batch.angle).max()) <= 45
    assert (batch.corner.min(axis=0) == 0).all() and batch.corner.max(axis=0).tolist() == [128, 320]


def test_an_automatic_angle_is_small_until_the_images_are_known(rng):
    batch = draw_patches(reference(p_rotate=1, rotate_angle=None), 7, 20_000, rng)
    assert 0.99 * SMALL_ROTATION < np.degrees(np.abs(batch.angle).max()) <= SMALL_ROTATION


def test_every_image_has_the_same_number_of_patches(rng):
    counts = np.bincount(draw_patches(reference(), 7, 7_000, rng).image)
    assert (counts == 1000).all()


@pytest.mark.parametrize("online", [False, True])
def test_patches_are_a_function_of_seed_and_epoch(online):
    config = reference(augment_num=100, batch_size=10, online_aug=online, illumination_std=0.1)
    first, repeated, second = (epoch_patches(config, 5, epoch) for epoch in (0, 0, 1))
    assert np.array_equal(first.corner, repeated.corner)
    assert np.array_equal(first.illumination, repeated.illumination)
    same_illumination = sorted(first.illumination[:, 0, 0]) == sorted(second.illumination[:, 0, 0])
    assert same_illumination is not online
    assert not np.array_equal(first.corner, second.corner)
    same_patches = sorted(first.corner.tolist()) == sorted(second.corner.tolist())
    assert same_patches is not online
    other = epoch_patches(config.replace(seed=5), 5, 0)
    assert not np.array_equal(first.corner, other.corner)


def test_monitor_patches_are_not_augmented():
    batch = monitor_patches(reference(illumination_std=0.1), 5, 20)
    assert not batch.angle.any() and not batch.flipped.any() and batch.illumination is None
    assert epoch_patches(reference(im_resize=128, illumination_std=0.1, do_aug=False), 5, 0).illumination is None


def test_monitor_patches_are_corrupted_by_the_method_repair_alone():
    first, repeated = (monitor_patches(Config(method="repair", im_resize=144), 5, 20).corruption for _ in range(2))
    assert len(first) == 20 and np.array_equal(first.center, repeated.center)
    assert monitor_patches(reference(), 5, 20).corruption is None


def test_corruption_is_a_function_of_seed_and_epoch():
    config = Config(method="repair", im_resize=144, augment_num=10, batch_size=10)
    first, repeated, second = (epoch_patches(config, 5, epoch).corruption for epoch in (0, 0, 1))
    assert np.array_equal(first.center, repeated.center) and not np.array_equal(first.center, second.center)
    assert epoch_patches(config.replace(method="reference"), 5, 0).corruption is None


def test_all_images_are_used_over_epochs_if_there_are_more_images_than_patches():
    config = reference(augment_num=50, batch_size=10, online_aug=True)
    used = {image for epoch in range(4) for image in epoch_patches(config, 130, epoch).image.tolist()}
    assert used == set(range(130))
