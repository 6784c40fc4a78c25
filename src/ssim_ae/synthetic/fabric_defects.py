"""A woven or stitched surface, and six ways to spoil it.

Lengths are in frame units: 256 across the whole picture, whatever its size in pixels, with the origin in its
centre; so one unit is one pixel at the usual size of 256. Every defect takes a `difficulty` from 0, large and
plain, to 1, small and faint.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.random import Generator

RGB = tuple[float, float, float]

TURN = 2 * np.pi

STAIN_TINT = (0.40, 0.31, 0.20)


@dataclass(frozen=True)
class Surface:
    """What the light falls on, as float32 maps of one shape (h, w).

    `height` is in frame units, `colour` (h, w, 3) in 0..1. `strand` tells which yarn or stitch lies on top
    by its place among its neighbours, in frame units; strands of different kinds lie far apart.
    `backing` is the colour seen through a hole, `dye` and `thread` are those of foreign yarns.
    """

    height: np.ndarray
    colour: np.ndarray
    strand: np.ndarray
    backing: RGB
    dye: RGB
    thread: RGB


@dataclass(frozen=True)
class Grid:
    """Where each pixel lies, as float32 maps (h, w) in frame units: `x` to the right and `y` down."""

    x: np.ndarray
    y: np.ndarray

    @cached_property
    def radius(self) -> np.ndarray:
        """Distance of each pixel from the origin."""
        return np.hypot(self.x, self.y)

    @cached_property
    def bearing(self) -> np.ndarray:
        """Direction of each pixel from the origin, in radians."""
        return np.arctan2(self.y, self.x)

    def seen_from(self, x: float, y: float, *, angle: float = 0.0) -> "Grid":
        """The grid as seen from the point `x`, `y`, with the x axis turned by `angle` (radians)."""
        right, down = self.x - x, self.y - y
        cos, sin = math.cos(angle), math.sin(angle)
        return Grid(x=cos * right + sin * down, y=cos * down - sin * right)


def between(easy: float, hard: float, difficulty: float) -> float:
    """The value at `difficulty` on the way from `easy` (0) to `hard` (1)."""
    return easy + (hard - easy) * difficulty


def step(value: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mixed(base: np.ndarray, other: np.ndarray | tuple[float, ...], share: np.ndarray) -> np.ndarray:
    """`base` (h, w, 3) with the `share` (h, w) of it replaced by `other`."""
    return base + share[..., None] * (np.asarray(other, np.float32) - base)


def ripples(grid: Grid, rng: Generator, *, wavelength: float) -> np.ndarray:
    """An irregular smooth field of unit variance, of waves around `wavelength` long."""
    waves = []
    for stretch in (0.65, 0.85, 1.1, 1.4):
        bearing, phase = rng.uniform(0, TURN), rng.uniform(0, TURN)
        across = math.cos(bearing) * grid.x + math.sin(bearing) * grid.y
        waves.append(np.cos(across * (TURN / (wavelength * stretch)) + phase))
    return np.sum(waves, axis=0) / math.sqrt(2)


def cut(surface: Surface, spot: Grid, rng: Generator, difficulty: float) -> Surface:
    """A slightly bent slit with frayed, curled edges, open to the backing."""
    half_length, half_width = between(44, 20, difficulty), between(8.5, 6.5, difficulty)
    bend = rng.uniform(-6, 6) * (spot.x / half_length) ** 2
    opening = half_width * np.sqrt(np.maximum(1 - (spot.x / half_length) ** 2, 0))
    inside = np.where(np.abs(spot.x) < half_length, opening - np.abs(spot.y + bend), -half_length)
    return opened(surface, inside, fringe=ripples(Grid(spot.x, spot.y / 5), rng, wavelength=4))


def hole(surface: Surface, spot: Grid, rng: Generator, difficulty: float) -> Surface:
    """An irregular hole with a frayed border, open to the backing."""
    radius = between(24, 10, difficulty)
    inside = radius - spot.radius + 0.14 * radius * ripples(spot, rng, wavelength=2 * radius)
    rays = Grid(spot.bearing * radius, spot.radius / 5)
    return opened(surface, inside, fringe=ripples(rays, rng, wavelength=4))


def opened(surface: Surface, inside: np.ndarray, *, fringe: np.ndarray) -> Surface:
    """The surface taken away where `inside`, the distance inwards from the border, is above zero.

    `fringe` (unit variance) draws single fibres into the opening; each yarn ends a little sooner or later.
    """
    yarn_end = 1.4 * np.sin(surface.strand * 2.7)
    gone = step(inside + yarn_end + 0.8 * fringe, low=-0.8, high=1.6)
    fibre = step(-fringe, low=-0.6, high=1.0) * step(inside, low=-5, high=0) * (1 - gone)
    curl = 1.5 * np.exp(-(((inside + 3) / 2.5) ** 2))
    shadow = 0.5 + 0.5 * step(inside, low=0, high=9)
    backing = np.asarray(surface.backing, np.float32) * shadow[..., None]
    lit = mixed(surface.colour, surface.colour * np.float32(1.5), 0.6 * fibre)
    height = surface.height + curl
    floor = float(surface.height.min())
    return replace(surface, height=height + gone * (floor - height), colour=mixed(lit, backing, gone))


def stain(surface: Surface, spot: Grid, rng: Generator, difficulty: float) -> Surface:
    """A blotch soaked into the yarns, a little darker along its irregular border."""
    radius, strength = between(30, 13, difficulty), between(0.75, 0.6, difficulty)
    inside = radius - spot.radius + 0.16 * radius * ripples(spot, rng, wavelength=1.8 * radius)
    soaked = step(inside, low=-2.5, high=2.5) * (0.85 + 0.25 * np.exp(-((inside / 4) ** 2)))
    tinted = surface.colour * np.asarray(STAIN_TINT, np.float32)
    return replace(surface, colour=mixed(surface.colour, tinted, strength * soaked))


def thread(surface: Surface, spot: Grid, rng: Generator, difficulty: float) -> Surface:
    """A loose twisted thread that lies on top in a curve, and its shadow."""
    half_length, half_width = between(62, 26, difficulty), between(4.2, 3.2, difficulty)
    sway, wavelength = half_length * rng.uniform(0.12, 0.22), half_length * rng.uniform(1.2, 1.8)
    bend, phase = half_length * rng.uniform(-0.25, 0.25), rng.uniform(0, TURN)

    def distance(place: Grid) -> np.ndarray:
        swing = place.x * (TURN / wavelength) + phase
        course = sway * np.sin(swing) + bend * (place.x / half_length) ** 2
        slope = sway * TURN / wavelength * np.cos(swing) + 2 * bend * place.x / half_length**2
        aside = (place.y - course) / np.sqrt(1 + slope**2)
        return np.hypot(aside, np.maximum(np.abs(place.x) - half_length, 0)) * np.sign(aside)

    aside = distance(spot)
    round_top = np.sqrt(np.clip(1 - (aside / half_width) ** 2, 0, 1))
    twist = 0.9 + 0.1 * np.sin(spot.x * 1.6 + aside * 0.9)
    shadow = 1 - step(np.abs(distance(spot.seen_from(2.5, 2.5))), low=half_width - 1, high=half_width + 3.5)
    on_top = step(round_top, low=0.0, high=0.45)
    colour = mixed(surface.colour, surface.colour * np.float32(0.45), shadow)
    yarn = np.asarray(surface.thread, np.float32) * twist[..., None]
    height = surface.height + on_top * (surface.height.max() + half_width * round_top - surface.height)
    return replace(surface, height=height, colour=mixed(colour, yarn, on_top))


def colour(surface: Surface, spot: Grid, rng: Generator, difficulty: float) -> Surface:
    """A few neighbouring yarns or stitches, dyed in a foreign colour over a part of their length."""
    half_length, half_width = between(48, 23, difficulty), between(26, 14, difficulty)
    strands, counts = np.unique(surface.strand[spot.radius < 14], return_counts=True)
    same = np.abs(surface.strand - strands[counts.argmax()]) < half_width
    dyed = same & (spot.radius < half_length)
    strength = np.float32(between(0.9, 0.6, difficulty))
    return replace(surface, colour=mixed(surface.colour, surface.dye, strength * dyed))


def displaced(spot: Grid, rng: Generator, difficulty: float) -> tuple[np.ndarray, np.ndarray]:
    """How far, right and down, the yarns of a patch are turned and pushed aside."""
    radius, push = between(44, 26, difficulty), between(12, 7, difficulty)
    turn = between(0.9, 0.65, difficulty) * math.copysign(1, rng.uniform(-1, 1))
    way = rng.uniform(0, TURN)
    share = step(-spot.radius, low=-radius, high=-0.1 * radius)
    cos, sin = np.cos(turn * share) - 1, np.sin(turn * share)
    right = cos * spot.x - sin * spot.y + push * math.cos(way) * share
    down = sin * spot.x + cos * spot.y + push * math.sin(way) * share
    return right, down
