"""A drawn bolt: a part with an asymmetric head, at any position and angle on an even background."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SAMPLES = 4  # per px and side, averaged

Draw = Callable[..., np.ndarray]


def in_bolt(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return whether points, in lengths of the bolt from the middle of its length, are in the bolt."""
    head = (along >= -0.5) & (along < -0.38) & (np.abs(across) < 0.13)
    shaft = (along >= -0.38) & (along < 0.1) & (np.abs(across) < 0.055)
    thread = (along >= 0.1) & (along < 0.5)
    return head | shaft | (thread & (np.abs(across) < 0.04 + 0.012 * np.cos(120 * along)))


def in_rod(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    return (np.abs(along) < 0.5) & (np.abs(across) < 0.06)


def in_wedge(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    return (np.abs(along) < 0.5) & (np.abs(across) < 0.48 * (0.5 - along))


def in_disk(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    return along**2 + across**2 < 0.25


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw parts, each a tuple (y, x, degrees, length) in px, on a noisy background of one color."""
    shapes = {"wedge": in_wedge, "bolt": in_bolt, "rod": in_rod, "disk": in_disk}

    def draw(
        *parts: tuple[float, float, float, float],
        height: int = 256,
        width: int = 256,
        channels: int = 3,
        shape: str = "bolt",
        seed: int = 0,
        noise: float = 3,
        dtype: Any = np.uint8,
    ) -> np.ndarray:
        rng = np.random.default_rng(seed)
        rows, columns = ((np.arange(n * SAMPLES) + 0.5) / SAMPLES for n in (height, width))
        covered = np.zeros((height, width))
        for y, x, degrees, length in parts:
            sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
            dy, dx = (rows[:, None] - y) / length, (columns - x) / length
            inside = shapes[shape](dx * cosine + dy * sine, dy * cosine - dx * sine)
            covered = np.maximum(covered, inside.reshape(height, SAMPLES, width, SAMPLES).mean(axis=(1, 3)))
        background, color = (np.array(values)[:channels] for values in ((190, 185, 170), (80, 90, 120)))
        image = background + covered[..., None] * (color - background)
        image = image + rng.normal(0, noise, image.shape) if noise else image
        return (np.clip(image, 0, 255) * (257 if dtype == np.uint16 else 1)).astype(dtype)

    return draw


def center_of_bolt() -> float:
    """Return the center of gravity of the bolt along its axis, in its lengths."""
    positions = (np.arange(2000) + 0.5) / 2000 - 0.5
    inside = in_bolt(positions, positions[:, None])
    return float((inside * positions).sum() / inside.sum())


@pytest.fixture(scope="session")
def bolt_center() -> float:
    """The center of gravity of the bolt along its axis, in its lengths from the middle."""
    return center_of_bolt()
