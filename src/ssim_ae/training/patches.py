"""Patches: which part of which image, turned and mirrored how. Numbers alone: an engine cuts them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ssim_ae.config import Config


@dataclass(frozen=True)
class Picks:
    """B patches to cut: `image` (B,) int64 says from which, `affine` (B, 2, 3) float32 from where.

    `affine` maps patch coordinates to image coordinates, both from -1 to 1 across the px edges.
    """

    image: np.ndarray
    affine: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def take(self, chosen: slice | np.ndarray) -> Self:
        """Return some of the picks."""
        return type(self)(self.image[chosen], self.affine[chosen])


def epoch_picks(config: Config, images: int, epoch: int) -> Picks:
    """Return the `augment_num` patches of an epoch in their order: a function of seed and epoch alone."""
    drawing = epoch if config.online_aug else 0
    picks = draw(config, images, config.augment_num, np.random.default_rng([config.seed, 1, drawing]))
    # Where there are more images than patches, the next epoch goes on with those that had none.
    picks = Picks((picks.image + drawing * config.augment_num) % images, picks.affine)
    return picks.take(np.random.default_rng([config.seed, 2, epoch]).permutation(config.augment_num))


def draw(config: Config, images: int, count: int, rng: np.random.Generator) -> Picks:
    """Draw `count` patches, as many from each image as from any other."""
    image = np.arange(count) % images
    if not config.do_aug:
        return Picks(image, centres(config, count))
    room = config.im_resize - config.crop_size
    corners = rng.integers(0, room + 1, size=(2, count))
    turned = rng.random(count) < config.p_rotate
    angle = np.deg2rad(rng.uniform(-config.rotate_angle, config.rotate_angle, count)) * turned
    mirror_x = np.where(rng.random(count) < config.p_horizontal_flip, -1.0, 1.0)
    mirror_y = np.where(rng.random(count) < config.p_vertical_flip, -1.0, 1.0)
    return Picks(image, _affine(config, corners, angle, mirror_x, mirror_y))


def centres(config: Config, count: int) -> np.ndarray:
    """Return the affines (count, 2, 3) of the unturned patch in the middle of the image."""
    corners = np.full((2, count), (config.im_resize - config.crop_size) // 2)
    return _affine(config, corners, np.zeros(count), np.ones(count), np.ones(count))


def monitor_picks(config: Config, images: int, count: int) -> Picks:
    """Return `count` patches of the held-out images, the same ones every time, neither turned nor mirrored."""
    still = config.replace(p_rotate=0, p_horizontal_flip=0, p_vertical_flip=0)
    return draw(still, images, count, np.random.default_rng([config.seed, 3]))


def _affine(
    config: Config, corners: np.ndarray, angle: np.ndarray, mirror_x: np.ndarray, mirror_y: np.ndarray
) -> np.ndarray:
    scale = config.crop_size / config.im_resize
    middle_y, middle_x = (2 * corners + config.crop_size) / config.im_resize - 1
    cosine, sine = np.cos(angle), np.sin(angle)
    rows = [
        [cosine * scale * mirror_x, -sine * scale * mirror_y, cosine * middle_x - sine * middle_y],
        [sine * scale * mirror_x, cosine * scale * mirror_y, sine * middle_x + cosine * middle_y],
    ]
    return np.moveaxis(np.array(rows, np.float32), 2, 0).copy()
