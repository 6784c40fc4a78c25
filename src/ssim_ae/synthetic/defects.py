"""Six defects of a woven or stitched surface.

Each defect has a `difficulty` from 0, large and obvious, to 1, small and faint. `local` is the pixel grid with its
origin at the defect.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from ssim_ae.synthetic.surfaces import FULL_TURN, Grid, Surface, blend, smooth_noise, smoothstep

STAIN_TINT = (0.40, 0.31, 0.20)  # RGB factors
SHADOW_SHIFT = 2.5  # frame units, right and down, of the shadow of a thread


def cut(surface: Surface, local: Grid, rng: Generator, difficulty: float) -> Surface:
    """Draw a slightly bent slit with frayed, curled edges, open to the backing."""
    half_length, half_width = interpolate(44, 20, difficulty), interpolate(8.5, 6.5, difficulty)
    bend = rng.uniform(-6, 6) * (local.x / half_length) ** 2
    opening = half_width * np.sqrt(np.maximum(1 - (local.x / half_length) ** 2, 0))
    inside = np.where(np.abs(local.x) < half_length, opening - np.abs(local.y + bend), -half_length)
    return _open(surface, inside, fringe=smooth_noise(Grid(local.x, local.y / 5), rng, wavelength=4))


def hole(surface: Surface, local: Grid, rng: Generator, difficulty: float) -> Surface:
    """Draw an irregular hole with a frayed border, open to the backing."""
    radius = interpolate(24, 10, difficulty)
    inside = radius - local.radius + 0.14 * radius * smooth_noise(local, rng, wavelength=2 * radius)
    rays = Grid(local.angle * radius, local.radius / 5)
    return _open(surface, inside, fringe=smooth_noise(rays, rng, wavelength=4))


def stain(surface: Surface, local: Grid, rng: Generator, difficulty: float) -> Surface:
    """Draw a stain soaked into the yarns, a little darker along its irregular border."""
    radius, strength = interpolate(30, 13, difficulty), interpolate(0.75, 0.6, difficulty)
    inside = radius - local.radius + 0.16 * radius * smooth_noise(local, rng, wavelength=1.8 * radius)
    soaked = smoothstep(inside, low=-2.5, high=2.5) * (0.85 + 0.25 * np.exp(-((inside / 4) ** 2)))
    tinted = surface.color * np.asarray(STAIN_TINT, np.float32)
    return replace(surface, color=blend(surface.color, tinted, strength * soaked))


def thread(surface: Surface, local: Grid, rng: Generator, difficulty: float) -> Surface:
    """Draw a loose twisted thread on top, in a curve, and its shadow."""
    half_width = interpolate(4.2, 3.2, difficulty)
    curve = _ThreadCurve.draw(interpolate(62, 26, difficulty), rng)
    distance = curve.signed_distance(local)
    round_top = np.sqrt(np.clip(1 - (distance / half_width) ** 2, 0, 1))
    twist = 0.9 + 0.1 * np.sin(local.x * 1.6 + distance * 0.9)
    shadow_distance = np.abs(curve.signed_distance(local.centered_at(SHADOW_SHIFT, SHADOW_SHIFT)))
    shadow = 1 - smoothstep(shadow_distance, low=half_width - 1, high=half_width + 3.5)
    on_top = smoothstep(round_top, low=0.0, high=0.45)
    shaded = blend(surface.color, surface.color * np.float32(0.45), shadow)
    yarn = np.asarray(surface.thread, np.float32) * twist[..., None]
    height = surface.height + on_top * (surface.height.max() + half_width * round_top - surface.height)
    return replace(surface, height=height, color=blend(shaded, yarn, on_top))


def color(surface: Surface, local: Grid, _rng: Generator, difficulty: float) -> Surface:
    """Dye a few neighboring yarns or stitches in another color over a part of their length."""
    half_length, half_width = interpolate(48, 23, difficulty), interpolate(26, 14, difficulty)
    strands, counts = np.unique(surface.strand[local.radius < 14], return_counts=True)
    near = np.abs(surface.strand - strands[counts.argmax()]) < half_width
    dyed = near & (local.radius < half_length)
    strength = np.float32(interpolate(0.9, 0.6, difficulty))
    return replace(surface, color=blend(surface.color, surface.dye, strength * dyed))


def displacement(local: Grid, rng: Generator, difficulty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far, right and down, the yarns of a rotated and shifted patch are displaced at each pixel."""
    radius, push = interpolate(44, 26, difficulty), interpolate(12, 7, difficulty)
    angle = interpolate(0.9, 0.65, difficulty) * math.copysign(1, rng.uniform(-1, 1))
    direction = rng.uniform(0, FULL_TURN)
    strength = smoothstep(-local.radius, low=-radius, high=-0.1 * radius)
    cos_minus_1, sin = np.cos(angle * strength) - 1, np.sin(angle * strength)
    right = cos_minus_1 * local.x - sin * local.y + push * math.cos(direction) * strength
    down = sin * local.x + cos_minus_1 * local.y + push * math.sin(direction) * strength
    return right, down


DrawDefect = Callable[[Surface, Grid, Generator, float], Surface]
# The defects that change a finished surface. A displacement changes the grid that the surface is drawn on.
SURFACE_DEFECTS: dict[str, DrawDefect] = {"cut": cut, "hole": hole, "stain": stain, "thread": thread, "color": color}


@dataclass(frozen=True)
class _ThreadCurve:
    """The curve of a loose thread along the x axis: a sine wave on a parabola."""

    half_length: float
    sway: float  # amplitude of the wave
    wavelength: float
    bend: float  # offset of the parabola at the ends
    phase: float  # radians

    @classmethod
    def draw(cls, half_length: float, rng: Generator) -> "_ThreadCurve":
        """Draw a random curve."""
        sway, wavelength = half_length * rng.uniform(0.12, 0.22), half_length * rng.uniform(1.2, 1.8)
        bend, phase = half_length * rng.uniform(-0.25, 0.25), rng.uniform(0, FULL_TURN)
        return cls(half_length, sway, wavelength, bend, phase)

    def signed_distance(self, grid: Grid) -> np.ndarray:
        """Return the approximate distance (h, w) of each pixel from the curve, negative above it."""
        angle = grid.x * (FULL_TURN / self.wavelength) + self.phase
        course = self.sway * np.sin(angle) + self.bend * (grid.x / self.half_length) ** 2
        wave_slope = self.sway * FULL_TURN / self.wavelength * np.cos(angle)
        slope = wave_slope + 2 * self.bend * grid.x / self.half_length**2
        aside = (grid.y - course) / np.sqrt(1 + slope**2)
        return np.hypot(aside, np.maximum(np.abs(grid.x) - self.half_length, 0)) * np.sign(aside)


def interpolate(easy: float, hard: float, difficulty: float) -> float:
    """Interpolate linearly from `easy` at difficulty 0 to `hard` at difficulty 1."""
    return easy + (hard - easy) * difficulty


def _open(surface: Surface, inside: np.ndarray, *, fringe: np.ndarray) -> Surface:
    """Remove the surface where `inside`, the distance inwards from the border, is positive.

    `fringe`, noise of unit variance, adds single fibres in the opening. The ends of the yarns vary in length.
    """
    yarn_end = 1.4 * np.sin(surface.strand * 2.7)
    removed = smoothstep(inside + yarn_end + 0.8 * fringe, low=-0.8, high=1.6)
    fibre = smoothstep(-fringe, low=-0.6, high=1.0) * smoothstep(inside, low=-5, high=0) * (1 - removed)
    curl = 1.5 * np.exp(-(((inside + 3) / 2.5) ** 2))
    shadow = 0.5 + 0.5 * smoothstep(inside, low=0, high=9)
    backing = np.asarray(surface.backing, np.float32) * shadow[..., None]
    frayed = blend(surface.color, surface.color * np.float32(1.5), 0.6 * fibre)
    height = surface.height + curl
    floor = float(surface.height.min())
    return replace(surface, height=height + removed * (floor - height), color=blend(frayed, backing, removed))
