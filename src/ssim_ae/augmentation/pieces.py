"""Pieces of images: sampled, blended into another image, blurred; noise, and soft shapes to cut them out with."""

from functools import cache

import numpy as np


def sampled(
    image: np.ndarray, center: tuple[float, float], size: tuple[int, int], angle: float, scale: float
) -> np.ndarray:
    """Return a turned and scaled rectangle (C, *size) around `center` (y, x) of an image (C, H, W), bilinear.

    Positions outside the image are moved to its border.
    """
    channels, height, width = image.shape
    down, right = ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(scale) for n in size)
    down = down[:, None]
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    rows = np.clip(np.float32(center[0]) + down * cosine - right * sine, 0, height - 1.001)
    columns = np.clip(np.float32(center[1]) + down * sine + right * cosine, 0, width - 1.001)
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    weight_y, weight_x = rows - top, columns - left
    corner, flat = top * width + left, image.reshape(channels, -1)
    upper = flat[:, corner] * (1 - weight_x) + flat[:, corner + 1] * weight_x
    lower = flat[:, corner + width] * (1 - weight_x) + flat[:, corner + width + 1] * weight_x
    piece: np.ndarray = upper * (1 - weight_y) + lower * weight_y
    return piece


def blended(piece: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return a piece with the border of what is below it, without a seam; (C, h, w) each.

    Its gradients are those of the piece (Pérez et al. 2003, "Poisson Image Editing"), exactly: in a rectangle the sine
    transform solves the equation.
    """
    error = below - piece
    h, w = error.shape[1] - 2, error.shape[2] - 2
    source = np.zeros((len(error), h, w), np.float32)
    source[:, 0] += error[:, 0, 1:-1]
    source[:, -1] += error[:, -1, 1:-1]
    source[:, :, 0] += error[:, 1:-1, 0]
    source[:, :, -1] += error[:, 1:-1, -1]
    (sines_y, values_y), (sines_x, values_x) = _sine_transform(h), _sine_transform(w)
    transformed = sines_y @ source @ sines_x / (values_y[:, None] + values_x)
    result = below.copy()
    result[:, 1:-1, 1:-1] = piece[:, 1:-1, 1:-1] + sines_y @ transformed @ sines_x
    return result


@cache
def _sine_transform(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix (n, n) of the sine transform, its own inverse, and the eigenvalues (n,) of - d^2 / dx^2."""
    k = np.arange(1, n + 1)
    matrix = np.sin(np.pi * np.outer(k, k) / (n + 1)) * np.sqrt(2 / (n + 1))
    return matrix.astype(np.float32), (2 - 2 * np.cos(np.pi * k / (n + 1))).astype(np.float32)


def smooth_noise(h: int, w: int, grain: float, rng: np.random.Generator) -> np.ndarray:
    """Return uniform noise (h, w) in [0, 1] of a grain of `grain` px."""
    grid = rng.random((max(2, int(h / grain) + 2), max(2, int(w / grain) + 2))).astype(np.float32)
    y, x = (np.linspace(0, n - 1.001, side, dtype=np.float32) for n, side in zip(grid.shape, (h, w), strict=True))
    i, j = y.astype(int), x.astype(int)
    weight_y, weight_x = (y - i)[:, None], x - j
    lines = grid[i] * (1 - weight_y) + grid[i + 1] * weight_y
    noise: np.ndarray = lines[:, j] * (1 - weight_x) + lines[:, j + 1] * weight_x
    return noise


def soft_shape(h: int, w: int, rng: np.random.Generator) -> np.ndarray:
    """Return an ellipse, a rounded rectangle or a blob with a sharp or soft edge, (h, w) float32 in [0, 1]."""
    power = rng.choice([2, 2, 4, 8])
    y, x = (np.abs(np.linspace(-1, 1, n, dtype=np.float32)) for n in (h, w))
    distance = (y[:, None] ** power + x**power) ** np.float32(1 / power)
    if rng.random() < 0.5:
        noise = smooth_noise(h, w, max(3, min(h, w) * rng.uniform(0.2, 0.6)), rng)
        distance = distance + (noise - np.float32(0.5)) * np.float32(rng.uniform(0.5, 1.5))
    softness = max(rng.uniform(0.02, 0.4), 1.5 / min(h, w))
    shape: np.ndarray = np.clip((np.float32(0.92) - distance) / np.float32(softness), 0, 1)
    return shape


def blurred(planes: np.ndarray, radius: int) -> np.ndarray:
    """Return the means of squares of 2 * radius + 1 px around each pixel of (C, h, w); the border is repeated."""
    n = 2 * radius + 1
    padded = np.pad(planes, ((0, 0), (radius, radius), (radius, radius)), mode="edge").astype(np.float64)
    sums = np.pad(padded.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    totals = sums[:, n:, n:] - sums[:, :-n, n:] - sums[:, n:, :-n] + sums[:, :-n, :-n]
    means: np.ndarray = (totals / n**2).astype(np.float32)
    return means
