"""Where the part is in an image: a drawn defect belongs on the part, not on an empty background."""

import numpy as np

BORDER = 0.02  # width of the border that shows the background, as a share of the shorter side
MAX_DEVIATION = 0.08  # from the border's median color, of a pixel of the background; of white
BACKGROUND_SHARE = 0.8  # of the border's pixels that have to be background; otherwise the part fills the image
MIN_PART_SHARE = 0.01  # of the image; a smaller part is not trusted


def part_mask(image: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) bool of the part in an image (H, W, C) float32 in [0, 1].

    The part is what differs in color from an even border; without an even border it is the whole image.
    """
    width = max(1, round(BORDER * min(image.shape[:2])))
    border = np.ones(image.shape[:2], bool)
    border[width:-width, width:-width] = False
    background = np.median(image[border], axis=0)
    differs = np.abs(image - background).max(axis=2) > MAX_DEVIATION
    uneven = (~differs[border]).mean() < BACKGROUND_SHARE
    return np.ones_like(differs) if uneven or differs.mean() < MIN_PART_SHARE else differs
