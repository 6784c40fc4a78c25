"""Render a surface to an image, and find the visible difference between two images."""

import math

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from ssim_ae.synthetic.surfaces import FRAME_SIZE, FULL_TURN, Grid, Surface

SENSOR_NOISE_STD = 2 / 255  # standard deviation of the sensor noise, relative to full scale
VISIBLE_CHANGE = 12  # gray levels; a larger change is part of the mask
MIN_CHANGE = 5  # gray levels, of a pixel in the mask of a fine defect


def render(surface: Surface, grid: Grid, rng: Generator) -> np.ndarray:
    """Render a surface (2h, 2w) in random slanting light to RGB (h, w, 3) float32 in [0, 1]."""
    angle = math.radians(-125 + rng.uniform(-12, 12))
    slope_y, slope_x = np.gradient(surface.height, FRAME_SIZE / len(surface.height))
    slope_to_light = slope_x * math.cos(angle) + slope_y * math.sin(angle)
    diffuse = (1 - 0.75 * slope_to_light) / np.sqrt(1 + slope_x**2 + slope_y**2)
    gradient, direction = rng.uniform(0.02, 0.10), rng.uniform(0, FULL_TURN)
    field = 1 + gradient * (math.cos(direction) * grid.x + math.sin(direction) * grid.y) / (FRAME_SIZE / 2)
    light = rng.uniform(0.92, 1.06) * field * (0.45 + 0.55 * np.clip(diffuse, 0, 1.3))
    return _half_size(surface.color * light[..., None])


def visible_change(clean: np.ndarray, defective: np.ndarray) -> np.ndarray:
    """Return the mask (h, w) bool of the visible difference of two RGB images in [0, 1].

    The mask is closed and opened, so that it has no pinholes and no specks.
    """
    scale = len(clean) / FRAME_SIZE
    # Capped, because the blur would extend the mask further around a strong change than around a faint one.
    change = np.minimum(to_uint8(np.abs(defective - clean).max(axis=-1)), 3 * VISIBLE_CHANGE)
    changed = np.asarray(Image.fromarray(change).filter(ImageFilter.GaussianBlur(2 * scale))) > VISIBLE_CHANGE
    closed = ~_dilate(~_dilate(changed, round(5 * scale)), round(5 * scale))
    return _dilate(~_dilate(~closed, round(scale)), round(scale))


def changed_pixels(clean: np.ndarray, defective: np.ndarray) -> np.ndarray:
    """Return the mask (h, w) bool of the difference of two images in [0, 1], as fine as the difference is.

    Gaps of up to four pixels are closed.
    """
    change = np.abs(defective - clean)
    changed = (change if change.ndim == 2 else change.max(axis=-1)) >= MIN_CHANGE / 255
    return ~_dilate(~_dilate(changed, 2), 2)


def with_sensor_noise(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Add the noise of a camera's sensor to an image in [0, 1], and convert it to uint8."""
    return to_uint8(image + np.float32(SENSOR_NOISE_STD) * rng.standard_normal(image.shape, np.float32))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Convert values in [0, 1] to uint8, rounded. Values outside are clipped."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _half_size(image: np.ndarray) -> np.ndarray:
    """Average each 2 x 2 pixels of an image (2h, 2w, channels)."""
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


def _dilate(mask: np.ndarray, distance: int) -> np.ndarray:
    """Dilate a mask (h, w) bool by a square, `distance` pixels to every side."""
    return np.asarray(Image.fromarray(np.uint8(255) * mask).filter(ImageFilter.BoxBlur(distance))) > 0
