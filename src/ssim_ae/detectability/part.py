"""Where the part is in an image: a drawn defect belongs on the part, not on an empty background."""

import numpy as np

BORDER = 0.02  # width of the border that shows the background, as a share of the shorter side
MAX_DEVIATION = 0.12  # from the background, of a pixel of the background; of white
BACKGROUND_SHARE = 0.8  # of the border's pixels that have to be background; otherwise the part fills the image
MIN_PART_SHARE = 0.01  # of the image; a smaller part is not trusted


def part_mask(image: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) bool of the part in an image (H, W, C) float32 in [0, 1].

    The part is what differs in color from an even background, a plane fitted to the border. Without an even border it
    is the whole image.
    """
    height, width = image.shape[:2]
    band = max(1, round(BORDER * min(height, width)))
    border = np.ones((height, width), bool)
    border[band:-band, band:-band] = False
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    plane = np.stack([np.ones_like(x), x, y], axis=2)
    coefficients = np.linalg.lstsq(plane[border], image[border], rcond=None)[0]
    differs = np.abs(image - plane @ coefficients).max(axis=2) > MAX_DEVIATION
    uneven = (~differs[border]).mean() < BACKGROUND_SHARE
    return np.ones_like(differs) if uneven or differs.mean() < MIN_PART_SHARE else differs
