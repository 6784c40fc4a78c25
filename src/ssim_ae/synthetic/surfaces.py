"""The model of a woven or stitched surface, and the functions that every drawing uses.

Lengths are in frame units: the image is 256 units wide, whatever its size in pixels, and the origin is its center. At
the default size of 256 px, one unit is one pixel.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator

RGB = tuple[float, float, float]  # each in [0, 1]

FRAME_SIZE = 256  # units; width and height of the image
FULL_TURN = 2 * np.pi  # radians
NOISE_STRETCHES = (0.65, 0.85, 1.1, 1.4)  # wavelengths of the waves that smooth noise consists of, relative


@dataclass(frozen=True)
class Surface:
    """A surface before illumination, as float32 maps of one shape (h, w)."""

    height: np.ndarray  # frame units
    color: np.ndarray  # (h, w, 3) RGB in [0, 1]
    strand: np.ndarray  # position, in frame units, of the yarn or stitch on top; far apart for strands of other kinds
    backing: RGB  # visible through a hole
    dye: RGB  # of the defect `color`
    thread: RGB  # of the defect `thread`


@dataclass(frozen=True)
class Grid:
    """The coordinates of all pixels, as float32 maps (h, w) in frame units: `x` to the right, `y` down."""

    x: np.ndarray
    y: np.ndarray

    @cached_property
    def radius(self) -> np.ndarray:
        """Return the distance of each pixel from the origin."""
        return np.hypot(self.x, self.y)

    @cached_property
    def angle(self) -> np.ndarray:
        """Return the direction of each pixel from the origin, in radians."""
        return np.arctan2(self.y, self.x)

    def centered_at(self, x: float, y: float, *, angle: float = 0.0) -> "Grid":
        """Return the coordinates in a system with its origin at (x, y), rotated by `angle` (radians)."""
        right, down = self.x - x, self.y - y
        cos, sin = math.cos(angle), math.sin(angle)
        return Grid(x=cos * right + sin * down, y=cos * down - sin * right)


def pixel_grid(size: int) -> Grid:
    """Return the coordinates of the centers of size x size pixels."""
    centers = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FRAME_SIZE
    x, y = np.meshgrid(centers, centers)
    return Grid(x, y)


def random_pose(grid: Grid, rng: Generator, *, degrees: float, scale: float, shift: float) -> Grid:
    """Shift, rotate and scale a grid at random, each by at most the given amount in either direction."""
    x, y = rng.uniform(-shift, shift), rng.uniform(-shift, shift)
    rotated = grid.centered_at(x, y, angle=math.radians(rng.uniform(-degrees, degrees)))
    zoom = 1 + rng.uniform(-scale, scale)
    return Grid(rotated.x * zoom, rotated.y * zoom)


def smoothstep(value: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Return 0 up to `low`, 1 from `high` on, and a smooth cubic transition between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def blend(base: np.ndarray, other: np.ndarray | tuple[float, ...], opacity: np.ndarray) -> np.ndarray:
    """Blend a color, (h, w, 3) or RGB, over `base` (h, w, 3) with an opacity (h, w)."""
    return base + opacity[..., None] * (np.asarray(other, np.float32) - base)


def smooth_noise(grid: Grid, rng: Generator, *, wavelength: float) -> np.ndarray:
    """Return smooth noise (h, w) of unit variance: a sum of plane waves in random directions."""
    waves = []
    for stretch in NOISE_STRETCHES:
        angle, phase = rng.uniform(0, FULL_TURN), rng.uniform(0, FULL_TURN)
        position = math.cos(angle) * grid.x + math.sin(angle) * grid.y
        waves.append(np.cos(position * (FULL_TURN / (wavelength * stretch)) + phase))
    return np.sum(waves, axis=0) / math.sqrt(2)
