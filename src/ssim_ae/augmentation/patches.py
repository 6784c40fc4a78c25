"""Training patches as numbers: which part of which image, rotated, flipped, lit and corrupted how. Engines cut them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from ssim_ae.augmentation.corruption import Corruption
from ssim_ae.methods import method_of
from ssim_ae.random_streams import Stream, random_stream

if TYPE_CHECKING:
    from ssim_ae.config import Config

ILLUMINATION_GRID = 4  # points along each side of a patch whose illumination is drawn
COMMON_ILLUMINATION = 0.6  # standard deviation of the part that all points share, relative to that of each point
SMALL_ROTATION = 5.0  # degrees: maximum rotation for parts in one orientation
ANY_ROTATION = 180.0  # degrees: maximum rotation for parts in any orientation


@dataclass(frozen=True)
class PatchBatch:
    """B patches to cut.

    `image` (B,) int64: index of the image; `corner` (B, 2) int64: upper left corner in it, px as (y, x); `angle` (B,):
    rotation about the middle of the patch, radians; `flipped` (B, 2) bool as (y, x); `illumination`, if any,
    (B, ILLUMINATION_GRID, ILLUMINATION_GRID) float32: relative change of brightness at the points of a grid;
    `corruption`, if any: the damage that is applied last.
    """

    image: np.ndarray
    corner: np.ndarray
    angle: np.ndarray
    flipped: np.ndarray
    illumination: np.ndarray | None = None
    corruption: Corruption | None = None

    def __len__(self) -> int:
        return len(self.image)

    def take(self, chosen: slice | np.ndarray) -> Self:
        """Return the chosen patches."""
        illumination = self.illumination if self.illumination is None else self.illumination[chosen]
        corruption = self.corruption and self.corruption.take(chosen)
        geometry = (self.image[chosen], self.corner[chosen], self.angle[chosen], self.flipped[chosen])
        return type(self)(*geometry, illumination, corruption)

    def affine(self, size: int, crop_size: int) -> np.ndarray:
        """Return the transforms from coordinates of patches to those of images of `size` px, (B, 2, 3) float32.

        Both coordinates run from -1 to 1 between the outer edges of the pixels.
        """
        scale = crop_size / size
        middle_y, middle_x = (2 * self.corner.T + crop_size) / size - 1
        scale_y, scale_x = np.where(self.flipped.T, -scale, scale)
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rows = [
            [cosine * scale_x, -sine * scale_y, middle_x],
            [sine * scale_x, cosine * scale_y, middle_y],
        ]
        return np.moveaxis(np.array(rows, np.float32), 2, 0).copy()


def epoch_patches(config: Config, images: int, epoch: int) -> PatchBatch:
    """Return the `augment_num` patches of an epoch in their order: a function of seed and epoch alone."""
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


def draw_patches(config: Config, images: int, count: int, rng: np.random.Generator) -> PatchBatch:
    """Draw `count` patches, the same number from each image."""
    image = np.arange(count) % images
    max_corner = config.im_resize - config.crop_size
    if not config.do_aug:
        return _upright(image, np.full((count, 2), max_corner // 2))
    corner = rng.integers(0, max_corner + 1, size=(count, 2))
    rotated = rng.random(count) < config.p_rotate
    max_angle = SMALL_ROTATION if config.rotate_angle is None else config.rotate_angle
    angle = np.deg2rad(rng.uniform(-max_angle, max_angle, count)) * rotated
    flipped = rng.random((count, 2)) < (config.p_vertical_flip, config.p_horizontal_flip)
    return PatchBatch(image, corner, angle, flipped)


def illumination_gain(illumination: np.ndarray, crop_size: int) -> np.ndarray:
    """Return the factors (B, 1, crop_size, crop_size) float32 >= 0 of the illumination of a `PatchBatch`."""
    points = np.arange(ILLUMINATION_GRID, dtype=np.float32)
    distance = np.linspace(0, ILLUMINATION_GRID - 1, crop_size, dtype=np.float32)[:, None] - points
    weights = (1 + np.cos(np.float32(np.pi) * np.minimum(1, np.abs(distance)))) / 2
    gain: np.ndarray = np.maximum(1 + weights @ illumination[:, None] @ weights.T, 0)
    return gain


def corruption_pieces(corruption: Corruption, max_corner: int) -> PatchBatch:
    """Return the patches that a corruption takes its pieces from; corners are at most `max_corner` px."""
    return _upright(corruption.piece_image, (corruption.piece_position * (max_corner + 1)).astype(np.int64))


def _upright(image: np.ndarray, corner: np.ndarray) -> PatchBatch:
    """Return patches that are neither rotated nor flipped."""
    return PatchBatch(image, corner, np.zeros(len(image)), np.zeros((len(image), 2), bool))


def _illuminate(batch: PatchBatch, config: Config, rng: np.random.Generator) -> PatchBatch:
    if not (config.illumination_std and config.do_aug):
        return batch
    own = rng.normal(0, config.illumination_std, (len(batch), ILLUMINATION_GRID, ILLUMINATION_GRID))
    common = rng.normal(0, COMMON_ILLUMINATION * config.illumination_std, (len(batch), 1, 1))
    return replace(batch, illumination=(own + common).astype(np.float32))


def _corrupt(batch: PatchBatch, config: Config, images: int, rng: np.random.Generator) -> PatchBatch:
    return replace(batch, corruption=method_of(config).draw_corruption(len(batch), images, rng))
