"""Parts drawn from shapes and text, as a camera sees them from above. `connector` and `plate` are made with it.

A part is drawn once, in its own units with the origin at its center. Each image places it in a new pose, and adds
texture and light.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ssim_ae.synthetic.rendering import to_uint8
from ssim_ae.synthetic.surfaces import FULL_TURN, Grid

Point = tuple[float, float]


class Canvas:
    """A drawing in one channel, in the units of a part, with smooth edges."""

    def __init__(self, width: int, height: int, *, unit: float, background: int = 0, supersampling: int = 4) -> None:
        """Start a drawing of width x height px with `unit` px per unit."""
        self._supersampling = supersampling
        self._scale = unit * supersampling
        self._center = np.array([width, height]) * supersampling / 2
        self._image = Image.new("L", (width * supersampling, height * supersampling), background)
        self._draw = ImageDraw.Draw(self._image)

    def rectangle(self, corner: Point, opposite: Point, value: int, *, radius: float = 0) -> None:
        """Fill a rectangle with rounded corners."""
        box = [*self._at(corner), *self._at(opposite)]
        self._draw.rounded_rectangle(box, radius * self._scale, fill=value)

    def disk(self, center: Point, radius: float, value: int) -> None:
        """Fill a disk."""
        self._draw.circle(self._at(center), radius * self._scale, fill=value)

    def polygon(self, corners: Sequence[Point], value: int) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(corner) for corner in corners], fill=value)

    def line(self, points: Sequence[Point], width: float, value: int = 255) -> None:
        """Draw a line through points."""
        self._draw.line([self._at(point) for point in points], value, max(round(width * self._scale), 1), joint="curve")

    def text(self, left_middle: Point, text: str, height: float, value: int = 255) -> None:
        """Write a line of text."""
        font = ImageFont.load_default(height * self._scale)
        self._draw.text(self._at(left_middle), text, value, font, anchor="lm", stroke_width=self._scale / 2)

    def pixels(self) -> Image.Image:
        """Return the drawing, one byte per pixel."""
        return self._image.reduce(self._supersampling)

    def _at(self, point: Point) -> Point:
        x, y = self._center + np.asarray(point) * self._scale
        return float(x), float(y)


@dataclass(frozen=True)
class Pose:
    """Where a part lies in the image, relative to the middle."""

    x: float  # px, to the right
    y: float  # px, down
    angle: float  # radians
    zoom: float

    @classmethod
    def draw(cls, rng: Generator, *, shift: float, degrees: float, scale: float) -> "Pose":
        """Draw a random pose: each value is at most the given amount from none, in either direction."""
        x, y = rng.uniform(-shift, shift), rng.uniform(-shift, shift)
        return cls(x, y, math.radians(rng.uniform(-degrees, degrees)), 1 + rng.uniform(-scale, scale))

    def place(self, drawing: Image.Image) -> np.ndarray:
        """Return a drawing of the part as it lies in the image, float32 in [0, 1]. Its border is continued."""
        cos, sin = math.cos(self.angle) / self.zoom, math.sin(self.angle) / self.zoom
        right, down = drawing.width / 2 + self.x, drawing.height / 2 + self.y
        affine = (
            *(cos, sin, drawing.width / 2 - cos * right - sin * down),
            *(-sin, cos, drawing.height / 2 + sin * right - cos * down),
        )
        border = drawing.getpixel((0, 0))
        placed = drawing.transform(
            drawing.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR, fillcolor=border
        )
        return np.asarray(placed, np.float32) / 255

    def grid(self, width: int, height: int, *, unit: float) -> Grid:
        """Return the coordinates of all pixels of the image, in units of the part of `unit` px, from its center."""
        centers_x = np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2 - self.x)
        centers_y = np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2 - self.y)
        rotated = Grid(*np.meshgrid(centers_x, centers_y)).centered_at(0, 0, angle=self.angle)
        return Grid(rotated.x / (self.zoom * unit), rotated.y / (self.zoom * unit))


def noise_field(shape: tuple[int, int], rng: Generator, *, cell: Point) -> np.ndarray:
    """Return smooth noise (H, W) float32 of about unit variance, with details of `cell` px (width, height)."""
    height, width = shape
    columns, rows = max(math.ceil(width / cell[0]), 2), max(math.ceil(height / cell[1]), 2)
    coarse = Image.fromarray(rng.standard_normal((rows, columns), np.float32))
    # The bilinear interpolation of independent values has 4/9 of their variance.
    return np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR)) * np.float32(1.5)


def light_field(shape: tuple[int, int], rng: Generator, *, exposure: float, slope: float) -> np.ndarray:
    """Return the brightness (H, W) float32 of a light that varies from image to image, and across the image.

    `exposure` and `slope` are the largest deviations of the whole image, and from its middle to a border.
    """
    height, width = shape
    gradient, direction = rng.uniform(0, slope), rng.uniform(0, FULL_TURN)
    across = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(gradient * math.cos(direction))
    down = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(gradient * math.sin(direction))
    return np.float32(1 + rng.uniform(-exposure, exposure)) * (1 + across + down[:, None])


def blurred(values: np.ndarray, radius: float) -> np.ndarray:
    """Blur values (H, W) in [0, 1]; float32."""
    image = Image.fromarray(to_uint8(values)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32) / 255
