"""The built-in data set of fabrics: two woven fabrics and an embroidered badge.

It replaces photographs in demos and tests and is not a benchmark. Good images vary as photographs of one product do:
light, small rotations, scales and shifts, differences between yarns, and sensor noise. Defective images show one of
six defects with its exact mask. All images follow from a seed.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator

from ssim_ae.synthetic.badge import badge
from ssim_ae.synthetic.data_set import DataSet, check_name
from ssim_ae.synthetic.defects import SURFACE_DEFECTS, displacement
from ssim_ae.synthetic.rendering import render, visible_change, with_sensor_noise
from ssim_ae.synthetic.streams import Seed, Stream, stream
from ssim_ae.synthetic.surfaces import FULL_TURN, Grid, Surface, pixel_grid
from ssim_ae.synthetic.weaves import canvas, twill

SURFACES: dict[str, Callable[[Grid, Generator], Surface]] = {"twill": twill, "canvas": canvas, "badge": badge}
CLASSES = tuple(SURFACES)
DEFECTS = ("cut", "hole", "stain", "thread", "displaced", "color")

WEAVE_DEFECT_RADIUS = 80  # frame units from the center; a weave continues beyond the image, its defects do not
BADGE_DEFECT_RADIUS = 46  # frame units; on the embroidery


def draw(
    name: str,
    *,
    seed: Seed,
    size: int = 256,
    defect: str | None = None,
    difficulty: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image of a class.

    Args:
        name: One of CLASSES.
        seed: Equal seeds draw equal images.
        size: Height and width, px.
        defect: One of DEFECTS, or None for a good image.
        difficulty: From 0, a large and obvious defect, to 1, a small and faint one.

    Returns the image (size, size, 3) uint8 RGB and the mask of its defect (size, size) bool.

    Raises:
        ValueError: The class or the defect is unknown.
    """
    check_name("class", name, CLASSES)
    grid = pixel_grid(2 * size)
    good = _good_surface(name, grid, seed)
    clean = render(good, grid, stream(seed, Stream.LIGHT))
    image, mask = clean, np.zeros((size, size), bool)
    if defect is not None:
        check_name("defect", defect, DEFECTS)
        defective = _defective_surface(good, name, grid, seed, defect, difficulty)
        image = render(defective, grid, stream(seed, Stream.LIGHT))
        mask = visible_change(clean, image)
    return with_sensor_noise(image, stream(seed, Stream.NOISE)), mask


def _good_surface(name: str, grid: Grid, seed: Seed) -> Surface:
    return SURFACES[name](grid, stream(seed, Stream.SURFACE))


def _defective_surface(good: Surface, name: str, grid: Grid, seed: Seed, defect: str, difficulty: float) -> Surface:
    """Return the surface of class `name` with a defect at a random position. `good` is the surface without it."""
    rng = stream(seed, Stream.DEFECT)
    max_radius = BADGE_DEFECT_RADIUS if name == "badge" else WEAVE_DEFECT_RADIUS
    radius, angle = max_radius * math.sqrt(rng.uniform()), rng.uniform(0, FULL_TURN)
    x, y = radius * math.cos(angle), radius * math.sin(angle)
    if defect == "displaced":
        right, down = displacement(grid.centered_at(x, y), rng, difficulty)
        return _good_surface(name, Grid(grid.x + right, grid.y + down), seed)
    local = grid.centered_at(x, y, angle=rng.uniform(0, FULL_TURN))
    return SURFACE_DEFECTS[defect](good, local, rng, difficulty)


FABRIC = DataSet({name: partial(draw, name) for name in CLASSES}, DEFECTS, size=256, min_size=64, max_size=4096)
make = FABRIC.make
