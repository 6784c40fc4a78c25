"""Conversions of color and bit depth, and anomaly maps drawn over images in colors safe for color blindness."""

import numpy as np
from numpy.typing import DTypeLike

# Nine equidistant colors of the perceptually uniform color map "inferno" (van der Walt & Smith 2015)
INFERNO_STOPS = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    np.float32,
)
# (256, 3), in [0, 255]
RAMP = np.stack([np.interp(np.linspace(0, 8, 256), np.arange(9), INFERNO_STOPS[:, c]) for c in range(3)], 1)
LUMA_16 = (19_595, 38_470, 7_471)  # weights of red, green and blue in the luma (ITU-R BT.601), in 1 / 2^16
MASK_OUTLINE_COLOR = (235, 40, 60)  # outlines of the mask: vermilion
GROUND_TRUTH_OUTLINE_COLOR = (0, 190, 255)  # outlines of the ground truth: sky blue


def white_of(dtype: DTypeLike, bit_depth: int) -> int:
    """Return the value of white in images of a dtype: 255, or that of 16-bit images of `bit_depth` bits."""
    return 255 if np.dtype(dtype) == np.uint8 else int(2**bit_depth - 1)


def pixels(planes: np.ndarray) -> np.ndarray:
    """Convert (C, H, W) in [0, 1] to (H, W, C) uint8."""
    return np.rint(np.moveaxis(planes, 0, 2) * 255).astype(np.uint8)


def brightness(planes: np.ndarray) -> np.ndarray:
    """Convert (C, H, W) float32 in [0, 1], with C = 1 or 3 in RGB order, to its luma (H, W)."""
    if len(planes) == 1:
        return planes[0]
    red, green, blue = (plane * np.float32(weight / 2**16) for plane, weight in zip(planes, LUMA_16, strict=True))
    return red + green + blue


def gray(image: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) uint8 or uint16 to gray (H, W, 1) of the same dtype, rounded as Pillow does."""
    weighted = (image * np.array(LUMA_16, np.uint32)).sum(axis=2, keepdims=True, dtype=np.uint32)
    return ((weighted + 2**15) >> 16).astype(image.dtype)


def with_channels(image: np.ndarray, *, grayscale: bool) -> np.ndarray:
    """Convert (H, W, 1) or (H, W, 3) uint8 or uint16 to gray (H, W, 1) or RGB (H, W, 3) of the same dtype."""
    if grayscale:
        return image if image.shape[2] == 1 else gray(image)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def eight_bit(image: np.ndarray, bit_depth: int = 16) -> np.ndarray:
    """Convert (H, W, C) uint8, or uint16 of `bit_depth` bits, to (H, W, 3) uint8."""
    if image.dtype == np.uint16:
        image = np.clip(image * (255 / (2**bit_depth - 1)), 0, 255).astype(np.uint8)
    return with_channels(image, grayscale=False)


def heatmap(image: np.ndarray, anomaly: np.ndarray) -> np.ndarray:
    """Blend (H, W, 3) uint8 with the colors of its anomaly map (H, W). The threshold 1 has the middle color."""
    ramp_index = (np.clip(anomaly, 0, 2) * 127.5).astype(np.uint8)
    opacity = np.linspace(0.25, 0.8, 256, dtype=np.float32)
    red, green, blue = np.moveaxis(image.astype(np.float32), 2, 0)
    gray = (red + green + blue) * ((1 - opacity) / 3)[ramp_index]
    blended = (opacity[:, None] * RAMP).astype(np.float32)[ramp_index]
    blended += gray[:, :, None]
    return blended.astype(np.uint8)


def outlined(
    image: np.ndarray, mask: np.ndarray, color: tuple[int, int, int] = MASK_OUTLINE_COLOR, width: int = 2
) -> np.ndarray:
    """Draw the outline of a mask (H, W) bool, `width` px wide, on a copy of (H, W, 3) uint8."""
    drawn = image.copy()
    drawn[mask & ~eroded(mask, width)] = color
    return drawn


def eroded(values: np.ndarray, width: int) -> np.ndarray:
    """Erode (H, W) bool or non-negative numbers by `width` px, in city-block distance. Outside the array all is 0."""
    for _ in range(width):
        padded = np.pad(values, 1)
        neighbors = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        values = np.minimum.reduce([values, *neighbors])
    return values
