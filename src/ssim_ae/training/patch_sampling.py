"""Sampling of training patches, as functions of the settings, the seed and the epoch."""

from __future__ import annotations

from dataclasses import replace
from math import prod, sqrt

import numpy as np

from ssim_ae.augmentation.patches import ILLUMINATION_GRID, PatchBatch, upright_patches
from ssim_ae.config import Config
from ssim_ae.images.size import Size
from ssim_ae.methods import trained_method_of
from ssim_ae.random_streams import Stream, random_stream

COMMON_ILLUMINATION = 0.6  # standard deviation of the part that all points share, relative to that of each point
WHOLE_IMAGE_SHIFT = 0.01  # standard deviation, in sides of a square with as many pixels
SMALL_ROTATION = 5.0  # degrees: maximum rotation for parts in one orientation


def epoch_patches(config: Config, images: int, epoch: int) -> PatchBatch:
    """Return the `augment_num` patches of an epoch in their order: a function of seed and epoch."""
    drawing = epoch if config.online_aug else 0
    batch = draw_patches(config, images, config.augment_num, random_stream(config.seed, Stream.PATCHES, drawing))
    # If there are more images than patches, the next epoch continues with the images that had none.
    batch = replace(batch, image=(batch.image + drawing * config.augment_num) % images)
    batch = _illuminate(batch, config, random_stream(config.seed, Stream.ILLUMINATION, drawing))
    order = random_stream(config.seed, Stream.PATCH_ORDER, epoch).permutation(config.augment_num)
    return _corrupt(batch.take(order), config, images, random_stream(config.seed, Stream.CORRUPTION, epoch))


def monitor_patches(config: Config, images: int, count: int) -> PatchBatch:
    """Return `count` patches of the held-out images, always the same; corrupted, but not otherwise augmented."""
    plain = config.replace(p_rotate=0, p_horizontal_flip=0, p_vertical_flip=0)
    batch = draw_patches(plain, images, count, random_stream(config.seed, Stream.MONITOR_PATCHES))
    return _corrupt(batch, config, images, random_stream(config.seed, Stream.MONITOR_CORRUPTION))


def patch_size(config: Config, images: np.ndarray) -> Size:
    """Return the size of patches of images (N, C, H, W): `crop_size`, or that of the images."""
    return Size.of(config.crop_size) if config.uses("crop_size") else Size(*images.shape[2:])


def draw_patches(config: Config, images: int, count: int, rng: np.random.Generator) -> PatchBatch:
    """Draw `count` patches, the same number from each image: parts of them, or whole images, moved a little."""
    image = np.arange(count) % images
    whole = not config.uses("crop_size")
    max_corner = np.zeros(2, int) if whole else np.array(config.working_size) - config.crop_size
    if not config.do_aug:
        return upright_patches(image, np.tile(max_corner // 2, (count, 1)))
    corner = rng.integers(0, max_corner + 1, size=(count, 2))
    rotated = rng.random(count) < config.p_rotate
    if whole:  # those that are turned are moved, too
        std = WHOLE_IMAGE_SHIFT * sqrt(prod(config.working_size))
        corner = np.rint(rng.normal(0, std, (count, 2)) * rotated[:, None]).astype(np.int64)
    max_angle = SMALL_ROTATION if config.rotate_angle is None else config.rotate_angle
    angle = np.deg2rad(rng.uniform(-max_angle, max_angle, count)) * rotated
    flipped = rng.random((count, 2)) < (config.p_vertical_flip, config.p_horizontal_flip)
    return PatchBatch(image, corner, angle, flipped)


def _illuminate(batch: PatchBatch, config: Config, rng: np.random.Generator) -> PatchBatch:
    if not (config.illumination_std and config.do_aug):
        return batch
    own = rng.normal(0, config.illumination_std, (len(batch), ILLUMINATION_GRID, ILLUMINATION_GRID))
    common = rng.normal(0, COMMON_ILLUMINATION * config.illumination_std, (len(batch), 1, 1))
    return replace(batch, illumination=(own + common).astype(np.float32))


def _corrupt(batch: PatchBatch, config: Config, images: int, rng: np.random.Generator) -> PatchBatch:
    return replace(batch, corruption=trained_method_of(config).draw_corruption(len(batch), images, rng))
