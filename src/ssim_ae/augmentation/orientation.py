"""Whether good parts lie at any angle, told from their images alone.

Where they do, a turn about its middle makes of a good image one that might as well have been taken: its nearest
neighbour among the others is as near as before. Where they all lie alike, the neighbour is far.
"""

from functools import cache

import numpy as np

from ssim_ae.images.resize import resize

FEWEST, MOST = 40, 300  # images that are compared
SIDE, RINGS, TURNS = 128, 2, 8  # px; an image is told by what is in each ring and each eighth about its middle
LEAST, ON_AVERAGE = 0.25, 0.4  # share of images whose nearest neighbour is a turned one; half, where any angle is good


def has_any_orientation(images: np.ndarray) -> bool:
    """(N, C, S, S) uint8, or float32 in [0, 1] -> whether turned by eighths they are as like each other as before."""
    if len(images) < FEWEST:
        return False
    chosen = np.linspace(0, len(images) - 1, min(MOST, len(images))).astype(int)
    colours, edges = map(_scaled, map(np.stack, zip(*(_layout(images[index]) for index in chosen), strict=True)))
    as_taken = _flat(colours, edges)
    nearest = _nearest(as_taken, as_taken)
    turned = [_flat(*_turned(colours, edges, eighths)) for eighths in range(1, TURNS)]
    nearer = [np.mean(_nearest(as_taken, others) < nearest) for others in turned]
    return bool(min(nearer) >= LEAST and np.mean(nearer) >= ON_AVERAGE)


def _layout(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, S, S) -> by place the mean colour, (C, RINGS, TURNS), and how much edge in each direction, (TURNS, ...)."""
    planes = resize(image, SIDE, SIDE)
    down, along = np.gradient(planes.mean(axis=0))
    direction = np.arctan2(-down, along) * np.float32(TURNS / (2 * np.pi))  # counter-clockwise
    away = np.abs(direction % TURNS - np.arange(TURNS, dtype=np.float32)[:, None, None])
    shares = np.maximum(0, 1 - np.minimum(away, TURNS - away))
    return _by_place(planes), np.sqrt(_by_place(np.hypot(down, along) * shares))


def _by_place(planes: np.ndarray) -> np.ndarray:
    """(K, SIDE, SIDE) -> their means in each ring and eighth of the circle, (K, RINGS, TURNS)."""
    means: np.ndarray = planes.reshape(len(planes), -1) @ _places()
    return means.reshape(-1, RINGS, TURNS)


@cache
def _places() -> np.ndarray:
    """(SIDE * SIDE, RINGS * TURNS): what each px adds to the mean of a place. Rings are of equal area."""
    at = (2 * np.arange(SIDE) + 1) / SIDE - 1
    y, x = -at[:, None], at
    ring = (RINGS * (y**2 + x**2)).astype(int)
    eighth = (np.arctan2(y, x) * (TURNS / (2 * np.pi)) % TURNS).astype(int)
    inside = (ring * TURNS + eighth)[:, :, None] == np.arange(RINGS * TURNS)
    weights = inside.reshape(-1, RINGS * TURNS).astype(np.float32)
    return weights / weights.sum(axis=0)


def _turned(colours: np.ndarray, edges: np.ndarray, eighths: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the layouts (N, K, RINGS, TURNS) of the images turned counter-clockwise."""
    return np.roll(colours, eighths, axis=3), np.roll(edges, eighths, axis=(1, 3))


def _scaled(layouts: np.ndarray) -> np.ndarray:
    """(N, ...) -> the same, so that they lie about 1 from their mean."""
    spread = np.sqrt(((layouts - layouts.mean(axis=0)) ** 2).sum(axis=(1, 2, 3)).mean())
    return (layouts - layouts.mean()) / max(float(spread), 1e-9)


def _flat(colours: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, edges], axis=1).reshape(len(colours), -1)


def _nearest(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, D) twice -> (N,) the squared distance of each to the nearest of the others but its own."""
    squared = (images**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * images @ others.T
    np.fill_diagonal(squared, np.inf)
    nearest: np.ndarray = squared.min(axis=1)
    return nearest
