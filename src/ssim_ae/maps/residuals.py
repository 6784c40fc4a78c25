"""Residual maps: how far an image differs from what a method expects, pixel by pixel."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ssim_ae.images.colors import brightness
from ssim_ae.images.size import Size
from ssim_ae.maps.regions import fill_holes
from ssim_ae.spelling import significant

WHITE_BACKGROUND = 200.5 / 255  # brightness in [0, 1] above which a pixel belongs to a white background
BLACK_BACKGROUND = 49.5 / 255  # brightness in [0, 1] below which a pixel belongs to a black background


Thresholds = Mapping[str, float]  # by the name of a residual, in the method's order; above it a pixel is defective


class Residuals(NamedTuple):
    """The residual maps of one image in the method's order, (R, H, W) float32, and the weights of its pixels.

    Weights, (H, W) bool or float32, multiply the anomaly map: 0 in the background and in ignored regions, else the
    sensitivity, which is 1 without regions.
    """

    maps: np.ndarray
    weights: np.ndarray

    @property
    def size(self) -> Size:
        """Size of the maps."""
        return Size(*self.maps.shape[1:])


def described(thresholds: Thresholds) -> str:
    """Return thresholds as text: ssim 0.31, l1 0.2."""
    return ", ".join(f"{name} {significant(value, 4)}" for name, value in thresholds.items())


def foreground_mask(image: np.ndarray, bg_mask: str) -> np.ndarray:
    """Return the pixels to inspect, (H, W) bool, of an image (C, H, W) in [0, 1].

    `bg_mask` is the background to exclude: "W" white, "B" black, "" none. Holes in the object belong to the object.
    """
    if not bg_mask:
        return np.ones(image.shape[-2:], bool)
    level = brightness(image)
    return fill_holes(level <= WHITE_BACKGROUND if bg_mask == "W" else level >= BLACK_BACKGROUND)
