"""Features of fixed filters: the energies of Gabor filters at four scales, mean colors and a standard deviation.

After Jain and Farrokhnia 1991, "Unsupervised texture segmentation using Gabor filters". They need no weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ssim_ae.onnx_operators.graph import GraphBuilder

ORIENTATIONS = 8
SCALES = 4  # each half as fine as the one before
SIDE = 9  # px of a filter
WAVELENGTH, SIGMA, ASPECT = 5.0, 2.0, 0.7  # px, px, and the length across the waves relative to that along them
REDUCED = 2  # px of the image per px that is filtered at the first scale
STRIDE = 8  # of these, per place
GRAY = {1: (1.0,), 3: (0.299, 0.587, 0.114)}  # weights of the channels in brightness (ITU-R BT.601)
BLUR = (0.125, 0.375, 0.375, 0.125)  # before every other pixel is taken
MIN_VARIANCE = 1e-6  # added below a square root, whose slope is infinite at 0


def channels(image_channels: int) -> int:
    """Return the number of features of a place, for images with 1 or 3 channels."""
    return image_channels + 1 + SCALES * ORIENTATIONS


def add_gabor_features(add: GraphBuilder, images: str, image_channels: int) -> str:
    """Add the features of images (B, C, H, W) in [0, 1]: (B, channels(C), H / 16, W / 16).

    H and W are multiples of 16.
    """
    fine = add("AveragePool", images, kernel_shape=[REDUCED] * 2, strides=[REDUCED] * 2)
    mean = _mean(add, fine, STRIDE)
    variance = add("Sub", _mean(add, add("Mul", fine, fine), STRIDE), add("Mul", mean, mean))
    deviation = add("Sqrt", add("Add", add("Max", variance, add.constant(0.0)), MIN_VARIANCE))
    average = np.full((1, image_channels, 1, 1), 1 / image_channels, np.float32)
    planes = [mean, add("Conv", deviation, average)]
    level = add("Conv", fine, np.array(GRAY[image_channels], np.float32).reshape(1, -1, 1, 1))
    for scale in range(SCALES):
        planes.append(_mean(add, _energies(add, level), STRIDE >> scale))
        if scale + 1 < SCALES:
            level = _halved(add, level)
    return add("Concat", *planes, axis=1)


def gabor_filters() -> tuple[np.ndarray, np.ndarray]:
    """Return the even and the odd filters, (ORIENTATIONS, 1, SIDE, SIDE) float32 each, of mean 0 and norm 1."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    angle = np.pi * np.arange(ORIENTATIONS)[:, None, None] / ORIENTATIONS
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    bell = np.exp(-(along**2 + (ASPECT * across) ** 2) / (2 * SIGMA**2))
    even, odd = (_normalized(bell, bell * wave(2 * np.pi * along / WAVELENGTH)) for wave in (np.cos, np.sin))
    return even, odd


def _normalized(bell: np.ndarray, filters: np.ndarray) -> np.ndarray:
    filters = filters - bell * (filters.sum(axis=(1, 2), keepdims=True) / bell.sum(axis=(1, 2), keepdims=True))
    normalized: np.ndarray = filters / np.sqrt((filters**2).sum(axis=(1, 2), keepdims=True))
    return normalized[:, None].astype(np.float32)


def _energies(add: GraphBuilder, level: str) -> str:
    """Add the square roots of the amplitudes of an image (B, 1, h, w), (B, ORIENTATIONS, h, w)."""
    padded = _padded(add, level, SIDE // 2)
    squares = [add("Mul", part, part) for part in (add("Conv", padded, filters) for filters in gabor_filters())]
    return add("Sqrt", add("Sqrt", add("Add", add("Add", *squares), MIN_VARIANCE)))


def _halved(add: GraphBuilder, level: str) -> str:
    """Add an image (B, 1, h, w), blurred, of half the size."""
    weights = np.outer(BLUR, BLUR).astype(np.float32)[None, None]
    return add("Conv", _padded(add, level, 1), weights, strides=[2, 2])


def _padded(add: GraphBuilder, level: str, border: int) -> str:
    return add("Pad", level, [0, 0, border, border, 0, 0, border, border], mode="edge")


def _mean(add: GraphBuilder, planes: str, side: int) -> str:
    """Add the mean of each square of `side` px."""
    return add("AveragePool", planes, kernel_shape=[side] * 2, strides=[side] * 2) if side > 1 else planes
