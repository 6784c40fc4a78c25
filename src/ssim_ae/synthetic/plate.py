"""The built-in data set of large images with small defects: a machined plate, 2400 x 1800 px, in gray.

A ground aluminum plate with a turned pocket, holes, slots, an engraved scale and a printed label fills the image. Good
images vary in position, light, the marks of grinding, and the ink. The defects, pits, specks and scratches, are about
10 px long at any size of the image: plain at full size, and lost in the texture where it is reduced to 256 px.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image

from ssim_ae.synthetic.artwork import Canvas, Point, Pose, light_field, noise_field
from ssim_ae.synthetic.data_set import DataSet, check_name
from ssim_ae.synthetic.rendering import changed_pixels, with_sensor_noise
from ssim_ae.synthetic.streams import Seed, Stream, stream
from ssim_ae.synthetic.surfaces import FULL_TURN, Grid, smoothstep

DEFECTS = ("pit", "speck", "scratch")

# Lengths are in units of 1 px of an image of this size, but for those of defects.
WIDTH = 2400
HEIGHT = 1800
POCKET_CENTER = (-430, -60)
POCKET_RADIUS = 470
METAL = 150  # gray level
CLEARANCE = 30  # units between a defect and the features of the plate
DEFECT_WINDOW = 32  # px, side of the part of the image that a defect can change


@dataclass(frozen=True)
class Artwork:
    """The drawings of the plate, which are the same for all plates."""

    metal: Image.Image  # brightness
    ground: Image.Image  # where the surface is ground
    ink: Image.Image
    flat: Image.Image  # where a defect can be: away from edges and print


def draw(
    *, seed: Seed, size: int = WIDTH, defect: str | None = None, difficulty: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image as `DrawImage` does: (H, W) uint8, its height 3/4 of its width.

    The mask of a defect is the pixels that it changes.
    """
    pose = Pose.draw(stream(seed, Stream.POSE), shift=6, degrees=0.25, scale=0.001)
    image = _plate(size, pose, stream(seed, Stream.SURFACE)) * _light(size, stream(seed, Stream.LIGHT))
    mask = np.zeros(image.shape, bool)
    if defect is not None:
        check_name("defect", defect, DEFECTS)
        _add_defect(image, mask, pose, stream(seed, Stream.DEFECT), defect, difficulty)
    return with_sensor_noise(image, stream(seed, Stream.NOISE)), mask


def _plate(size: int, pose: Pose, rng: Generator) -> np.ndarray:
    """Return the brightness (H, W) float32 of a good plate."""
    artwork = _artwork(size)
    metal, ground, ink = (pose.place(drawing) for drawing in (artwork.metal, artwork.ground, artwork.ink))
    marks = noise_field(metal.shape, rng, cell=(150, 1.5))
    marks += np.float32(0.8) * noise_field(metal.shape, rng, cell=(35, 2.5))
    marks *= np.float32(rng.uniform(0.022, 0.03))
    marks *= ground
    marks += np.float32(0.012) * noise_field(metal.shape, rng, cell=(260, 60)) + np.float32(1)
    metal *= marks
    ink *= np.float32(rng.uniform(0.78, 0.9))
    metal *= 1 - ink
    return metal


def _light(size: int, rng: Generator) -> np.ndarray:
    """Return the light (H, W) on the plate: brighter around the reflection of the lamp."""
    height = _height(size)
    x, y = rng.uniform(0.2, 0.8, 2)
    across = np.exp(-(((np.linspace(0, 1, size, dtype=np.float32) - x) / 0.35) ** 2))
    down = np.exp(-(((np.linspace(0, 1, height, dtype=np.float32) - y) / 0.5) ** 2))
    field = light_field((height, size), rng, exposure=0.05, slope=0.05)
    field += np.float32(rng.uniform(0.04, 0.10)) * across * down[:, None]
    return field


@lru_cache(maxsize=2)  # sizes
def _artwork(size: int) -> Artwork:
    """Draw the plate."""
    drawing = _Drawing(size)
    drawing.pocket(POCKET_CENTER, POCKET_RADIUS)
    for x, y in ((-1060, -760), (1060, -760), (-1060, 760), (1060, 760)):
        drawing.hole((x, y), 44, chamfer=12)
    drawing.hole(POCKET_CENTER, 120, chamfer=16)
    for index in range(8):
        angle = FULL_TURN * (index + 0.5) / 8
        center = (POCKET_CENTER[0] + 320 * math.cos(angle), POCKET_CENTER[1] + 320 * math.sin(angle))
        drawing.hole(center, 22, chamfer=7)
    for y in (-600, -470):
        drawing.slot((300, y), (900, y + 62))
    for x in (330, 530, 730, 930):
        drawing.hole((x, 480), 30, chamfer=9)
    drawing.scale(left=-900, right=900, y=700)
    drawing.label((300, -240))
    return drawing.artwork()


class _Drawing:
    """The plate while it is drawn: each feature is drawn on the metal and kept free of grinding marks and defects."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._metal, self._ground, self._ink, self._flat = (
            Canvas(size, _height(size), unit=size / WIDTH, background=background, supersampling=2)
            for background in (16, 0, 0, 0)
        )
        for inset, value in ((0, 205), (6, 120), (12, METAL)):  # a chamfer around the plate
            corner = (-1160 + inset, -860 + inset)
            self._metal.rectangle(corner, (-corner[0], -corner[1]), value, radius=60 - inset)
        self._ground.rectangle((-1148, -848), (1148, 848), 255, radius=48)
        self._flat.rectangle((-1110, -810), (1110, 810), 255)
        self._pocket: tuple[Point, float] | None = None

    def pocket(self, center: Point, radius: float) -> None:
        """Turn a shallow round pocket, with fine grooves around its center."""
        x, y = center
        self._metal.disk((x - 2, y - 2), radius + 9, 92)
        self._metal.disk((x + 3, y + 3), radius + 7, 206)
        self._metal.disk(center, radius, METAL)
        self._ground.disk(center, radius + 9, 0)
        self._flat.disk(center, radius + CLEARANCE, 0)
        self._flat.disk(center, radius - CLEARANCE, 255)
        self._pocket = (center, radius)

    def hole(self, center: Point, radius: float, *, chamfer: float) -> None:
        """Drill a hole with a chamfer that reflects the light on its lower right."""
        x, y = center
        self._metal.disk(center, radius + chamfer, 96)
        self._metal.disk((x + 0.35 * chamfer, y + 0.35 * chamfer), radius + 0.65 * chamfer, 214)
        self._metal.disk(center, radius + 0.25 * chamfer, 150)
        self._metal.disk(center, radius, 34)
        self._metal.disk((x + 0.12 * radius, y + 0.12 * radius), 0.86 * radius, 20)
        self._ground.disk(center, radius + chamfer, 0)
        self._flat.disk(center, radius + chamfer + CLEARANCE, 0)

    def slot(self, corner: Point, opposite: Point) -> None:
        """Mill a slot with round ends."""
        radius = (opposite[1] - corner[1]) / 2
        for margin, shift, value in ((9, 0, 96), (6, 3, 212), (1, 0, 40), (-5, 3, 24)):
            self._metal.rectangle(
                (corner[0] - margin + shift, corner[1] - margin + shift),
                (opposite[0] + margin + shift, opposite[1] + margin + shift),
                value,
                radius=radius + margin,
            )
        self._ground.rectangle((corner[0] - 9, corner[1] - 9), (opposite[0] + 9, opposite[1] + 9), 0, radius=radius + 9)
        self._keep_clear(corner, opposite)

    def scale(self, *, left: int, right: int, y: int) -> None:
        """Engrave a scale with numbers."""
        for index, x in enumerate(range(left, right + 1, 20)):
            length = 62 if index % 10 == 0 else 44 if index % 5 == 0 else 28
            self._metal.line([(x, y), (x, y - length)], 4, 78)
            self._metal.line([(x + 3, y), (x + 3, y - length)], 2, 190)
            if index % 10 == 0:
                self._metal.text((x - 16, y + 34), str(index), 40, 84)
        self._keep_clear((left - 20, y - 62), (right + 40, y + 56))

    def label(self, corner: Point) -> None:
        """Print a label: a frame, three lines of text and a square code."""
        x, y = corner
        self._ink.rectangle((x, y), (x + 760, y + 420), 255, radius=24)
        self._ink.rectangle((x + 7, y + 7), (x + 753, y + 413), 0, radius=18)
        for line, (text, height) in enumerate((("PLATE 27-114", 74), ("REV C   AL 6082", 50), ("0.02 / 100", 50))):
            self._ink.text((x + 40, y + 92 + 110 * line), text, height)
        modules = np.random.default_rng(27).random((16, 16)) < 0.5
        modules[:, 0] = modules[-1] = True
        modules[0], modules[:, -1] = np.arange(16) % 2 == 0, np.arange(16) % 2 == 1
        for row, column in np.argwhere(modules):
            left, top = x + 550 + 10 * column, y + 215 + 10 * row
            self._ink.rectangle((left, top), (left + 9.5, top + 9.5), 255)
        self._keep_clear(corner, (x + 760, y + 420))

    def artwork(self) -> Artwork:
        """Return the finished drawings."""
        metal = np.asarray(self._metal.pixels()).copy()
        if self._pocket:
            self._turn(metal, *self._pocket)
        return Artwork(Image.fromarray(metal), self._ground.pixels(), self._ink.pixels(), self._flat.pixels())

    def _turn(self, metal: np.ndarray, center: Point, radius: float) -> None:
        """Add the grooves of turning, and the two bright sectors in which they reflect the light."""
        unit = self._size / WIDTH
        height, width = metal.shape
        grid = Pose(0, 0, 0, 1).grid(width, height, unit=unit).centered_at(*center)
        grooves = np.random.default_rng(5).standard_normal(math.ceil(radius * unit) + 2)
        groove = np.interp(grid.radius * unit, np.arange(len(grooves)), grooves)
        turned = METAL + 16 * np.cos(2 * grid.angle - 1.2) + 4 * groove
        inside = (grid.radius < radius - 1) & (metal == METAL)
        metal[inside] = np.clip(turned[inside], 0, 255)

    def _keep_clear(self, corner: Point, opposite: Point) -> None:
        margin = CLEARANCE
        self._flat.rectangle((corner[0] - margin, corner[1] - margin), (opposite[0] + margin, opposite[1] + margin), 0)


def _add_defect(
    image: np.ndarray, mask: np.ndarray, pose: Pose, rng: Generator, defect: str, difficulty: float
) -> None:
    """Draw a defect at a random place of the plate into the image and its mask."""
    rows, columns = np.nonzero(pose.place(_artwork(image.shape[1]).flat)[::4, ::4] > 0.99)
    place = rng.integers(len(rows))
    top, left = 4 * rows[place] - DEFECT_WINDOW // 2, 4 * columns[place] - DEFECT_WINDOW // 2
    window = np.s_[top : top + DEFECT_WINDOW, left : left + DEFECT_WINDOW]
    center = DEFECT_WINDOW / 2 + rng.uniform(-0.5, 0.5, 2)
    y, x = np.mgrid[:DEFECT_WINDOW, :DEFECT_WINDOW].astype(np.float32) + np.float32(0.5)
    local = Grid(x - np.float32(center[0]), y - np.float32(center[1]))
    strength = 1 - 0.45 * difficulty
    good = image[window].copy()
    image[window] = good * (1 + np.float32(strength) * _CHANGES[defect](local, rng))
    mask[window] = changed_pixels(good, image[window])


def _pit(local: Grid, rng: Generator) -> np.ndarray:
    """Return the change of brightness by a dent: dark where it falls away from the light, bright opposite."""
    radius = rng.uniform(4.5, 5.5)
    stretched = local.centered_at(0, 0, angle=rng.uniform(0, FULL_TURN))
    distance = np.hypot(stretched.x, stretched.y * rng.uniform(1.0, 1.3)) / radius
    to_light = -(local.x + 1.2 * local.y) / (1.56 * radius)
    return smoothstep(-distance, low=-1.1, high=-0.75) * np.clip(-0.02 - 0.62 * to_light, -0.45, 0.45)


def _speck(local: Grid, rng: Generator) -> np.ndarray:
    """Return the change of brightness by a bright metal chip and its shadow."""
    angle = rng.uniform(0, FULL_TURN)
    length, width = rng.uniform(4.0, 5.2), rng.uniform(1.7, 2.3)

    def shape(x: float, y: float) -> np.ndarray:
        turned = local.centered_at(x, y, angle=angle)
        bent = turned.y - 0.05 * turned.x**2
        return smoothstep(-np.hypot(turned.x / length, bent / width), low=-1.2, high=-0.8)

    chip = shape(-0.7, -0.7)
    return 0.32 * chip - 0.42 * shape(1.4, 1.6) * (1 - chip)


def _scratch(local: Grid, rng: Generator) -> np.ndarray:
    """Return the change of brightness by a short scratch with a bright burr on one side."""
    turned = local.centered_at(0, 0, angle=rng.uniform(0.25, math.pi - 0.25))  # never along the marks of grinding
    ends = smoothstep(-np.abs(turned.x), low=-6.0, high=-4.0)
    return ends * (0.30 * np.exp(-(((turned.y - 1.3) / 0.8) ** 2)) - 0.42 * np.exp(-((turned.y / 0.9) ** 2)))


_CHANGES = {"pit": _pit, "speck": _speck, "scratch": _scratch}


def _height(size: int) -> int:
    return round(size * HEIGHT / WIDTH)


PLATE = DataSet({"plate": draw}, DEFECTS, size=WIDTH, min_size=800, max_size=8000)
