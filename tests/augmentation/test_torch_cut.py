import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

from ssim_ae import Config
from ssim_ae.augmentation.torch_cut import _rotated_patches, cut_patches
from ssim_ae.training.patch_sampling import COMMON_ILLUMINATION, draw_patches, epoch_patches

UPRIGHT = {"p_rotate": 0, "p_horizontal_flip": 0, "p_vertical_flip": 0}


def reference(**settings) -> Config:
    return Config(method="reference", **settings)


def smooth_images(height: int, count: int = 3, channels: int = 1, width: int | None = None) -> torch.Tensor:
    """Return smooth uint8 images (count, channels, height, width), all different; squares without a width."""
    width = width or height
    y, x = np.mgrid[:height, :width] / height
    waves = [np.sin(5 * x * (1 + n) + n) * np.cos(4 * y + n) for n in range(count * channels)]
    return torch.from_numpy(np.uint8(127 + 100 * np.stack(waves)).reshape(count, channels, height, width))


def one_patch_each(images, config, rng):
    """Cut one patch from each image; return the patches and their batch."""
    batch = draw_patches(config, len(images), len(images), rng)
    return cut_patches(images, batch, config.crop_size), batch


def test_upright_patches_are_exact_copies(rng):
    images = smooth_images(96, channels=3)
    patches, batch = one_patch_each(images, reference(im_resize=96, crop_size=64, **UPRIGHT), rng)
    for patch, image, (y, x) in zip(patches, batch.image, batch.corner, strict=True):
        assert torch.equal(patch, images[image, :, y : y + 64, x : x + 64] / 255)


@pytest.mark.parametrize(("key", "axis"), [("p_horizontal_flip", -1), ("p_vertical_flip", -2)])
def test_flipped_patches_are_reversed_along_their_axis(key, axis):
    config = reference(im_resize=(96, 150), crop_size=64, **UPRIGHT)
    images = smooth_images(96, width=150)
    plain, _ = one_patch_each(images, config, np.random.default_rng(0))
    flipped, _ = one_patch_each(images, config.replace(**{key: 1}), np.random.default_rng(0))
    assert torch.allclose(plain.flip(axis), flipped, atol=1e-4)
    assert not torch.allclose(plain, flipped, atol=1e-2)


@pytest.mark.parametrize("width", [128, 300])
def test_rotation_agrees_with_scipy(width):
    config = reference(im_resize=(128, width), crop_size=128, rotate_angle=30, **UPRIGHT | {"p_rotate": 1})
    images = smooth_images(128, count=1, width=width)
    batch = draw_patches(config, 1, 1, np.random.default_rng(3))
    degrees = np.degrees(batch.angle[0])
    assert 1 < abs(degrees) <= 30
    left = batch.corner[0, 1]
    padded = np.pad(images[0, 0].numpy().astype(float), ((128, 128), (128, 128)), "symmetric")
    around = padded[64:320, left + 64 : left + 320]  # the patch and 64 px on each side
    expected = rotate(around, degrees, reshape=False, order=1)[64:192, 64:192] / 255
    assert np.abs(cut_patches(images, batch, 128)[0, 0].numpy() - expected).max() < 0.02


def test_rotated_patches_have_no_black_corners(rng):
    config = reference(im_resize=64, crop_size=64, rotate_angle=180, **UPRIGHT | {"p_rotate": 1})
    images = torch.full((4, 3, 64, 64), 200, dtype=torch.uint8)
    patches, _ = one_patch_each(images, config, rng)
    assert torch.allclose(patches, torch.tensor(200 / 255), atol=1e-4)


def test_illumination_is_smooth_has_the_given_deviation_and_keeps_colors():
    config = reference(im_resize=64, crop_size=64, augment_num=400, batch_size=1, illumination_std=0.1, **UPRIGHT)
    images = torch.full((3, 3, 64, 64), 0.5)
    patches = cut_patches(images, epoch_patches(config, 3, 0), 64).numpy() / 0.5
    assert np.ptp(patches, axis=1).max() < 1e-6, "equal in all channels"
    assert patches[:, 0, 0, 0].std() == pytest.approx(0.1 * np.hypot(1, COMMON_ILLUMINATION), rel=0.1)
    difference = patches[:, 0, 0, 0] - patches[:, 0, -1, -1]
    assert difference.std() == pytest.approx(0.1 * np.sqrt(2), rel=0.1)
    assert np.abs(np.diff(patches, axis=2)).max() < 0.05
    white, strong = torch.full((3, 1, 64, 64), 255, dtype=torch.uint8), config.replace(illumination_std=1)
    bright = cut_patches(white, epoch_patches(strong, 3, 0), 64)
    assert bright.max() == 1 and bright.min() == 0


def test_patches_are_the_centers_without_augmentation():
    config = reference(im_resize=(266, 280), crop_size=256, do_aug=False)
    images = smooth_images(266, width=280)
    patches = cut_patches(images, draw_patches(config, 3, 3, np.random.default_rng(0)), 256)
    assert torch.allclose(patches, images[:, :, 5:261, 12:268] / 255, atol=1e-4)


def test_patches_of_float_images_equal_those_of_bytes(rng):
    config = reference(im_resize=96, crop_size=64)
    images = smooth_images(96)
    batch = draw_patches(config, 3, 6, rng)
    assert torch.allclose(cut_patches(images, batch, 64), cut_patches(images.float() / 255, batch, 64), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_cut_from_windows_equal_those_of_whole_images(rng, channels):
    """On a CPU only the window that a rotated patch can reach is interpolated, elsewhere the whole image."""
    config = reference(im_resize=(60, 96), crop_size=32, p_rotate=0.5, rotate_angle=180)
    images = smooth_images(60, channels=channels, width=96)
    batch = draw_patches(config, 3, 60, rng)
    whole = _rotated_patches(images, batch, 32) / 255
    assert torch.allclose(cut_patches(images, batch, 32), whole, atol=1e-4)
