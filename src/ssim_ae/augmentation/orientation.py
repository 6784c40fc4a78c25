"""How far parts, or textures, are turned in good images: found from the images alone.

Each image is turned until its edges fit those of the others best. These turns are certain if they fit much better than
others do; then the range that they cover is the range in which the next image can lie. Only directions and strengths of
edges are compared, not brightness, because the light of a camera does not turn with the part.

Edges are compared in the cells of a polar grid. A turn by one step shifts the cells by one sector and the directions of
edges by one plane, so no image has to be turned.
"""

from functools import cache

import numpy as np

from ssim_ae.images.resize import resize
from ssim_ae.sampling import equal_intervals

MIN_IMAGES = 20  # fewer say too little about a range
MAX_IMAGES = 100  # images that are compared; more do not change the result noticeably
SIDE = 128  # px; their middle squares are resized to this side
RINGS = 2  # rings of the polar grid, of equal area
STEPS = 32  # turns that are compared, over a full turn; sectors of the polar grid
STEP = 360 / STEPS  # degrees
DIRECTIONS = STEPS // 2  # of edges, over half a turn: which side is brighter depends on the light
ROUNDS = 3  # of turning all images to the mean of the turned images
MAX_DISTANCE_RATIO = 0.5  # of the best turn to all turns, squared distance; above it turns are not certain
MAX_GAP = 45.0  # degrees between two turns that are part of one range


def range_of_turns(images: np.ndarray) -> float:
    """Return how far images (N, C, H, W), uint8 or float32 in [0, 1], are turned in either direction: 0 to 180 degrees.

    Images that lie in a few separate orientations only, such as quarter turns, count as not turned. The result is 0 for
    fewer than MIN_IMAGES images, and if turns are not certain or differ by a step or two alone.
    """
    if len(images) < MIN_IMAGES:
        return 0.0
    edges = np.stack([_edges(images[index]) for index in equal_intervals(len(images), MAX_IMAGES)])
    mean = edges[0]
    for _ in range(ROUNDS):
        turns = _squared_distances(edges, mean).argmin(axis=1)
        mean = np.mean([_turned(one, turn) for one, turn in zip(edges, turns, strict=True)], axis=0)
    distances = _squared_distances(edges, mean)
    if np.median(distances.min(axis=1)) > MAX_DISTANCE_RATIO * np.median(distances.mean(axis=1)):
        return 0.0
    covered = _covered_degrees(distances.argmin(axis=1) * STEP)
    return covered / 2 if covered > 2 * STEP else 0.0


def _edges(image: np.ndarray) -> np.ndarray:
    """Return the strength of edges (DIRECTIONS, RINGS, STEPS) of an image (C, H, W), by direction and cell."""
    down, right = np.gradient(resize(_middle_square(image), SIDE, SIDE).mean(axis=0))
    planes = np.hypot(down, right) * _direction_weights(down, right)
    means: np.ndarray = planes.reshape(DIRECTIONS, -1) @ _cell_weights()
    return np.sqrt(means).reshape(DIRECTIONS, RINGS, STEPS)


def _middle_square(image: np.ndarray) -> np.ndarray:
    """Return the square in the middle of an image (C, H, W): a squeezed part would change when it is turned."""
    _, height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


def _direction_weights(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the weights (DIRECTIONS, H, W) of each direction for gradients (H, W), linear between two directions."""
    direction = np.arctan2(-down, right) * np.float32(DIRECTIONS / np.pi)  # counter-clockwise
    distance = np.abs(direction % DIRECTIONS - np.arange(DIRECTIONS, dtype=np.float32)[:, None, None])
    weights: np.ndarray = np.maximum(0, 1 - np.minimum(distance, DIRECTIONS - distance))
    return weights


@cache
def _cell_weights() -> np.ndarray:
    """Return the weight of each pixel in the mean of each cell, (SIDE * SIDE, RINGS * STEPS).

    Pixels outside the inscribed circle have no weight.
    """
    coordinates = (2 * np.arange(SIDE) + 1) / SIDE - 1
    y, x = -coordinates[:, None], coordinates
    ring = (RINGS * (y**2 + x**2)).astype(int)
    sector = (np.arctan2(y, x) * (STEPS / (2 * np.pi)) % STEPS).astype(int)
    inside = (ring * STEPS + sector)[:, :, None] == np.arange(RINGS * STEPS)
    weights = inside.reshape(-1, RINGS * STEPS).astype(np.float32)
    return weights / weights.sum(axis=0)


def _turned(edges: np.ndarray, steps: int) -> np.ndarray:
    """Return edges (..., DIRECTIONS, RINGS, STEPS) of images turned counter-clockwise by steps."""
    return np.roll(edges, steps, axis=(-3, -1))


def _squared_distances(edges: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the squared distance (N, STEPS) of each image, turned by each number of steps, to the mean."""
    return np.stack([((_turned(edges, turn) - mean) ** 2).sum(axis=(1, 2, 3)) for turn in range(STEPS)], axis=1)


def _covered_degrees(turns: np.ndarray) -> float:
    """Return how many degrees turns (N,), in degrees, cover: the circle without the gaps above MAX_GAP."""
    ordered = np.sort(turns)
    gaps = np.diff(ordered, append=ordered[0] + 360)
    return float(360 - gaps[gaps > MAX_GAP].sum())
