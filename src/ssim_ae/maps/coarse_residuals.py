"""Residuals of a network that repairs, coarse and relative to what they usually are at a place in good images.

A network that sees its input nearly whole reconstructs good parts to the pixel, so a defect is what stands out on a
coarser scale: SSIM at half the size, or a quarter of a large image. And at edges and highlights good images differ
more than elsewhere: there it takes more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.images.resize import resize
from ssim_ae.maps.residuals import Residuals, foreground
from ssim_ae.network.ssim import gaussian_filter, ssim_residual

EDGE = 4  # px along the border, where a network that pads with zeros reconstructs badly: taken as good
LARGE = 256  # px: an image of this size, or larger, is looked at more coarsely
GRID = 32  # places along each side of an image that are told apart
DEVIATIONS = 2  # above the mean, up to which a residual is usual
FOLDS = 5
LEAST = 1e-6  # of a usual residual


def coarse_residuals(image: np.ndarray, reconstruction: np.ndarray, bg_mask: str = "") -> Residuals:
    """(C, S, S) in [0, 1] both, S a multiple of 4 -> coarse 1 - SSIM and absolute difference, over channels."""
    inner, by = slice(EDGE, -EDGE), coarseness(image.shape[-1])
    repaired = image.copy()
    repaired[:, inner, inner] = reconstruction[:, inner, inner]
    coarse = ssim_residual(_averaged(image, by), _averaged(repaired, by)).mean(axis=0)
    ssim, l1 = gaussian_filter(np.stack([_enlarged(coarse, by), np.abs(image - repaired).mean(axis=0)]))
    return Residuals(ssim, l1, foreground(image, bg_mask))


def coarseness(size: int) -> int:
    """Return how many px along each side are averaged before SSIM looks at them."""
    return 2 if size < LARGE else 4


class NormalStatistics(NamedTuple):
    """How far the residuals of good images go by place, mean and DEVIATIONS, (GRID, GRID) float32."""

    ssim: np.ndarray
    l1: np.ndarray

    @classmethod
    def of(cls, good: Iterable[Residuals]) -> Self:
        """Return those of some good images."""
        grids = np.stack([resize(np.stack([maps.ssim, maps.l1]), GRID, GRID) for maps in good])
        return cls(*(grids.mean(axis=0) + DEVIATIONS * grids.std(axis=0)))

    def divisors(self, size: int) -> np.ndarray:
        """Return what maps (S, S) of SSIM and L1 residuals are divided by, (2, S, S) float32."""
        grids = np.stack(self)
        overall = grids.mean(axis=(1, 2), keepdims=True)
        return resize(np.maximum(grids + overall, LEAST), size, size)


def relative(maps: Residuals, divisors: np.ndarray) -> Residuals:
    """Return residual maps as multiples of what is usual."""
    return Residuals(maps.ssim / divisors[0], maps.l1 / divisors[1], maps.foreground)


def cross_fitted(good: Sequence[Residuals]) -> list[Residuals]:
    """Return the relative maps of good images, each relative to what is usual in others, where there are others."""
    fold_of = np.arange(len(good)) % min(FOLDS, len(good))
    divisors = []
    for fold in range(fold_of.max() + 1):
        others = [maps for maps, own in zip(good, fold_of, strict=True) if own != fold] or good
        divisors.append(NormalStatistics.of(others).divisors(good[0].ssim.shape[0]))
    return [relative(maps, divisors[fold]) for maps, fold in zip(good, fold_of, strict=True)]


def _averaged(planes: np.ndarray, by: int) -> np.ndarray:
    """(C, S, S) -> (C, S / by, S / by)."""
    channels, size, _ = planes.shape
    mean: np.ndarray = planes.reshape(channels, size // by, by, size // by, by).mean(axis=(2, 4))
    return mean


def _enlarged(values: np.ndarray, by: int) -> np.ndarray:
    """(S / by, S / by) -> (S, S)."""
    return values.repeat(by, axis=0).repeat(by, axis=1)
