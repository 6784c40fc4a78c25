"""Whether good parts lie at any angle, told from their images alone.

Where they do, a quarter turn makes of a good image one that might as well have been taken: its nearest neighbour among
the others is as near as before. Where they all lie alike, the neighbour is far.
"""

import numpy as np

from ssim_ae.images.resize import resize

FEWEST, MOST = 20, 300  # images that are compared
SIDE, CELLS, DIRECTIONS = 128, 4, 8  # px, along each side, of an edge: what an image is told by
AS_NEAR = 0.25  # share of images whose nearest neighbour is a turned one; half of them, where parts lie at any angle


def lie_at_any_angle(images: np.ndarray) -> bool:
    """(N, C, S, S) uint8, or float32 in [0, 1] -> whether turned by quarters they are as like each other as before."""
    if len(images) < FEWEST:
        return False
    chosen = np.linspace(0, len(images) - 1, min(MOST, len(images))).astype(int)
    colours, edges = map(_scaled, map(np.stack, zip(*(_layout(images[index]) for index in chosen), strict=True)))
    as_taken = _flat(colours, edges)
    nearest = _nearest(as_taken, as_taken)
    turned = [_flat(*_turned(colours, edges, quarters)) for quarters in (1, 2, 3)]
    return all(np.mean(_nearest(as_taken, others) < nearest) >= AS_NEAR for others in turned)


def _layout(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, S, S) -> by cell the mean colour, (C, CELLS, CELLS), and how much edge lies in each direction, root of it."""
    planes = resize(image, SIDE, SIDE)
    down, along = np.gradient(planes.mean(axis=0))
    direction = np.arctan2(-down, along) * np.float32(DIRECTIONS / (2 * np.pi))  # counter-clockwise
    away = np.abs(direction % DIRECTIONS - np.arange(DIRECTIONS, dtype=np.float32)[:, None, None])
    shares = np.maximum(0, 1 - np.minimum(away, DIRECTIONS - away))
    return _by_cell(planes), np.sqrt(_by_cell(np.hypot(down, along) * shares))


def _by_cell(planes: np.ndarray) -> np.ndarray:
    """(K, SIDE, SIDE) -> their means, (K, CELLS, CELLS)."""
    step = SIDE // CELLS
    mean: np.ndarray = planes.reshape(-1, CELLS, step, CELLS, step).mean(axis=(2, 4))
    return mean


def _turned(colours: np.ndarray, edges: np.ndarray, quarters: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the layouts (N, K, CELLS, CELLS) of the images turned counter-clockwise."""
    rolled = np.roll(edges, quarters * DIRECTIONS // 4, axis=1)
    return np.rot90(colours, quarters, axes=(2, 3)), np.rot90(rolled, quarters, axes=(2, 3))


def _scaled(layouts: np.ndarray) -> np.ndarray:
    """(N, ...) -> the same, so that they lie about 1 from their mean."""
    spread = np.sqrt(((layouts - layouts.mean(axis=0)) ** 2).sum(axis=(1, 2, 3)).mean())
    return layouts / max(float(spread), 1e-9)


def _flat(colours: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, edges], axis=1).reshape(len(colours), -1)


def _nearest(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, D) twice -> (N,) the squared distance of each to the nearest of the others but its own."""
    squared = (images**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * images @ others.T
    np.fill_diagonal(squared, np.inf)
    nearest: np.ndarray = squared.min(axis=1)
    return nearest
