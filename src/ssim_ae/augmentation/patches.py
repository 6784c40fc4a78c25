"""Patches: which part of which image, turned, mirrored, lit and damaged how. Numbers alone: an engine cuts them."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ssim_ae.augmentation.corruption import Corruption, draw_corruption
from ssim_ae.config import Config

LIGHT_GRID = 4  # points along each side that are lit by themselves ...
COMMON_LIGHT = 0.6  # ... and the deviation of what all have in common, as a multiple of their own
AS_THEY_LIE = 5.0  # degrees that patches are turned by at most, where nothing else is said


@dataclass(frozen=True)
class PatchBatch:
    """B patches to cut: which image (B,) int64, the patch's upper left corner there (B, 2) int64 px as (y, x),
    the angle (B,) by which it is turned about its middle, radians, whether it is mirrored (B, 2) bool as (y, x), how
    much more `light` falls on each of its points, as a share, (B, LIGHT_GRID, LIGHT_GRID) float32, and what `damage`
    is then done to it; the last two, if any.
    """

    image: np.ndarray
    corner: np.ndarray
    angle: np.ndarray
    mirrored: np.ndarray
    light: np.ndarray | None = None
    damage: Corruption | None = None

    def __len__(self) -> int:
        return len(self.image)

    def take(self, chosen: slice | np.ndarray) -> Self:
        """Return some of the picks."""
        light = self.light if self.light is None else self.light[chosen]
        damage = self.damage and self.damage.take(chosen)
        each = (self.image[chosen], self.corner[chosen], self.angle[chosen], self.mirrored[chosen])
        return type(self)(*each, light, damage)

    def affine(self, size: int, crop_size: int) -> np.ndarray:
        """(B, 2, 3) float32: from patch coordinates to those of an image of `size` px, both -1 to 1 across px edges."""
        scale = crop_size / size
        middle_y, middle_x = (2 * self.corner.T + crop_size) / size - 1
        mirror_y, mirror_x = np.where(self.mirrored.T, -scale, scale)
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rows = [
            [cosine * mirror_x, -sine * mirror_y, middle_x],
            [sine * mirror_x, cosine * mirror_y, middle_y],
        ]
        return np.moveaxis(np.array(rows, np.float32), 2, 0).copy()


def epoch_patches(config: Config, images: int, epoch: int) -> PatchBatch:
    """Return the `augment_num` patches of an epoch in their order: a function of seed and epoch alone."""
    drawing = epoch if config.online_aug else 0
    picks = draw(config, images, config.augment_num, np.random.default_rng([config.seed, 1, drawing]))
    # Where there are more images than patches, the next epoch goes on with those that had none.
    picks = replace(picks, image=(picks.image + drawing * config.augment_num) % images)
    picks = _lit(picks, config, np.random.default_rng([config.seed, 7, drawing]))
    picks = picks.take(np.random.default_rng([config.seed, 2, epoch]).permutation(config.augment_num))
    return _damaged(picks, config, images, np.random.default_rng([config.seed, 4, epoch]))


def draw(config: Config, images: int, count: int, rng: np.random.Generator) -> PatchBatch:
    """Draw `count` patches, as many from each image as from any other."""
    image = np.arange(count) % images
    room = config.im_resize - config.crop_size
    if not config.do_aug:
        return PatchBatch(image, np.full((count, 2), room // 2), np.zeros(count), np.zeros((count, 2), bool))
    corner = rng.integers(0, room + 1, size=(count, 2))
    turned = rng.random(count) < config.p_rotate
    most = config.rotate_angle if config.rotate_angle >= 0 else AS_THEY_LIE
    angle = np.deg2rad(rng.uniform(-most, most, count)) * turned
    mirrored = rng.random((count, 2)) < (config.p_vertical_flip, config.p_horizontal_flip)
    return PatchBatch(image, corner, angle, mirrored)


def gain(light: np.ndarray, crop_size: int) -> np.ndarray:
    """Light of `PatchBatch` -> (B, 1, crop_size, crop_size) float32 >= 0, what the patches are multiplied by."""
    points = np.arange(LIGHT_GRID, dtype=np.float32)
    away = np.linspace(0, LIGHT_GRID - 1, crop_size, dtype=np.float32)[:, None] - points
    shares = (1 + np.cos(np.float32(np.pi) * np.minimum(1, np.abs(away)))) / 2
    multiplied: np.ndarray = np.maximum(1 + shares @ light[:, None] @ shares.T, 0)
    return multiplied


def _lit(picks: PatchBatch, config: Config, rng: np.random.Generator) -> PatchBatch:
    """Draw light that falls unevenly, as the config says."""
    if not (config.light and config.do_aug):
        return picks
    own = rng.normal(0, config.light, (len(picks), LIGHT_GRID, LIGHT_GRID))
    common = rng.normal(0, COMMON_LIGHT * config.light, (len(picks), 1, 1))
    return replace(picks, light=(own + common).astype(np.float32))


def monitor_patches(config: Config, images: int, count: int) -> PatchBatch:
    """Return `count` patches of the held-out images, the same every time, not turned, mirrored or lit otherwise."""
    still = config.replace(p_rotate=0, p_horizontal_flip=0, p_vertical_flip=0)
    picks = draw(still, images, count, np.random.default_rng([config.seed, 3]))
    return _damaged(picks, config, images, np.random.default_rng([config.seed, 6]))


def pieces_of(damage: Corruption, room: int) -> PatchBatch:
    """Return the pieces of images that a damage is filled with, where corners may lie from 0 to `room` px."""
    still = np.zeros(len(damage))
    return PatchBatch(
        damage.piece_image,
        (damage.piece_position * (room + 1)).astype(np.int64),
        still,
        np.zeros((len(damage), 2), bool),
    )


def _damaged(picks: PatchBatch, config: Config, images: int, rng: np.random.Generator) -> PatchBatch:
    return replace(picks, damage=draw_corruption(len(picks), images, rng)) if config.method == "repair" else picks
