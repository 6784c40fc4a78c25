"""Residual maps, and the one anomaly map that every score, verdict, mask and metric comes from."""

from typing import Literal, NamedTuple

import numpy as np

from ssim_ae.images.colours import brightness
from ssim_ae.maps.regions import areas, fill_holes, opening, without_small_regions
from ssim_ae.network.ssim import ssim_residual

BORDER = 5  # px along the border where the SSIM window sees mirrored pixels ...
BORDER_WEIGHT = 0.2  # ... and its residual counts this much
OPENING_RADIUS = 4  # px of the disk: nothing smaller is a defect
BRIGHTER, DARKER = 200.5 / 255, 49.5 / 255  # white background is above 200 of 255, black below 50
LEVEL_STEPS = 20  # halvings of the interval in which a level lies
SMALLEST_THRESHOLD = 1e-6  # a threshold of 0 calls every residual above this a defect

Method = Literal["reference", "repair"]


class Thresholds(NamedTuple):
    """Residuals above which a pixel is defective."""

    ssim: float
    l1: float


class Residuals(NamedTuple):
    """How an image differs from its reconstruction: (S, S) float32 maps, and where they count (S, S) bool."""

    ssim: np.ndarray
    l1: np.ndarray
    foreground: np.ndarray


def residuals(image: np.ndarray, reconstruction: np.ndarray, bg_mask: str = "") -> Residuals:
    """(C, S, S) in [0, 1] both -> 1 - SSIM and absolute difference, each the mean over channels."""
    size = image.shape[-1]
    ssim = ssim_residual(image, reconstruction).mean(axis=0)
    inner = (slice(BORDER, size - BORDER),) * 2
    damped = ssim * np.float32(BORDER_WEIGHT)
    damped[inner] = ssim[inner]
    l1 = np.abs(image - reconstruction).mean(axis=0)
    return Residuals(damped, l1, foreground(image, bg_mask))


def foreground(image: np.ndarray, bg_mask: str) -> np.ndarray:
    """(C, S, S) -> (S, S) bool: all but the white ("W") or black ("B") background; holes belong to the object."""
    if not bg_mask:
        return np.ones(image.shape[-2:], bool)
    level = brightness(image)
    return fill_holes(level <= BRIGHTER if bg_mask == "W" else level >= DARKER)


def anomaly_map(
    maps: Residuals, thresholds: Thresholds, *, method: Method = "reference", min_area: int = 1
) -> np.ndarray:
    """Return the one map, (S, S) float32 >= 0, whose limit is 1.

    Thresholding commutes with maximum and with opening, so for the reference `anomaly_map > 1` is exactly the mask of
    its pipeline: either residual above its threshold, background cleared, opened with a disk. For `repair` the
    residuals, coarse as they are, add up. With `min_area` the highest value is the level up to which a region of that
    many px is left, and smaller regions end at the limit.
    """
    ssim = maps.ssim / np.float32(max(thresholds.ssim, SMALLEST_THRESHOLD))
    l1 = maps.l1 / np.float32(max(thresholds.l1, SMALLEST_THRESHOLD))
    if method == "repair":
        opened = np.maximum(ssim + l1, 0) * maps.foreground
    else:
        opened = opening(np.maximum(np.maximum(ssim, l1), 0) * maps.foreground, radius=OPENING_RADIUS)
    if min_area <= 1:
        return opened
    capped = np.minimum(opened, level_of_area(opened, min_area))
    above = capped > 1
    return np.where(above & ~without_small_regions(above, min_area), np.float32(1), capped)


def level_of_area(opened: np.ndarray, min_area: int) -> np.float32:
    """Return the level above which no region of a map (S, S) has `min_area` px, to within 1e-6 of its highest."""
    low, high = 0.0, float(opened.max())
    for _ in range(LEVEL_STEPS if min_area > 1 else 0):
        middle = (low + high) / 2
        if areas(opened > middle).max(initial=0) >= min_area:
            low = middle
        else:
            high = middle
    return np.float32(high)
