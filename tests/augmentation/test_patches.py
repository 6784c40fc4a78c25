import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

from ssim_ae.augmentation.patches import PatchBatch, gain
from ssim_ae.augmentation.torch_cut import _rotated_patches, cut_patches
from ssim_ae.config import Config
from ssim_ae.training.patch_sampling import draw, epoch_patches, monitor_patches

STILL = {"p_rotate": 0, "p_horizontal_flip": 0, "p_vertical_flip": 0}


def smooth(size: int, count: int = 3, channels: int = 1) -> torch.Tensor:
    """Smooth uint8 images (count, channels, size, size), all different."""
    y, x = np.mgrid[:size, :size] / size
    waves = [np.sin(5 * x * (1 + n) + n) * np.cos(4 * y + n) for n in range(count * channels)]
    return torch.from_numpy(np.uint8(127 + 100 * np.stack(waves)).reshape(count, channels, size, size))


def cut_one(stack, config, rng):
    picks = draw(config, len(stack), len(stack), rng)
    return cut_patches(stack, picks, config.crop_size), picks


def test_unturned_patches_are_exact_copies(rng):
    config = Config(im_resize=96, crop_size=64, **STILL)
    stack = smooth(96, channels=3)
    patches, picks = cut_one(stack, config, rng)
    for patch, image, (y, x) in zip(patches, picks.image, picks.corner, strict=True):
        assert torch.equal(patch, stack[image, :, y : y + 64, x : x + 64] / 255)


@pytest.mark.parametrize(("key", "axis"), [("p_horizontal_flip", -1), ("p_vertical_flip", -2)])
def test_flips_mirror(key, axis):
    config = Config(im_resize=96, crop_size=64, **STILL)
    stack = smooth(96)
    plain, _ = cut_one(stack, config, np.random.default_rng(0))
    mirrored, _ = cut_one(stack, config.replace(**{key: 1}), np.random.default_rng(0))
    assert torch.allclose(plain.flip(axis), mirrored, atol=1e-4)
    assert not torch.allclose(plain, mirrored, atol=1e-2)


def test_turning_agrees_with_an_independent_rotation():
    config = Config(im_resize=128, crop_size=128, rotate_angle=30, **STILL | {"p_rotate": 1})
    stack = smooth(128, count=1)
    picks = draw(config, 1, 1, np.random.default_rng(3))
    degrees = np.degrees(picks.angle[0])
    assert 1 < abs(degrees) <= 30
    expected = rotate(stack[0, 0].numpy().astype(float), degrees, reshape=False, order=1, mode="reflect") / 255
    assert np.abs(cut_patches(stack, picks, 128)[0, 0].numpy() - expected).max() < 0.02


def test_turned_patches_have_no_black_corners(rng):
    config = Config(im_resize=64, crop_size=64, rotate_angle=180, **STILL | {"p_rotate": 1})
    stack = torch.full((4, 3, 64, 64), 200, dtype=torch.uint8)
    patches, _ = cut_one(stack, config, rng)
    assert torch.allclose(patches, torch.tensor(200 / 255), atol=1e-4)


def test_patches_are_lit_unevenly_and_smoothly():
    config = Config(im_resize=64, crop_size=64, augment_num=400, batch_size=1, light=0.1, **STILL)
    stack = torch.full((3, 3, 64, 64), 0.5)
    patches = cut_patches(stack, epoch_patches(config, 3, 0), 64).numpy() / 0.5
    assert np.ptp(patches, axis=1).max() < 1e-6, "colours stay"
    assert patches[:, 0, 0, 0].std() == pytest.approx(0.1 * np.hypot(1, 0.6), rel=0.1)
    across = patches[:, 0, 0, 0] - patches[:, 0, -1, -1]
    assert across.std() == pytest.approx(0.1 * np.sqrt(2), rel=0.1)
    assert np.abs(np.diff(patches, axis=2)).max() < 0.05
    bright = cut_patches(
        torch.full((3, 1, 64, 64), 255, dtype=torch.uint8), epoch_patches(config.replace(light=1), 3, 0), 64
    )
    assert bright.max() == 1 and bright.min() == 0


def test_light_falls_on_its_place():
    light = np.zeros((1, 4, 4), np.float32)
    light[0, 0, 3] = 0.5
    lit = gain(light, 31)[0, 0]
    assert lit[0, -1] == 1.5 == lit.max() and (lit[10:] == 1).all() and (lit[:, :21] == 1).all()
    assert gain(np.full((1, 4, 4), 0.5, np.float32), 31) == pytest.approx(1.5)


def test_rates_and_ranges(rng):
    config = Config(p_rotate=0.3, rotate_angle=45, p_horizontal_flip=0.2, p_vertical_flip=0.7)
    picks = draw(config, 7, 20_000, rng)
    assert picks.mirrored.mean(axis=0) == pytest.approx([0.7, 0.2], abs=0.02)
    assert np.mean(picks.angle != 0) == pytest.approx(0.3, abs=0.02)
    assert 44 < np.degrees(np.abs(picks.angle).max()) <= 45
    assert (picks.corner.min(axis=0) == 0).all() and (picks.corner.max(axis=0) == 128).all()


def test_every_image_is_used_alike(rng):
    counts = np.bincount(draw(Config(), 7, 7_000, rng).image)
    assert (counts == 1000).all()


def test_without_augmentation_the_centre_is_taken():
    config = Config(im_resize=266, crop_size=256, do_aug=False)
    stack = smooth(266)
    patches = cut_patches(stack, draw(config, 3, 3, np.random.default_rng(0)), 256)
    assert torch.allclose(patches, stack[:, :, 5:261, 5:261] / 255, atol=1e-4)


@pytest.mark.parametrize("online", [False, True])
def test_an_epoch_is_a_function_of_seed_and_number(online):
    config = Config(augment_num=100, batch_size=10, online_aug=online, light=0.1)
    first, again, second = (epoch_patches(config, 5, epoch) for epoch in (0, 0, 1))
    assert np.array_equal(first.corner, again.corner) and np.array_equal(first.light, again.light)
    assert (sorted(first.light[:, 0, 0]) == sorted(second.light[:, 0, 0])) is not online
    assert not np.array_equal(first.corner, second.corner)
    same_patches = sorted(first.corner.tolist()) == sorted(second.corner.tolist())
    assert same_patches is not online
    other = epoch_patches(config.replace(seed=5), 5, 0)
    assert not np.array_equal(first.corner, other.corner)


def test_monitored_patches_are_not_augmented():
    picks = monitor_patches(Config(light=0.1), 5, 20)
    assert not picks.angle.any() and not picks.mirrored.any() and picks.light is None
    assert epoch_patches(Config(im_resize=128, light=0.1, do_aug=False), 5, 0).light is None


def test_picks_are_taken_in_order(rng):
    picks = epoch_patches(Config(method="repair", augment_num=10, batch_size=10), 5, 0)
    order = rng.permutation(10)
    taken = picks.take(order)
    assert isinstance(taken, PatchBatch) and len(taken) == len(taken.damage) == 10
    before, after = ({**vars(one), **vars(one.damage)} for one in (picks, taken))
    for name in before.keys() - {"damage"}:
        assert np.array_equal(after[name], before[name][order]), name


def test_damage_is_a_function_of_seed_and_epoch():
    config = Config(method="repair", augment_num=10, batch_size=10)
    first, again, next_one = (epoch_patches(config, 5, epoch).damage for epoch in (0, 0, 1))
    assert np.array_equal(first.center, again.center) and not np.array_equal(first.center, next_one.center)
    assert epoch_patches(config.replace(method="reference"), 5, 0).damage is None


def test_more_images_than_patches_are_all_seen_in_time():
    config = Config(augment_num=50, batch_size=10, online_aug=True)
    seen = {image for epoch in range(4) for image in epoch_patches(config, 130, epoch).image.tolist()}
    assert seen == set(range(130))


def test_float_images_are_cut_like_bytes(rng):
    config = Config(im_resize=96, crop_size=64)
    stack = smooth(96)
    picks = draw(config, 3, 6, rng)
    assert torch.allclose(cut_patches(stack, picks, 64), cut_patches(stack.float() / 255, picks, 64), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_cutting_windows_is_cutting_whole_images(rng, channels):
    """On a CPU only what a patch can reach is looked at, elsewhere whole images are: the same patches."""
    config = Config(im_resize=96, crop_size=32, p_rotate=0.5, rotate_angle=180)
    stack = smooth(96, channels=channels)
    picks = draw(config, 3, 60, rng)
    whole = _rotated_patches(stack, picks, 32) / 255
    assert torch.allclose(cut_patches(stack, picks, 32), whole, atol=1e-4)
