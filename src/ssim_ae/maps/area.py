"""Minimum defect area: anomaly maps in which small regions do not count."""

import numpy as np

from ssim_ae.maps.regions import areas, without_small_regions
from ssim_ae.maps.verdict import THRESHOLD, is_defective

BISECTION_STEPS = 20  # halvings of the interval that contains the level


def level_of_area(anomaly: np.ndarray, min_area: int) -> np.float32:
    """Return the level above which no region of an anomaly map (H, W) has `min_area` pixels.

    The error is at most 1e-6 of the maximum of the map.
    """
    low, high = 0.0, float(anomaly.max())
    for _ in range(BISECTION_STEPS if min_area > 1 else 0):
        middle = (low + high) / 2
        if areas(anomaly > middle).max(initial=0) >= min_area:
            low = middle
        else:
            high = middle
    return np.float32(high)


def limit_to_area(anomaly: np.ndarray, min_area: int) -> np.ndarray:
    """Return an anomaly map (H, W) in which regions of fewer than `min_area` pixels do not exceed 1.

    The maximum of the result is the level up to which a region of `min_area` pixels remains.
    """
    if min_area <= 1:
        return anomaly
    capped = np.minimum(anomaly, level_of_area(anomaly, min_area))
    above = is_defective(capped)
    return np.where(above & ~without_small_regions(above, min_area), np.float32(THRESHOLD), capped)
