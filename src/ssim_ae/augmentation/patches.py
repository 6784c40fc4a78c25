"""Training patches as numbers: position, rotation, flips, illumination and corruption of each. Engines cut them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ssim_ae.augmentation.corruption import Corruption
from ssim_ae.augmentation.damage import Damage
from ssim_ae.images.size import Size

ILLUMINATION_GRID = 4  # points along each side of a patch whose illumination is drawn


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
    corruption: Corruption | Damage | None = None

    def __len__(self) -> int:
        return len(self.image)

    def take(self, chosen: slice | np.ndarray) -> Self:
        """Return the chosen patches."""
        illumination = self.illumination if self.illumination is None else self.illumination[chosen]
        corruption = self.corruption and self.corruption.take(chosen)
        geometry = (self.image[chosen], self.corner[chosen], self.angle[chosen], self.flipped[chosen])
        return type(self)(*geometry, illumination, corruption)

    def affine(self, size: Sequence[int], crop_size: int | Size) -> np.ndarray:
        """Return the transforms from coordinates of patches to those of images of `size`, (B, 2, 3) float32.

        Both coordinates run from -1 to 1 between the outer edges of the pixels. `size` is (height, width), `crop_size`
        the size of the patches, or the side of square ones.
        """
        height, width = size
        crop = Size.of(crop_size)
        middle_y, middle_x = (2 * self.corner.T + np.array(crop)[:, None]) / np.array(size)[:, None] - 1
        sign_y, sign_x = np.where(self.flipped.T, -1, 1)
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rows = [
            [cosine * sign_x * (crop.width / width), -sine * sign_y * (crop.height / width), middle_x],
            [sine * sign_x * (crop.width / height), cosine * sign_y * (crop.height / height), middle_y],
        ]
        return np.moveaxis(np.array(rows, np.float32), 2, 0).copy()


def illumination_weights(side: int) -> np.ndarray:
    """Return the weights of the points of the grid along a side of the patch, (side, ILLUMINATION_GRID) float32.

    With these weights of both sides, V and W, an illumination I of a `PatchBatch` multiplies the patch by 1 + V I W^T.
    """
    points = np.arange(ILLUMINATION_GRID, dtype=np.float32)
    distance = np.linspace(0, ILLUMINATION_GRID - 1, side, dtype=np.float32)[:, None] - points
    weights: np.ndarray = (1 + np.cos(np.float32(np.pi) * np.minimum(1, np.abs(distance)))) / 2
    return weights


def corruption_pieces(corruption: Corruption, size: Sequence[int], crop_size: int) -> PatchBatch:
    """Return the patches that a corruption takes its pieces from, out of images of `size`, (height, width)."""
    max_corner = np.array(size) - crop_size
    return upright_patches(corruption.piece_image, (corruption.piece_position * (max_corner + 1)).astype(np.int64))


def upright_patches(image: np.ndarray, corner: np.ndarray) -> PatchBatch:
    """Return patches that are neither rotated nor flipped."""
    return PatchBatch(image, corner, np.zeros(len(image)), np.zeros((len(image), 2), bool))
