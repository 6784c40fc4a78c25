"""The anomaly map in 8 bits, exact at each of many limits: all that is needed to judge an image anew."""

import numpy as np

from ssim_ae.images.colours import eroded
from ssim_ae.maps.regions import without_small_regions

OCTAVES, STEPS = 3, 40  # limits from 1/8 to 8, 40 to a doubling: 1.7 % from one to the next
OUTLINES = 100  # as wide as a picture
LIMITS = (2.0 ** (np.arange(-OCTAVES * STEPS, OCTAVES * STEPS + 1) / STEPS)).astype(np.float32)  # (241,), rising


def levels(anomaly: np.ndarray, min_area: int = 1) -> np.ndarray:
    """(S, S) float32 anomaly map -> (S, S) uint8, how many of LIMITS it exceeds.

    So `levels > k` is exactly the mask at the limit LIMITS[k], without its regions of fewer than `min_area` px.
    """
    exceeded = np.searchsorted(LIMITS, anomaly, side="left").astype(np.uint8)
    for level in np.unique(exceeded)[:-1] if min_area > 1 else ():
        above = exceeded > level
        exceeded[above & ~without_small_regions(above, min_area)] = level
    return exceeded


def levels_picture(exceeded: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
    """Levels (S, S) uint8 and ground truth (S, S) bool -> (S, S, 3) uint8, from which a page draws outlines.

    Red is the levels, green the same eroded: thresholding commutes with it, so at any limit the outline lies between
    the two. Blue is 255 within the truth and 128 on its outline, half way, so that it stays a line when scaled.
    """
    width = max(1, round(len(exceeded) / OUTLINES))
    shown = np.zeros((*exceeded.shape, 3), np.uint8)
    shown[:, :, 0], shown[:, :, 1] = exceeded, eroded(exceeded, width)
    if truth is not None:
        shown[:, :, 2] = np.where(eroded(truth, width), 255, 128 * truth)
    return shown
