"""Drawn defects: defects of a given size and contrast, drawn into good images.

The size is the diameter of a region or the length of a scratch, in pixels of the image. The contrast is the root mean
square of the change inside the defect, as a share of white. Both are the same for all kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from ssim_ae.images.resize import resize

BORDER_WAVES = 4  # harmonics of the irregular border of a region
IRREGULARITY = 0.12  # of the border, as a share of the radius
SCRATCH_WIDTH = 0.1  # of its length
MIN_SCRATCH_WIDTH = 1.0  # px
GRAINS_PER_SIDE = 5  # of a rough region
TINTED_SHARE = 0.5  # of stains and spots in color images whose color changes, not only the brightness
PIECE_TRIES = 8  # places a misplaced piece is looked for; the one that differs most is taken
MIN_CONTRAST = 1e-6  # of a piece, before its change is scaled


class Place(NamedTuple):
    """A square box of an image around a center: offsets of its pixels from the center, and its slices."""

    y: np.ndarray  # (h, w), px
    x: np.ndarray
    rows: slice
    columns: slice


class DefectKind(NamedTuple):
    """A kind of defect: how its area (h, w) in [0, 1] and its change (h, w, C), before it is scaled, are drawn.

    `max_factor` limits the scaling to the contrast.
    """

    area: Callable[[Place, float, Generator], np.ndarray]
    change: Callable[[np.ndarray, Place, float, Generator, np.ndarray], np.ndarray]
    max_factor: float = inf


def draw_defect(
    image: np.ndarray, kind: str, size: float, contrast: float, center: tuple[int, int], rng: Generator
) -> np.ndarray:
    """Return a copy of an image (H, W, C) float32 in [0, 1] with a defect of `size` px at `center` (row, column).

    The change keeps the contrast unless it reaches black or white, or a misplaced piece is too similar.
    """
    drawn = DEFECT_KINDS[kind]
    place = _place(image.shape[:2], center, size)
    original = image[place.rows, place.columns]
    area = drawn.area(place, size, rng)
    change = drawn.change(original, place, size, rng, image)
    unscaled = np.sqrt(((change**2).mean(axis=2) * area).sum() / area.sum())
    factor = min(contrast / max(unscaled, MIN_CONTRAST), drawn.max_factor)
    copy = image.copy()
    copy[place.rows, place.columns] = np.clip(original + factor * change * area[..., None], 0, 1)
    return copy


def _place(shape: tuple[int, int], center: tuple[int, int], size: float) -> Place:
    reach = int(np.ceil(size)) + 2
    rows, columns = (
        slice(max(0, middle - reach), min(length, middle + reach + 1))
        for middle, length in zip(center, shape, strict=True)
    )
    y, x = np.mgrid[rows, columns].astype(np.float32)
    return Place(y - center[0], x - center[1], rows, columns)


def _region(place: Place, size: float, rng: Generator) -> np.ndarray:
    """Draw an ellipse with an irregular border, of the area of a disk of diameter `size`; its edge is 1 px wide."""
    aspect, turn = np.sqrt(rng.uniform(0.5, 1)), rng.uniform(0, np.pi)
    along = (np.cos(turn) * place.x + np.sin(turn) * place.y) * aspect
    across = (np.cos(turn) * place.y - np.sin(turn) * place.x) / aspect
    angle = np.arctan2(across, along)
    radius = np.ones_like(angle)
    for wave in range(2, 2 + BORDER_WAVES):
        radius += IRREGULARITY / wave * rng.normal() * np.sin(wave * angle + rng.uniform(0, 2 * np.pi))
    return _covered(np.hypot(along, across) - size / 2 * radius)


def _soft_region(place: Place, size: float, rng: Generator) -> np.ndarray:
    """Draw a spot without an edge: a bell curve, half as high at a distance of half the size."""
    del rng
    area: np.ndarray = np.exp2(-((np.hypot(place.y, place.x) / (size / 2)) ** 2))
    return area


def _scratch(place: Place, size: float, rng: Generator) -> np.ndarray:
    """Draw a bent line of length `size`."""
    turn, bend = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3)
    along = np.cos(turn) * place.x + np.sin(turn) * place.y
    across = np.cos(turn) * place.y - np.sin(turn) * place.x - bend * along**2 / max(size, 1)
    width = max(MIN_SCRATCH_WIDTH, SCRATCH_WIDTH * size)
    return np.minimum(_covered(np.abs(along) - size / 2), _covered(np.abs(across) - width / 2))


def _covered(distance: np.ndarray) -> np.ndarray:
    """Return the share of each pixel that is inside, given its distance from the border, positive outside."""
    return np.clip(0.5 - distance, 0, 1)


def _color_change(original: np.ndarray, place: Place, size: float, rng: Generator, image: np.ndarray) -> np.ndarray:
    """Return one change of color for the whole area, toward the side where there is more room."""
    del place, size, image
    mean = original.mean(axis=(0, 1))
    direction = np.where(mean > 0.5, -1.0, 1.0)
    if len(mean) == 3 and rng.random() < TINTED_SHARE:
        direction = direction * rng.dirichlet(np.ones(3)) * 3
    return np.broadcast_to(direction.astype(np.float32), original.shape)


def _roughness(original: np.ndarray, place: Place, size: float, rng: Generator, image: np.ndarray) -> np.ndarray:
    """Return noise of equal mean brightness, the same in all channels; its grains are a fifth of the size."""
    del place, image
    height, width = original.shape[:2]
    grain = max(1.0, size / GRAINS_PER_SIDE)
    coarse = rng.normal(size=(max(2, round(height / grain)), max(2, round(width / grain))))
    return resize(coarse, height, width)[:, :, None]


def _misplaced_piece(original: np.ndarray, place: Place, size: float, rng: Generator, image: np.ndarray) -> np.ndarray:
    """Return the difference from another place of the image: of a few places, the one that differs most."""
    del place, size
    height, width = original.shape[:2]
    pieces = []
    for _ in range(PIECE_TRIES):
        top, left = (
            int(rng.integers(0, length - side + 1))
            for length, side in zip(image.shape[:2], (height, width), strict=True)
        )
        pieces.append(image[top : top + height, left : left + width] - original)
    return max(pieces, key=lambda change: float((change**2).sum()))


DEFECT_KINDS = {
    "spot": DefectKind(_region, _color_change),
    "stain": DefectKind(_soft_region, _color_change),
    "scratch": DefectKind(_scratch, _color_change),
    "rough": DefectKind(_region, _roughness),
    "misplaced": DefectKind(_region, _misplaced_piece, max_factor=1),  # at most the piece itself,
}
