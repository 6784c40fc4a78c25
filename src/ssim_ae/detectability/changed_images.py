"""Changes of a whole good image that leave the part good: a shift, a turn, another brightness."""

import numpy as np
from PIL import Image


def shifted(image: np.ndarray, distance: float, direction: float) -> np.ndarray:
    """Shift an image (H, W, C) by `distance` px in a `direction` in radians; the border is repeated."""
    down, right = round(distance * np.sin(direction)), round(distance * np.cos(direction))
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    return image[rows[:, None], columns]


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turn an image (H, W, C) float32 about its center, bilinear; the border is repeated."""
    height, width = image.shape[:2]
    margin = (max(height, width) + 1) // 2
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).rotate(degrees, Image.Resampling.BILINEAR))
        for plane in np.moveaxis(padded, 2, 0)
    ]
    return np.stack(planes, axis=2)[margin : margin + height, margin : margin + width]


def brightened(image: np.ndarray, share: float) -> np.ndarray:
    """Multiply the brightness of an image float32 in [0, 1] by 1 + `share`."""
    return np.clip(image * np.float32(1 + share), 0, 1)
