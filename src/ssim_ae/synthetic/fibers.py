"""The built-in data set of a random texture: fibers under an electron microscope, 1024 x 704 px, in gray.

Thick and thin fibers cross each other in all directions; those on top are bright, those below dark. Good images have
nothing in common but these statistics, so a few large ones are enough to learn from, and no place is like another.
The defects are beads on fibers, gaps through which the holder is seen, clumps of fine fibers, and flattened areas.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from ssim_ae.synthetic.artwork import Canvas, Point, blurred, light_field, noise_field
from ssim_ae.synthetic.data_set import DataSet, check_name
from ssim_ae.synthetic.defects import interpolate
from ssim_ae.synthetic.rendering import with_sensor_noise
from ssim_ae.synthetic.streams import Seed, Stream, stream
from ssim_ae.synthetic.surfaces import FULL_TURN, Grid, blend, smooth_noise, smoothstep

# Lengths are in units of 1 px of an image of this size.
WIDTH = 1024
HEIGHT = 704
MARGIN = 40  # units between the border and the center of a defect

FIBER_COUNT = 150
THICK_SHARE = 0.3  # of the fibers
REACH = 1300  # units from the middle of a fiber to its ends: beyond the image
CONTRAST = {"low": -0.08, "high": 0.86}  # brightness that is shown as black, and as white
TANGLE_COUNT = 900  # fibers in the area of the image of which a clump is a part

Gray = np.ndarray  # (H, W) float32 in [0, 1]


@dataclass(frozen=True)
class Fiber:
    """A fiber: the points of its curve, its width in units, and its brightness."""

    curve: list[Point]
    width: float
    brightness: float  # in [0, 1]


def draw(
    *, seed: Seed, size: int = WIDTH, defect: str | None = None, difficulty: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image as `DrawImage` does: (H, W) uint8, its height 11/16 of its width.

    The mask of a defect is the area that it covers.
    """
    fibers = _mesh(stream(seed, Stream.SURFACE))
    image = _picture(fibers, size)
    mask = np.zeros(image.shape, bool)
    if defect is not None:
        check_name("defect", defect, DEFECTS)
        rng = stream(seed, Stream.DEFECT)
        opacity, changed = _DRAW_DEFECT[defect](fibers, image, rng, difficulty)
        image, mask = blend(image[..., None], changed[..., None], opacity)[..., 0], opacity > 0.5
    light = light_field(image.shape, stream(seed, Stream.LIGHT), exposure=0.04, slope=0.06)
    return with_sensor_noise(image * light, stream(seed, Stream.NOISE)), mask


def _mesh(rng: Generator) -> list[Fiber]:
    """Return the fibers of an image, the lowest first."""
    return [_fiber(rng, depth=1 - index / FIBER_COUNT) for index in range(FIBER_COUNT)]


def _fiber(rng: Generator, *, depth: float) -> Fiber:
    """Return a fiber in a random direction; at depth 0 it is bright, at 1 dark."""
    middle = rng.uniform(-0.6, 0.6, 2) * (WIDTH, HEIGHT)
    width = rng.uniform(15, 28) if rng.uniform() < THICK_SHARE else rng.uniform(6, 13)
    brightness = rng.uniform(0.85, 1.15) * (0.06 + 0.94 * (1 - depth) ** 1.2)
    return Fiber(_curve(rng, middle, REACH, bend=rng.normal(0, 90)), width, min(brightness, 1))


def _curve(rng: Generator, middle: np.ndarray, reach: float, *, bend: float) -> list[Point]:
    """Return points on a curve in a random direction, `bend` units off a straight line at its ends."""
    angle, phase, waves = rng.uniform(0, FULL_TURN), rng.uniform(0, FULL_TURN), rng.uniform(1, 3)
    along = np.linspace(-1, 1, 41)
    across = bend * along**2 + 0.006 * reach * np.sin(FULL_TURN * waves * along + phase)
    x = middle[0] + math.cos(angle) * reach * along - math.sin(angle) * across
    y = middle[1] + math.sin(angle) * reach * along + math.cos(angle) * across
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _picture(fibers: list[Fiber], size: int) -> Gray:
    """Return the picture of fibers, the last one on top: each is round, and dark along its edges."""
    canvas = Canvas(size, round(size * HEIGHT / WIDTH), unit=size / WIDTH, background=10, supersampling=2)
    for fiber in fibers:
        for share, tone in ((1.0, 0.25), (0.86, 0.7), (0.66, 0.9), (0.4, 1.0)):
            canvas.line(fiber.curve, share * fiber.width, round(255 * tone * fiber.brightness))
    return smoothstep(blurred(np.asarray(canvas.pixels(), np.float32) / 255, 0.7 * size / WIDTH), **CONTRAST)


def _bead(fibers: list[Fiber], image: Gray, rng: Generator, difficulty: float) -> tuple[np.ndarray, Gray]:
    """Draw a drop on a fiber near the top: elongated along it, bright, and dark along its edge."""
    inside = [
        (fiber, index)
        for fiber in fibers[-FIBER_COUNT // 3 :]
        for index, (x, y) in enumerate(fiber.curve[:-1])
        if abs(x) < WIDTH / 2 - MARGIN and abs(y) < HEIGHT / 2 - MARGIN
    ]
    fiber, index = inside[rng.integers(len(inside))]
    (x, y), (next_x, next_y) = fiber.curve[index : index + 2]
    half_width = fiber.width / 2 + interpolate(12, 5, difficulty)
    local = _grid(image).centered_at(x, y, angle=math.atan2(next_y - y, next_x - x))
    radius = np.hypot(local.x / (rng.uniform(1.2, 1.7) * half_width), local.y / half_width)
    round_top = np.sqrt(np.clip(1 - radius**2, 0, 1))
    return smoothstep(-radius, low=-1.05, high=-0.95), np.minimum(0.25 + 0.9 * round_top, 1)


def _gap(fibers: list[Fiber], image: Gray, rng: Generator, difficulty: float) -> tuple[np.ndarray, Gray]:  # noqa: ARG001
    """Draw a gap in the mesh, through which the grainy holder is seen, in the shadow of its rim."""
    opacity, unit = _patch(image, rng, interpolate(46, 20, difficulty)), image.shape[1] / WIDTH
    grain = 0.09 * noise_field(image.shape, rng, cell=(4 * unit, 4 * unit))
    return opacity, np.clip(0.42 * blurred(opacity, 9 * unit) + grain, 0, 1)


def _clump(fibers: list[Fiber], image: Gray, rng: Generator, difficulty: float) -> tuple[np.ndarray, Gray]:  # noqa: ARG001
    """Draw a clump of fine bent fibers."""
    opacity = _patch(image, rng, radius := interpolate(44, 20, difficulty))
    rows, columns = np.nonzero(opacity > 0.5)
    unit = image.shape[1] / WIDTH
    center = np.array([columns.mean(), rows.mean()]) / unit - (WIDTH / 2, HEIGHT / 2)
    tangle = []
    for _ in range(TANGLE_COUNT):
        middle = center + rng.uniform(-1.6 * radius, 1.6 * radius, 2)
        curve = _curve(rng, middle, 1.5 * radius, bend=rng.normal(0, 0.8 * radius))
        tangle.append(Fiber(curve, rng.uniform(2, 3.5), rng.uniform(0.45, 1)))
    return opacity, _picture(tangle, image.shape[1])


def _flattened(fibers: list[Fiber], image: Gray, rng: Generator, difficulty: float) -> tuple[np.ndarray, Gray]:  # noqa: ARG001
    """Draw an area in which fibers are molten together: smooth, with a trace of what was there."""
    unit = image.shape[1] / WIDTH
    uneven = 0.05 * noise_field(image.shape, rng, cell=(24 * unit, 24 * unit))
    trace = interpolate(0.25, 0.5, difficulty) * (blurred(image, 5 * unit) - image.mean())
    return _patch(image, rng, interpolate(52, 24, difficulty)), np.clip(rng.uniform(0.55, 0.75) + uneven + trace, 0, 1)


def _patch(image: Gray, rng: Generator, radius: float) -> np.ndarray:
    """Return the opacity (H, W) of an irregular patch of a radius at a random place."""
    x = rng.uniform(MARGIN - WIDTH / 2, WIDTH / 2 - MARGIN)
    y = rng.uniform(MARGIN - HEIGHT / 2, HEIGHT / 2 - MARGIN)
    local = _grid(image).centered_at(x, y)
    inside = radius - local.radius + 0.18 * radius * smooth_noise(local, rng, wavelength=2 * radius)
    return smoothstep(inside, low=-2, high=2)


def _grid(image: Gray) -> Grid:
    """Return the coordinates of the pixels of an image in units, from its middle."""
    height, width = image.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    unit = np.float32(width / WIDTH)
    return Grid((x - width / 2) / unit, (y - height / 2) / unit)


DrawDefect = Callable[[list[Fiber], Gray, Generator, float], tuple[np.ndarray, Gray]]
_DRAW_DEFECT: dict[str, DrawDefect] = {"bead": _bead, "gap": _gap, "clump": _clump, "flattened": _flattened}
DEFECTS = tuple(_DRAW_DEFECT)
FIBERS = DataSet({"fibers": draw}, DEFECTS, size=WIDTH, min_size=256, max_size=4096, train=5)
