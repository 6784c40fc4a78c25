"""Random parameters of the corruption that a network is trained to remove from patches.

A patch is covered by up to MAX_SHAPES random shapes that share one fill, and gets Gaussian noise, after Zavrtanik et
al. 2021 (DRAEM) and Bauer et al. 2024. This module draws the parameters with NumPy; `torch_corruption` applies them.

To add a fill, add a member to `Fill` and draw its parameters here, and add its function to `torch_fills`.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Self

import numpy as np


class ShapeKind(IntEnum):
    """Kind of a shape; NONE is a shape that is absent."""

    NONE = 0
    ELLIPSE = 1
    POLYGON = 2
    STROKE = 3


class Fill(IntEnum):
    """What the shapes of a patch are filled with."""

    PIECE = 0  # a piece of another image
    SHIFTED = 1  # the patch itself, shifted
    COLOR = 2  # one color
    SMOOTH_NOISE = 3  # uniform noise of a coarse grain
    TINT = 4  # the patch with another contrast and color
    BLUR = 5  # the patch, blurred


# Lengths are in sides of the patch.
MAX_SHAPES = 3  # per patch
UNCORRUPTED_SHARE = 0.1  # share of the patches without a shape
MIN_SHAPE_RADIUS = 0.015  # half the diameter of an ellipse or polygon
MAX_SHAPE_RADIUS = 0.25  # half the diameter of an ellipse or polygon, before enlargement
ENLARGED_SHARE = 0.3  # share of the ellipses and polygons that are enlarged
ENLARGEMENT = 1.6  # factor of the size of those
MAX_ASPECT = 3  # of width and height; the inverse is the minimum
MIN_SOFTNESS = 0.001  # width of the transition at the edge of a shape
MAX_SOFTNESS = 0.04
POLYGON_SIDES = 7
MIN_POLYGON_RADIUS = 0.4  # distance of a side from the center of the polygon, in sizes of the polygon
STROKE_VERTICES = 10
MIN_STROKE_HALF_WIDTH = 0.004  # half the width of a stroke
MAX_STROKE_HALF_WIDTH = 0.03
MIN_STROKE_STEP = 0.005  # distance of two vertices of a stroke
MAX_STROKE_STEP = 0.08
STROKE_BEND = 0.5  # radians; standard deviation of the change of direction at a vertex
OPAQUE_SHARE = 0.5  # share of the patches with opaque shapes
MIN_OPACITY = 0.3  # of the others
MIN_SHIFT = 1 / 64  # distance of SHIFTED
MAX_SHIFT = 0.3
MIN_GRAIN = 1 / 64  # grain of SMOOTH_NOISE and BLUR
MAX_GRAIN = 1 / 4
MAX_CONTRAST = 2.0  # factor of TINT; the inverse is the minimum
TINT_BRIGHTNESS_STD = 0.2  # standard deviation of what TINT adds to all channels
TINT_COLOR_STD = 0.15  # standard deviation of what TINT adds to each channel
MAX_NOISE_STD = 8 / 255  # standard deviation of the Gaussian noise


@dataclass(frozen=True)
class Corruption:
    """Parameters of the corruption of B patches.

    K is MAX_SHAPES. Lengths and positions are in sides of the patch, positions are (y, x), intensities in [0, 1].
    All parameters are drawn for each patch, although a shape or a fill uses only some of them.
    """

    # Shapes
    kind: np.ndarray  # (B, K), a ShapeKind each
    center: np.ndarray  # (B, K, 2)
    size: np.ndarray  # (B, K), half the diameter of an ellipse or polygon, half the width of a stroke
    aspect: np.ndarray  # (B, K), width / height of an ellipse or polygon before its rotation
    angle: np.ndarray  # (B, K), radians, rotation of the shape from the x axis towards the y axis
    softness: np.ndarray  # (B, K), width of the transition at the edge
    polygon_radii: np.ndarray  # (B, K, POLYGON_SIDES), distance of each side from the center, in sizes
    stroke_vertices: np.ndarray  # (B, K, STROKE_VERTICES, 2)
    # Fill
    fill: np.ndarray  # (B,), a Fill each
    opacity: np.ndarray  # (B,), in [0, 1]
    piece_image: np.ndarray  # (B,), PIECE: index of the image
    piece_position: np.ndarray  # (B, 2), PIECE: position in the image, in [0, 1], and shift of the piece
    piece_quarter_turns: np.ndarray  # (B,), PIECE: rotation by multiples of 90 degrees, counter-clockwise
    shift: np.ndarray  # (B, 2), SHIFTED
    color: np.ndarray  # (B, 3), COLOR
    grain: np.ndarray  # (B,), SMOOTH_NOISE, BLUR: length
    contrast: np.ndarray  # (B,), TINT: factor
    tint: np.ndarray  # (B, 3), TINT: added to each channel
    # Noise
    noise_std: np.ndarray  # (B,), standard deviation of the Gaussian noise
    seed: np.ndarray  # (B,), seed of the Gaussian noise and of SMOOTH_NOISE

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, chosen: slice | np.ndarray) -> Self:
        """Return the parameters of the chosen patches."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))


def draw_corruption(count: int, images: int, rng: np.random.Generator) -> Corruption:
    """Draw the corruption of `count` patches; pieces come from `images` images."""
    # Another order of the draws changes the corruption that a seed produces.
    shapes = (count, MAX_SHAPES)
    kind = _draw_kinds(count, rng)
    center = rng.random((*shapes, 2))
    angle = rng.uniform(0, 2 * np.pi, shapes)
    stroke_width = _log_uniform(rng, MIN_STROKE_HALF_WIDTH, MAX_STROKE_HALF_WIDTH, shapes)
    size = _log_uniform(rng, MIN_SHAPE_RADIUS, MAX_SHAPE_RADIUS, shapes)
    size = size * np.where(rng.random(shapes) < ENLARGED_SHARE, ENLARGEMENT, 1)
    shift_angle = rng.uniform(0, 2 * np.pi, count)
    shift_length = _log_uniform(rng, MIN_SHIFT, MAX_SHIFT, (count,))
    return Corruption(
        kind=kind,
        center=center,
        size=np.where(kind == ShapeKind.STROKE, stroke_width, size),
        aspect=_log_uniform(rng, 1 / MAX_ASPECT, MAX_ASPECT, shapes),
        angle=angle,
        softness=_log_uniform(rng, MIN_SOFTNESS, MAX_SOFTNESS, shapes),
        polygon_radii=rng.uniform(MIN_POLYGON_RADIUS, 1, (*shapes, POLYGON_SIDES)),
        stroke_vertices=_draw_strokes(center, angle, rng),
        fill=rng.integers(0, len(Fill), count),
        opacity=np.where(rng.random(count) < OPAQUE_SHARE, 1.0, rng.uniform(MIN_OPACITY, 1, count)),
        piece_image=rng.integers(0, images, count),
        piece_position=rng.random((count, 2)),
        piece_quarter_turns=rng.integers(0, 4, count),
        shift=np.stack([np.sin(shift_angle) * shift_length, np.cos(shift_angle) * shift_length], axis=1),
        color=rng.random((count, 3)),
        grain=_log_uniform(rng, MIN_GRAIN, MAX_GRAIN, (count,)),
        contrast=_log_uniform(rng, 1 / MAX_CONTRAST, MAX_CONTRAST, (count,)),
        tint=rng.normal(0, TINT_BRIGHTNESS_STD, (count, 1)) + rng.normal(0, TINT_COLOR_STD, (count, 3)),
        noise_std=rng.uniform(0, MAX_NOISE_STD, count),
        seed=rng.integers(0, 2**31, count),
    )


def _draw_kinds(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the kinds of the shapes, (count, MAX_SHAPES)."""
    present = np.arange(MAX_SHAPES) < rng.integers(1, MAX_SHAPES + 1, (count, 1))
    present &= rng.random((count, 1)) >= UNCORRUPTED_SHARE
    return np.where(present, rng.integers(1, len(ShapeKind), present.shape), ShapeKind.NONE)


def _draw_strokes(center: np.ndarray, angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the vertices (..., STROKE_VERTICES, 2) of random walks around centers (..., 2), starting at angles (...)."""
    bends = rng.normal(0, STROKE_BEND, (*angle.shape, STROKE_VERTICES))
    direction = angle[..., None] + np.cumsum(bends, axis=-1)
    step = _log_uniform(rng, MIN_STROKE_STEP, MAX_STROKE_STEP, angle.shape)[..., None]
    vertices = np.cumsum(np.stack([np.sin(direction) * step, np.cos(direction) * step], axis=-1), axis=-2)
    return vertices - vertices.mean(axis=-2, keepdims=True) + center[..., None, :]


def _log_uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))
