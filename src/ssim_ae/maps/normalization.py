"""Per-location normalization: residuals relative to those of good images at the same location.

At edges and highlights good images differ from their reconstructions more than elsewhere. Dividing by the normal
statistics of a location makes residuals comparable across the image. On a texture all locations share their statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.images.resize import resize
from ssim_ae.images.size import Size
from ssim_ae.maps.residuals import Residuals

GRID_SIZE = 32  # locations along each side of an image
STANDARD_DEVIATIONS = 2  # added to the mean
CROSS_FITTING_FOLDS = 5  # parts of the good images; each is normalized by the statistics of the others
STANDARD_DEVIATION_OF_NORMAL = 1.4826  # of a normal distribution, in median absolute deviations
MIN_SCALE = 1e-6  # smallest residual to divide by


class NormalStatistics(NamedTuple):
    """Mean plus two standard deviations of the residuals of good images, per location: (R, GRID_SIZE, GRID_SIZE)."""

    grids: np.ndarray

    @classmethod
    def fit(cls, good: Iterable[Residuals], *, texture: bool = False) -> Self:
        """Return the statistics of the residuals of good images; of a `texture`, the same for all locations."""
        grids = _grids(good, texture=texture)
        return cls(grids.mean(axis=0) + STANDARD_DEVIATIONS * grids.std(axis=0))

    @classmethod
    def fit_robust(cls, good: Iterable[Residuals], *, texture: bool = False) -> Self:
        """Return statistics that a minority of defective images hardly changes: of median and absolute deviations."""
        grids = _grids(good, texture=texture)
        median = np.median(grids, axis=0)
        deviations = STANDARD_DEVIATION_OF_NORMAL * np.median(np.abs(grids - median), axis=0)
        return cls(median + STANDARD_DEVIATIONS * deviations)

    def scale(self, size: Size) -> np.ndarray:
        """Return the divisors of the residual maps of `size`, (R, H, W) float32.

        They are the statistics plus their mean over all locations, which bounds the ratio of two divisors.
        """
        overall = self.grids.mean(axis=(1, 2), keepdims=True)
        return resize(np.maximum(self.grids + overall, MIN_SCALE), *size)


def normalize(residuals: Residuals, scale: np.ndarray) -> Residuals:
    """Divide residual maps by a `scale` (R, H, W) from `NormalStatistics.scale`."""
    return Residuals(residuals.maps / scale, residuals.weights)


def cross_normalize(good: Sequence[Residuals], *, texture: bool = False) -> list[Residuals]:
    """Normalize each of the good images by the statistics of the other folds; a single image by its own."""
    fold_of = np.arange(len(good)) % min(CROSS_FITTING_FOLDS, len(good))
    scales = []
    for fold in range(fold_of.max() + 1):
        others = [maps for maps, own in zip(good, fold_of, strict=True) if own != fold] or good
        scales.append(NormalStatistics.fit(others, texture=texture).scale(good[0].size))
    return [normalize(maps, scales[fold]) for maps, fold in zip(good, fold_of, strict=True)]


def _grids(good: Iterable[Residuals], *, texture: bool) -> np.ndarray:
    """Return the residuals of images at the locations, (N, R, GRID_SIZE, GRID_SIZE); of a texture, their means."""
    grids = np.stack([resize(residuals.maps, GRID_SIZE, GRID_SIZE) for residuals in good])
    return np.broadcast_to(grids.mean(axis=(2, 3), keepdims=True), grids.shape) if texture else grids
