"""Detect from good images alone whether parts can have any orientation.

If parts have any orientation, an image rotated about its center could have been taken as well: the nearest neighbor of
an image among the rotated images is as close as the nearest one among the unrotated images. If all parts have the same
orientation, the nearest rotated image is farther away.

Images are compared by polar descriptors: mean colors and edge strengths in the cells of a polar grid. A rotation by an
eighth of a circle shifts the cells by one sector, so no image has to be rotated.
"""

from functools import cache

import numpy as np

from ssim_ae.images.resize import resize

MIN_IMAGES = 40  # fewer are too few for the test
MAX_IMAGES = 300  # images that are compared; more do not change the result noticeably
SIDE = 128  # px; their middle squares are resized to this side
RINGS = 2  # rings of the polar grid, of equal area
SECTORS = 8  # sectors of the polar grid, directions of edges and rotations that are tested
MIN_ROTATED_SHARE = 0.25  # share of images whose nearest neighbor is a rotated one, for every rotation
MIN_MEAN_ROTATED_SHARE = 0.4  # the same on average over the rotations; 0.5 is expected if parts have any orientation
MIN_SPREAD = 1e-9  # lower bound of a divisor


def has_any_orientation(images: np.ndarray) -> bool:
    """Return whether images (N, C, H, W), uint8 or float32 in [0, 1], show parts in any orientation.

    For each rotation by eighths of a circle, the test counts the images whose nearest neighbor among the rotated images
    is closer than the one among the unrotated images. Fewer than MIN_IMAGES images give False.
    """
    if len(images) < MIN_IMAGES:
        return False
    colors, edges = _polar_descriptors(images)
    unrotated = _concatenate(colors, edges)
    nearest = _nearest_squared_distances(unrotated, unrotated)
    shares = []
    for eighths in range(1, SECTORS):
        rotated = _concatenate(*_rotate(colors, edges, eighths))
        shares.append(np.mean(_nearest_squared_distances(unrotated, rotated) < nearest))
    return bool(min(shares) >= MIN_ROTATED_SHARE and np.mean(shares) >= MIN_MEAN_ROTATED_SHARE)


def _polar_descriptors(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standardized color and edge descriptors of at most MAX_IMAGES images, evenly spaced."""
    chosen = np.linspace(0, len(images) - 1, min(MAX_IMAGES, len(images))).astype(int)
    colors, edges = zip(*(_polar_descriptor(images[index]) for index in chosen), strict=True)
    return _standardize(np.stack(colors)), _standardize(np.stack(edges))


def _polar_descriptor(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return colors (C, RINGS, SECTORS) and edges (SECTORS, RINGS, SECTORS) of an image (C, H, W).

    Colors are the means of the cells. Edges are the roots of the mean gradient magnitudes, one plane per direction.
    """
    planes = resize(_middle_square(image), SIDE, SIDE)
    down, right = np.gradient(planes.mean(axis=0))
    return _cell_means(planes), np.sqrt(_cell_means(np.hypot(down, right) * _direction_weights(down, right)))


def _middle_square(image: np.ndarray) -> np.ndarray:
    """Return the square in the middle of an image (C, H, W): a squeezed part would change when it is rotated."""
    _, height, width = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


def _direction_weights(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the weights (SECTORS, H, W) of each direction for gradients (H, W), linear between two directions."""
    direction = np.arctan2(-down, right) * np.float32(SECTORS / (2 * np.pi))  # counter-clockwise, in sectors
    distance = np.abs(direction % SECTORS - np.arange(SECTORS, dtype=np.float32)[:, None, None])
    weights: np.ndarray = np.maximum(0, 1 - np.minimum(distance, SECTORS - distance))
    return weights


def _cell_means(planes: np.ndarray) -> np.ndarray:
    """Return the means (K, RINGS, SECTORS) of planes (K, SIDE, SIDE) in the cells of the polar grid."""
    means: np.ndarray = planes.reshape(len(planes), -1) @ _cell_weights()
    return means.reshape(-1, RINGS, SECTORS)


@cache
def _cell_weights() -> np.ndarray:
    """Return the weight of each pixel in the mean of each cell, (SIDE * SIDE, RINGS * SECTORS).

    Pixels outside the inscribed circle have no weight.
    """
    coordinates = (2 * np.arange(SIDE) + 1) / SIDE - 1
    y, x = -coordinates[:, None], coordinates
    ring = (RINGS * (y**2 + x**2)).astype(int)
    sector = (np.arctan2(y, x) * (SECTORS / (2 * np.pi)) % SECTORS).astype(int)
    inside = (ring * SECTORS + sector)[:, :, None] == np.arange(RINGS * SECTORS)
    weights = inside.reshape(-1, RINGS * SECTORS).astype(np.float32)
    return weights / weights.sum(axis=0)


def _rotate(colors: np.ndarray, edges: np.ndarray, eighths: int) -> tuple[np.ndarray, np.ndarray]:
    """Return descriptors (N, K, RINGS, SECTORS) of the images rotated counter-clockwise by eighths of a circle.

    A rotation also changes the direction of edges, the second axis of `edges`.
    """
    return np.roll(colors, eighths, axis=3), np.roll(edges, eighths, axis=(1, 3))


def _standardize(descriptors: np.ndarray) -> np.ndarray:
    """Scale descriptors (N, K, RINGS, SECTORS) to a root mean square distance of 1 from their mean descriptor.

    Colors and edges then have equal weight. A number is subtracted that changes no distance, but keeps squares small.
    """
    spread = np.sqrt(((descriptors - descriptors.mean(axis=0)) ** 2).sum(axis=(1, 2, 3)).mean())
    return (descriptors - descriptors.mean()) / max(float(spread), MIN_SPREAD)


def _concatenate(colors: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return both descriptors of each image as one vector, (N, D)."""
    return np.concatenate([colors, edges], axis=1).reshape(len(colors), -1)


def _nearest_squared_distances(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the squared distance (N,) of each image (N, D) to the nearest of the others (N, D), except its own."""
    squared = (images**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * images @ others.T
    np.fill_diagonal(squared, np.inf)
    nearest: np.ndarray = squared.min(axis=1)
    return nearest
