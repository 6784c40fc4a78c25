"""A round embroidered badge: a star and a ring on a field, with a thick border, on a white board."""

import math
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.random import Generator

from ssim_ae.synthetic.surfaces import FULL_TURN, RGB, Grid, Surface, random_pose, smoothstep


class Part(IntEnum):
    """The parts of the badge, from the top to the bottom."""

    BORDER = 0
    RING = 1
    STAR = 2
    FIELD = 3
    BOARD = 4


COLORS: dict[Part, RGB] = {
    Part.BORDER: (0.14, 0.31, 0.25),
    Part.RING: (0.86, 0.66, 0.26),
    Part.STAR: (0.94, 0.90, 0.80),
    Part.FIELD: (0.22, 0.46, 0.52),
    Part.BOARD: (0.95, 0.95, 0.93),
}
BORDER_RADIUS = 92  # frame units, of the middle of the border
STAR_POINTS = 5


def badge(grid: Grid, rng: Generator) -> Surface:
    """Draw the badge."""
    grid = random_pose(grid, rng, degrees=2, scale=0.004, shift=1.5)
    in_star, star_height, star_stitch = _star(grid, tip=50)
    in_ring, ring_height, ring_stitch = _ring(grid, middle=68, half_width=5, stitches=56, slant=0.06)
    in_border, border_height, border_stitch = _ring(grid, middle=BORDER_RADIUS, half_width=10, stitches=60, slant=0.03)
    field_height, field_stitch = _stitch_rows(grid, pitch=9, length=46)

    part = np.select(
        [in_border, in_ring, in_star, grid.radius < BORDER_RADIUS],
        [Part.BORDER, Part.RING, Part.STAR, Part.FIELD],
        Part.BOARD,
    )
    # One entry per part, in the order of `Part`. The offsets make the strand numbers of different parts different.
    heights: Any = [border_height + 2, ring_height + 1, star_height + 1, field_height, np.float32(-3)]
    reliefs: Any = [border_height, ring_height, star_height, field_height, np.float32(2)]
    strands: Any = [border_stitch + 3000, ring_stitch + 2000, star_stitch + 1000, field_stitch, np.float32(9000)]

    shadow_on_board = 0.62 + 0.38 * smoothstep(grid.centered_at(2.5, 3.5).radius, low=97, high=109)
    relief = np.choose(part, reliefs)
    tone = np.where(part < Part.BOARD, 0.66 + 0.34 * smoothstep(relief, low=0, high=2), shadow_on_board)
    return Surface(
        np.choose(part, heights),
        np.array(list(COLORS.values()), np.float32)[part] * tone[..., None],
        np.choose(part, strands),
        backing=(0.13, 0.12, 0.12),
        dye=(0.84, 0.46, 0.30),
        thread=(0.70, 0.16, 0.18),
    )


def _ring(
    grid: Grid, *, middle: float, half_width: float, stitches: int, slant: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mask of a ring of slanting stitches, their height, and the position of each stitch along the ring."""
    off_middle = (grid.radius - middle) / half_width
    turns = grid.angle / FULL_TURN + 0.5 + slant * off_middle / FULL_TURN
    number = np.floor(turns * stitches) % stitches
    dome = np.sqrt(np.clip(1 - off_middle**2, 0, 1))
    height = 2.5 * dome * _ridge(turns * stitches) + 0.35 * half_width * dome
    return np.abs(off_middle) < 1, height, number * (FULL_TURN * middle / stitches)


def _star(grid: Grid, *, tip: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mask of a star, the height of its stitches, and the position of each stitch along its ray.

    `tip` is the distance of the points of the star from the origin.
    """
    sector = FULL_TURN / STAR_POINTS
    angle = (grid.angle + FULL_TURN / 4 + sector / 2) % sector - sector / 2
    along, aside = grid.radius * np.cos(angle), grid.radius * np.abs(np.sin(angle))
    notch_x, notch_y = 0.45 * tip * math.cos(sector / 2), 0.45 * tip * math.sin(sector / 2)
    edge = math.hypot(tip - notch_x, notch_y)
    distance_inside = ((tip - along) * notch_y - aside * (tip - notch_x)) / edge
    position = (along - 0.5 * aside) / 8
    height = np.sqrt(np.clip(distance_inside, 0, 7) / 7) * (1.5 + 2 * _ridge(position))
    return distance_inside > 0, height, np.floor(position) * 8


def _stitch_rows(grid: Grid, *, pitch: float, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of level rows of stitches, shifted from row to row, and the position of each row."""
    number = np.floor(grid.y / pitch)
    end = np.abs((grid.x / length + number * 0.38) % 1 - 0.5) * 2
    return 2.1 * _ridge(grid.y / pitch) * (1 - 0.3 * smoothstep(end, low=0.85, high=1)), number * pitch


def _ridge(position: np.ndarray) -> np.ndarray:
    """Return the round profile of adjacent strands, one per unit: 1 on the middle of each strand, 0 between two."""
    return np.sqrt(1 - (2 * (position - np.floor(position)) - 1) ** 2)
