"""Damage that is drawn into good images, for a network that is trained to segment it.

Pieces of good images, turned, scaled, from nearby or from anywhere on the part, partly blended in without a seam, of
gamma-distributed size (after Schlüter et al. 2022, NSA); and colors, tints, noise and blur. Damage is aimed at edges:
what a part looks like on an even background is soon learned.

What is drawn depends on the image, so it is drawn with NumPy, image by image, from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.augmentation.pieces import blended, blurred, sampled, smooth_noise, soft_shape

# Lengths are in sides of a square with as many pixels as the image.
UNDAMAGED_SHARE = 0.15  # of the images
MAX_PLACES = 3  # damaged in an image
MIN_SIZE, SIZE_SCALE, MAX_SIZE = 0.02, 0.06, 0.5  # of a place: MIN_SIZE plus a gamma distribution of shape 2
LOG_ASPECT = 1.6  # the logarithm of height to width is uniform up to it
MIN_SIDE = 5  # px
MAX_SIDE_SHARE = 0.8  # of the image's side
OPAQUE_SHARE, MIN_OPACITY = 0.5, 0.25  # share of opaque places; opacity of the others
PIECE_SHARE = 0.65  # of the places that are filled with a piece of a good image
OWN_SHARE = 0.25  # of the pieces that come from the same image
NEAR_SHARE = 0.5  # of the other pieces that come from nearly the same place
MIN_SHIFT, MAX_SHIFT = 2.5, 0.15  # of such pieces; MIN_SHIFT in px
SEAMLESS_SHARE = 0.4  # of the pieces
MIN_SEAMLESS_SIDE = 7  # px
AIMED_SHARE = 0.9  # of the places
CELL = 8  # px, in which the strength of edges is compared
MAX_EDGES_QUANTILE = 0.9  # of the cells: stronger edges attract no more
STRIDE = 4  # px of an image in a pixel of the labels
MAX_NOISE_STD = 0.015  # standard deviation of the Gaussian noise
LOG_GAIN_STD = 0.06  # standard deviation of the logarithm of the gain


@dataclass(frozen=True)
class Damage:
    """What the damage of B images is drawn from, and what all of such an image gets, which is no damage."""

    seed: np.ndarray  # (B,), of the damage and of the noise
    gain: np.ndarray  # (B,), factor of the brightness
    noise_std: np.ndarray  # (B,), standard deviation of Gaussian noise

    def __len__(self) -> int:
        return len(self.seed)

    def take(self, chosen: slice | np.ndarray) -> Self:
        """Return that of the chosen images."""
        return type(self)(self.seed[chosen], self.gain[chosen], self.noise_std[chosen])


def draw_damages(count: int, rng: np.random.Generator) -> Damage:
    """Draw what the damage of `count` images is drawn from."""
    gain = np.exp(rng.normal(0, LOG_GAIN_STD, count))
    return Damage(rng.integers(0, 2**31, count), gain, rng.uniform(0, MAX_NOISE_STD, count))


def damaged(image: np.ndarray, good: np.ndarray, seed: int) -> np.ndarray:
    """Return an image (C, H, W) float32 in [0, 1] with damage drawn into it, or as it is.

    Pieces come from `good` (N, C, H', W'), uint8 or float32 in [0, 1]. What is drawn into a gray image is gray.
    """
    rng = np.random.default_rng(seed)
    if rng.random() < UNDAMAGED_SHARE:
        return image
    gray = len(image) > 1 and bool((image == image[:1]).all())
    drawn = (image[:1] if gray else image).copy()
    pieces = _Pieces(drawn.copy(), good[:, :1] if gray else good, rng)
    for _ in range(rng.integers(1, MAX_PLACES + 1)):
        _damage_place(drawn, pieces, rng)
    return np.broadcast_to(drawn, image.shape)


def _damage_place(drawn: np.ndarray, pieces: _Pieces, rng: np.random.Generator) -> None:
    """Damage a place of an image (C, H, W), in place."""
    _, height, width = drawn.shape
    side = pieces.side
    size = min(MIN_SIZE + rng.gamma(2, SIZE_SCALE), MAX_SIZE) * side
    stretch = np.exp(rng.uniform(-LOG_ASPECT, LOG_ASPECT) / 2)
    h = int(np.clip(size * stretch, MIN_SIDE, MAX_SIDE_SHARE * height))
    w = int(np.clip(size / stretch, MIN_SIDE, MAX_SIDE_SHARE * width))
    y, x = pieces.cells.draw(rng)
    top, left = int(np.clip(y - h / 2, 0, height - h)), int(np.clip(x - w / 2, 0, width - w))
    below = drawn[:, top : top + h, left : left + w]
    opacity = 1.0 if rng.random() < OPAQUE_SHARE else rng.uniform(MIN_OPACITY, 1)
    mask: np.ndarray | float = soft_shape(h, w, rng)
    if rng.random() >= PIECE_SHARE:
        fill = _fill(below, side, rng)
    else:
        fill = pieces.draw(h, w, top + h / 2, left + w / 2)
        if min(h, w) >= MIN_SEAMLESS_SIDE and rng.random() < SEAMLESS_SHARE:
            fill = blended(fill, below)
            mask = mask if rng.random() < 0.5 else 1.0
    below += np.clip((fill - below) * np.float32(mask * opacity), -below, 1 - below)


class _Cells(NamedTuple):
    """Cells of CELL px: their cumulative probabilities, by the strength of the edges in and beside them."""

    cumulative: np.ndarray
    columns: int

    @classmethod
    def of(cls, image: np.ndarray) -> Self:
        """Return the cells of an image (C, H, W)."""
        gray = image.mean(axis=0)
        edges = np.zeros_like(gray)
        edges[1:] += np.abs(np.diff(gray, axis=0))
        edges[:, 1:] += np.abs(np.diff(gray, axis=1))
        rows, columns = (side // CELL for side in edges.shape)
        means = edges[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).mean(axis=(1, 3))
        most = max(np.quantile(means, MAX_EDGES_QUANTILE), means.mean())  # the former is 0 around a small part
        padded = np.pad(np.minimum(means, most), 1, mode="edge")
        around = np.sum([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)
        share = AIMED_SHARE * around.ravel() / max(around.sum(), 1e-6) + (1 - AIMED_SHARE) / around.size
        return cls(np.cumsum(share), columns)

    def draw(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draw a position (y, x), px."""
        cell = int(np.searchsorted(self.cumulative, rng.random() * self.cumulative[-1], side="right"))
        y, x = divmod(min(cell, len(self.cumulative) - 1), self.columns)
        return y * CELL + rng.uniform(0, CELL), x * CELL + rng.uniform(0, CELL)


class _Pieces:
    """Draws pieces for an image (C, H, W), out of itself and of other good images (N, C, H', W')."""

    def __init__(self, image: np.ndarray, good: np.ndarray, rng: np.random.Generator) -> None:
        self.image = image
        self.good = good
        self.rng = rng
        self.side = float(np.sqrt(image.shape[1] * image.shape[2]))
        self.cells = _Cells.of(image)

    def draw(self, h: int, w: int, y: float, x: float) -> np.ndarray:
        """Draw a piece (C, h, w) for a place around (y, x)."""
        rng = self.rng
        own = rng.random() < OWN_SHARE
        source = self.image if own else self._good_image()
        if own or rng.random() < NEAR_SHARE:
            direction = rng.uniform(0, 2 * np.pi)
            distance = np.exp(rng.uniform(np.log(MIN_SHIFT), np.log(MAX_SHIFT * self.side)))
            y, x = y + distance * np.sin(direction), x + distance * np.cos(direction)
            angle, scale = (0.0, 1.0) if rng.random() < 0.5 else (rng.normal(0, 0.3), np.exp(rng.normal(0, 0.2)))
        else:
            y, x = _Cells.of(source).draw(rng)
            angle = 0.0 if rng.random() < 0.2 else rng.uniform(0, 2 * np.pi)
            scale = np.exp(rng.normal(0, 0.3))
        return sampled(source, (y, x), (h, w), angle, scale)

    def _good_image(self) -> np.ndarray:
        image = self.good[self.rng.integers(len(self.good))]
        return image.astype(np.float32) / 255 if image.dtype == np.uint8 else image


def _fill(below: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    """Return a color, a tint, smooth noise, or the place itself (C, h, w) blurred."""
    channels, h, w = below.shape
    kind = rng.integers(4)
    if kind == 0:
        color = rng.random((channels if rng.random() < 0.5 else 1, 1, 1)).astype(np.float32)
        return np.broadcast_to(color, below.shape)
    if kind == 1:
        tint = rng.normal(0, 0.15, (1, 1, 1)) + rng.normal(0, 0.08, (channels, 1, 1))
        return below * np.float32(np.exp(rng.normal(0, 0.5))) + tint.astype(np.float32)
    if kind == 2:
        grain = np.exp(rng.uniform(np.log(2), np.log(20)))
        noise = smooth_noise(h, w, grain, rng) * np.float32(rng.uniform(0.3, 1))
        return noise + below * np.float32(rng.random())
    return blurred(below, radius=int(max(1, rng.uniform(0.01, 0.04) * side)))
