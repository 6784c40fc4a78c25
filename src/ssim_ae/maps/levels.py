"""The anomaly map in 8 bits. A page computes the mask from it at any of 241 thresholds, without the detector."""

import numpy as np

from ssim_ae.images.colors import eroded
from ssim_ae.maps.regions import without_small_regions

THRESHOLD_DOUBLINGS = 3  # thresholds range from 2^-3 to 2^3
STEPS_PER_DOUBLING = 40  # neighboring thresholds differ by 1.7 %
LEVEL_STEPS = np.arange(-THRESHOLD_DOUBLINGS * STEPS_PER_DOUBLING, THRESHOLD_DOUBLINGS * STEPS_PER_DOUBLING + 1)
LEVEL_THRESHOLDS = (2.0 ** (LEVEL_STEPS / STEPS_PER_DOUBLING)).astype(np.float32)  # (241,), ascending, 1 in the middle
OUTLINES_PER_IMAGE = 100  # shorter side of the image / width of an outline


def anomaly_levels(anomaly: np.ndarray, min_area: int = 1) -> np.ndarray:
    """Quantize an anomaly map (H, W) float32 to levels (H, W) uint8: the number of LEVEL_THRESHOLDS below each value.

    `levels > k` is the exact mask at the threshold LEVEL_THRESHOLDS[k], without its regions of fewer than `min_area`
    px.
    """
    levels = np.searchsorted(LEVEL_THRESHOLDS, anomaly, side="left").astype(np.uint8)
    for level in np.unique(levels)[:-1] if min_area > 1 else ():
        above = levels > level
        levels[above & ~without_small_regions(above, min_area)] = level
    return levels


def levels_image(levels: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
    """Encode levels (H, W) uint8 and ground truth (H, W) bool as an RGB image (H, W, 3) uint8 for a page.

    - Red: the levels.
    - Green: the eroded levels. Thresholding commutes with erosion, so at any threshold the outline of the mask is the
      pixels where red is above and green is not.
    - Blue: 255 inside the ground truth, 128 on its outline, so that the outline remains a line when it is scaled.
    """
    width = max(1, round(min(levels.shape) / OUTLINES_PER_IMAGE))
    image = np.zeros((*levels.shape, 3), np.uint8)
    image[:, :, 0] = levels
    image[:, :, 1] = eroded(levels, width)
    if truth is not None:
        image[:, :, 2] = np.where(eroded(truth, width), 255, 128 * truth)
    return image


def read_levels_image(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the anomaly map (H, W) float32 and the ground truth (H, W) bool that `levels_image` encoded.

    A value of the map is just above the highest of LEVEL_THRESHOLDS that the value of the encoded map exceeds, or 0.
    """
    above = np.nextafter(LEVEL_THRESHOLDS, np.float32(np.inf))
    values = np.concatenate([np.zeros(1, np.float32), above])
    return values[image[:, :, 0]], image[:, :, 2] > 0
