"""Residual maps: how far an image and its reconstruction differ, pixel by pixel."""

from typing import NamedTuple

import numpy as np

from ssim_ae.images.colors import brightness
from ssim_ae.maps.regions import fill_holes

WHITE_BACKGROUND = 200.5 / 255  # brightness in [0, 1] above which a pixel belongs to a white background
BLACK_BACKGROUND = 49.5 / 255  # brightness in [0, 1] below which a pixel belongs to a black background


class Thresholds(NamedTuple):
    """Residuals above which a pixel is defective."""

    ssim: float
    l1: float


class Residuals(NamedTuple):
    """Residual maps of one image, (H, W) float32, and its foreground, (H, W) bool."""

    ssim: np.ndarray
    l1: np.ndarray
    foreground: np.ndarray


def foreground_mask(image: np.ndarray, bg_mask: str) -> np.ndarray:
    """Return the pixels to inspect, (H, W) bool, of an image (C, H, W) in [0, 1].

    `bg_mask` is the background to exclude: "W" white, "B" black, "" none. Holes in the object belong to the object.
    """
    if not bg_mask:
        return np.ones(image.shape[-2:], bool)
    level = brightness(image)
    return fill_holes(level <= WHITE_BACKGROUND if bg_mask == "W" else level >= BLACK_BACKGROUND)
