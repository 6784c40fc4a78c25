"""Corruption to good patches, for a network that learns to repair it. Numbers alone: an engine draws them.

After Zavrtanik et al. 2021 (DRAEM) and Bauer et al. 2024: shapes at random, filled with what may lie there by mistake.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

SHAPES = 3  # at most, a patch
CORNERS, JOINTS = 7, 10  # of a polygon, of a stroke
NOTHING, ELLIPSE, POLYGON, STROKE = range(4)
FILLS = PIECE, SHIFTED, COLOUR, CLOUDS, TINT, BLUR = range(6)
UNDAMAGED = 0.1  # share of the patches
SMALLEST, LARGEST = 0.015, 0.25  # half the diameter of a shape, in sides of the patch ...
LARGE, LARGER = 0.3, 1.6  # ... of which a share is larger by a factor
THINNEST, THICKEST = 0.004, 0.03  # half the width of a stroke
SHARPEST, SOFTEST = 0.001, 0.04  # a shape's edge
OPAQUE, FAINTEST = 0.5, 0.3  # share of opaque damage, lowest opacity of the rest
NEAREST, FARTHEST = 1 / 64, 0.3  # that something is shifted
FINEST, COARSEST = 1 / 64, 1 / 4  # grain of clouds and blur
CONTRAST = 2.0  # of a tint, at most, or its inverse
BRIGHTNESS, HUE = 0.2, 0.15  # of a tint, standard deviations of what is added to all channels and to each
NOISE = 8 / 255  # at most, standard deviation


@dataclass(frozen=True)
class Corruption:
    """What is done to B patches. Lengths and positions are in sides of the patch, positions as (y, x).

    Of up to SHAPES shapes: `kind` (B, SHAPES), `centre` (B, SHAPES, 2), `size`, `aspect`, `angle` and `softness`
    (B, SHAPES), `radii` (B, SHAPES, CORNERS), `joints` (B, SHAPES, JOINTS, 2).

    Of what they are filled with: `fill`, `opacity` (B,), and according to the fill: a PIECE of another `image` (B,)
    from a `place` (B, 2), turned by `turns` (B,) times 90 degrees; the patch SHIFTED by `shift` (B, 2); a `colour`
    (B, 3); CLOUDS of a `grain` (B,); the patch with a TINT, its `contrast` (B,) and what is added, `tint` (B, 3); its
    BLUR, of a `grain`.

    Of all: `noise` (B,), `seed` (B,).
    """

    kind: np.ndarray
    centre: np.ndarray
    size: np.ndarray
    aspect: np.ndarray
    angle: np.ndarray
    softness: np.ndarray
    radii: np.ndarray
    joints: np.ndarray
    fill: np.ndarray
    opacity: np.ndarray
    image: np.ndarray
    place: np.ndarray
    turns: np.ndarray
    shift: np.ndarray
    colour: np.ndarray
    grain: np.ndarray
    contrast: np.ndarray
    tint: np.ndarray
    noise: np.ndarray
    seed: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, chosen: slice | np.ndarray) -> Self:
        """Return that of some of the patches."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))


def draw_corruption(count: int, images: int, rng: np.random.Generator) -> Corruption:
    """Draw what is done to `count` patches; pieces come from `images` images."""
    each = (count, SHAPES)
    present = np.arange(SHAPES) < rng.integers(1, SHAPES + 1, (count, 1))
    present &= rng.random((count, 1)) >= UNDAMAGED
    kind = np.where(present, rng.integers(ELLIPSE, STROKE + 1, each), NOTHING)
    centre, angle = rng.random((*each, 2)), rng.uniform(0, 2 * np.pi, each)
    thickness = _between(rng, THINNEST, THICKEST, each)
    size = _between(rng, SMALLEST, LARGEST, each) * np.where(rng.random(each) < LARGE, LARGER, 1)
    heading, distance = rng.uniform(0, 2 * np.pi, count), _between(rng, NEAREST, FARTHEST, (count,))
    return Corruption(
        kind=kind,
        centre=centre,
        size=np.where(kind == STROKE, thickness, size),
        aspect=_between(rng, 1 / 3, 3, each),
        angle=angle,
        softness=_between(rng, SHARPEST, SOFTEST, each),
        radii=rng.uniform(0.4, 1, (*each, CORNERS)),
        joints=_strokes(centre, angle, rng),
        fill=rng.integers(0, len(FILLS), count),
        opacity=np.where(rng.random(count) < OPAQUE, 1.0, rng.uniform(FAINTEST, 1, count)),
        image=rng.integers(0, images, count),
        place=rng.random((count, 2)),
        turns=rng.integers(0, 4, count),
        shift=np.stack([np.sin(heading) * distance, np.cos(heading) * distance], axis=1),
        colour=rng.random((count, 3)),
        grain=_between(rng, FINEST, COARSEST, (count,)),
        contrast=_between(rng, 1 / CONTRAST, CONTRAST, (count,)),
        tint=rng.normal(0, BRIGHTNESS, (count, 1)) + rng.normal(0, HUE, (count, 3)),
        noise=rng.uniform(0, NOISE, count),
        seed=rng.integers(0, 2**31, count),
    )


def _strokes(centre: np.ndarray, angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Joints of lines that wander, about their centres."""
    direction = angle[..., None] + np.cumsum(rng.normal(0, 0.5, (*angle.shape, JOINTS)), axis=-1)
    step = _between(rng, 0.005, 0.08, angle.shape)[..., None]
    joints = np.cumsum(np.stack([np.sin(direction) * step, np.cos(direction) * step], axis=-1), axis=-2)
    return joints - joints.mean(axis=-2, keepdims=True) + centre[..., None, :]


def _between(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    """As often within any factor as within any other."""
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))
