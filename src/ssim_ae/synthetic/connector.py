"""The built-in data set of wide images with fine cracks: a connector with two rows of leads, 1280 x 500 px, in color.

A ceramic body with a printed type, two stripes and a mark at the first lead lies on a gray mat. Good images vary in
position, light, grain, the shape and brightness of the leads, and the ink. The defects are thin cracks in the body,
chipped edges, and leads that are broken off.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image

from ssim_ae.synthetic.artwork import (
    Canvas,
    Point,
    Pose,
    blurred,
    light_field,
    noise_field,
)
from ssim_ae.synthetic.data_set import DataSet, check_name
from ssim_ae.synthetic.rendering import changed_pixels, with_sensor_noise
from ssim_ae.synthetic.streams import Seed, Stream, stream
from ssim_ae.synthetic.surfaces import FULL_TURN, blend, smooth_noise, smoothstep

DEFECTS = ("crack", "chip", "missing_lead")

# Lengths are in units of 1 px of an image of this size.
WIDTH = 1280
HEIGHT = 500
BODY = (520, 118)  # half length and half width
LEADS_PER_ROW = 18
LEAD_PITCH = 55
LEAD_LENGTH = 74

MAT_COLOR = (0.34, 0.37, 0.40)
BODY_COLOR = (0.71, 0.68, 0.61)
STRIPE_COLOR = (0.46, 0.17, 0.14)
LEAD_COLOR = (0.86, 0.86, 0.83)
INK_COLOR = (0.15, 0.17, 0.22)


@dataclass(frozen=True)
class Artwork:
    """The drawings of the body, which are the same for all connectors."""

    body: Image.Image  # its shape
    relief: Image.Image  # brightness; 128 is that of the flat surface
    stripes: Image.Image
    ink: Image.Image


@dataclass(frozen=True)
class Scene:
    """A connector on the mat before illumination, float32 maps (H, W) in [0, 1]."""

    color: np.ndarray  # (H, W, 3)
    body: np.ndarray  # share of the pixel that the body covers


def draw(
    *, seed: Seed, size: int = WIDTH, defect: str | None = None, difficulty: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image as `DrawImage` does: (H, W, 3) uint8 RGB, its height 25/64 of its width.

    The mask of a defect is the pixels that it changes.
    """
    good = _scene(seed, size, np.ones((2, LEADS_PER_ROW)))
    light = _light(good.body.shape, stream(seed, Stream.LIGHT))
    clean = good.color * light
    image, mask = clean, np.zeros(good.body.shape, bool)
    if defect is not None:
        check_name("defect", defect, DEFECTS)
        image = _defective_color(good, seed, size, defect, difficulty) * light
        mask = changed_pixels(clean, image)
    return with_sensor_noise(image, stream(seed, Stream.NOISE)), mask


def _scene(seed: Seed, size: int, lead_lengths: np.ndarray) -> Scene:
    """Return a good connector, except for leads with less than their whole length."""
    rng = stream(seed, Stream.SURFACE)
    pose = _pose(seed)
    unit = size / WIDTH
    leads, lead_tone = (pose.place(drawing) for drawing in _leads(size, rng, lead_lengths))
    lead_tone = lead_tone * (1 + 0.035 * noise_field(leads.shape, rng, cell=(1.5, 12 * unit)))
    body = pose.place(_artwork(size).body)
    mat = _mat(np.maximum(body, leads), unit, rng)
    color = np.asarray(MAT_COLOR, np.float32) * mat[..., None]
    color = blend(color, np.asarray(LEAD_COLOR, np.float32) * lead_tone[..., None], leads)
    return Scene(blend(color, _body_color(_artwork(size), pose, unit, rng), body), body)


def _mat(connector: np.ndarray, unit: float, rng: Generator) -> np.ndarray:
    """Return the brightness (H, W) of the mat in the shadow of the connector, whose shape is given."""
    shadow = np.roll(blurred(connector, radius=9 * unit), (round(9 * unit), round(7 * unit)), axis=(0, 1))
    fine, coarse = (noise_field(connector.shape, rng, cell=(cell, cell)) for cell in (2, 40))
    return (1 + 0.02 * fine + 0.015 * coarse) * (1 - 0.5 * shadow)


def _body_color(artwork: Artwork, pose: Pose, unit: float, rng: Generator) -> np.ndarray:
    """Return the color (H, W, 3) of the body: grainy ceramic with stripes and print."""
    relief, stripes, ink = (pose.place(drawing) for drawing in (artwork.relief, artwork.stripes, artwork.ink))
    shape = relief.shape
    grain = 0.014 * noise_field(shape, rng, cell=(1.5, 1.5)) + 0.014 * noise_field(shape, rng, cell=(5, 4))
    cloud = 0.012 * noise_field(shape, rng, cell=(110 * unit, 80 * unit))
    inclusions = 0.10 * smoothstep(noise_field(shape, rng, cell=(2.2, 2.2)), low=2.6, high=3.6)
    surface = (0.4 + 1.2 * relief) * (1 + grain + cloud - inclusions)
    wear = np.clip(0.86 + 0.12 * noise_field(shape, rng, cell=(3, 3)) + rng.uniform(-0.08, 0.06), 0, 1)
    tint = 1 + 0.006 * rng.standard_normal(3, np.float32)
    plain = np.asarray(BODY_COLOR, np.float32) * tint * np.float32(rng.uniform(0.96, 1.04))
    striped = blend(np.broadcast_to(plain, (*shape, 3)), STRIPE_COLOR, 0.9 * stripes)
    return blend(striped, INK_COLOR, wear * ink) * surface[..., None]


def _pose(seed: Seed) -> Pose:
    return Pose.draw(stream(seed, Stream.POSE), shift=5, degrees=0.6, scale=0.004)


@lru_cache(maxsize=2)  # sizes
def _artwork(size: int) -> Artwork:
    """Draw the body."""
    half_length, half_width = BODY
    shape, relief, stripes, ink = (_canvas(size, background) for background in (0, 128, 0, 0))
    shape.rectangle((-half_length, -half_width), BODY, 255, radius=9)

    left, right, top, bottom = -half_length, half_length, -half_width, half_width
    inner_left, inner_right, inner_top, inner_bottom = left + 14, right - 14, top + 13, bottom - 13
    for value, corners in (
        (152, [(left, top), (right, top), (inner_right, inner_top), (inner_left, inner_top)]),
        (92, [(left, bottom), (right, bottom), (inner_right, inner_bottom), (inner_left, inner_bottom)]),
        (143, [(left, top), (inner_left, inner_top), (inner_left, inner_bottom), (left, bottom)]),
        (104, [(right, top), (inner_right, inner_top), (inner_right, inner_bottom), (right, bottom)]),
    ):
        relief.polygon(corners, value)
    for y in (-88, 88):  # two grooves
        relief.line([(inner_left, y), (inner_right, y)], 3.5, 104)
        relief.line([(inner_left, y + 3), (inner_right, y + 3)], 2, 144)
    for x, y in ((-322, 0), (348, 0)):  # marks of the mold
        relief.disk((x, y), 25, 117)
        relief.disk((x + 1.5, y + 1.5), 24, 137)
        relief.disk((x, y), 23, 126)
    relief.disk((left, 0), 30, 76)  # a notch
    relief.disk((left - 3, 3), 26, 96)
    relief.disk((-478, 62), 15, 92)  # beside the first lead
    relief.disk((-476.5, 63.5), 13, 140)
    relief.disk((-477, 63), 11.5, 119)

    stripes.rectangle((408, inner_top), (434, inner_bottom), 255)
    stripes.rectangle((446, inner_top), (456, inner_bottom), 255)

    ink.text((-256, -26), "KX 36-2540 B", 66)
    ink.text((-254, 38), "250 V~   16 A   T125", 33)
    ink.line([(-420, 40), (-388, -36), (-356, 40), (-420, 40), (-400, 40)], 6)
    ink.line([(-388, -8), (-388, 22)], 7)
    ink.rectangle((196, -52), (300, 52), 255, radius=10)
    ink.rectangle((203, -45), (293, 45), 0, radius=6)
    for index in range(5):
        ink.line([(218 + 15 * index, -28), (218 + 15 * index, 28)], 4 + 3 * (index % 3))
    return Artwork(shape.pixels(), relief.pixels(), stripes.pixels(), ink.pixels())


def _leads(size: int, rng: Generator, lengths: np.ndarray) -> tuple[Image.Image, Image.Image]:
    """Draw the leads: their shape, and their brightness. `lengths` is the share of each that is there, by row."""
    shape, tone = _canvas(size), _canvas(size, 190)
    shift, bend, growth, brightness = rng.standard_normal((4, *lengths.shape))
    for row, index in np.ndindex(lengths.shape):
        side = 2 * row - 1  # -1 for the upper row
        root = (index - (LEADS_PER_ROW - 1) / 2) * LEAD_PITCH + 0.6 * shift[row, index]
        reach = lengths[row, index] * (LEAD_LENGTH + 0.8 * growth[row, index])
        light = 1 + 0.05 * brightness[row, index]
        for canvas, margin, value in (
            (shape, 0.0, 255),
            *((tone, margin, int(light * value)) for margin, value in ((0.0, 116), (2.0, 158), (4.5, 196), (6.5, 226))),
        ):
            outline = _lead_outline(reach, margin)
            corners = [
                (root + across + 1.1 * bend[row, index] * along / LEAD_LENGTH, side * (BODY[1] - 8 + along))
                for across, along in outline
            ]
            canvas.polygon(corners, min(value, 255))
    return shape.pixels(), tone.pixels()


def _lead_outline(reach: float, margin: float) -> list[Point]:
    """Return the corners of a lead, across and along it, less a margin on both sides: a shoulder and a tip."""
    wide, narrow = 15 - margin, 9 - margin
    shoulder = min(34.0, reach)
    corners = [(wide, 0.0), (wide, shoulder)]
    if reach > shoulder:
        corners += [(narrow, min(shoulder + 7, reach)), (narrow, reach + 8 - margin)]
    return [*corners, *((-across, along) for across, along in reversed(corners))]


def _light(shape: tuple[int, int], rng: Generator) -> np.ndarray:
    """Return the light (H, W, 3) on the scene."""
    white = 1 + 0.006 * rng.standard_normal(3, np.float32)
    return light_field(shape, rng, exposure=0.05, slope=0.06)[..., None] * white


def _defective_color(good: Scene, seed: Seed, size: int, defect: str, difficulty: float) -> np.ndarray:
    """Return the color (H, W, 3) of the scene with a defect."""
    rng = stream(seed, Stream.DEFECT)
    if defect == "crack":
        return _with_crack(good, _pose(seed), size, rng, difficulty)
    if defect == "chip":
        return _with_chip(good, _pose(seed), size, rng, difficulty)
    lengths = np.ones((2, LEADS_PER_ROW))
    lengths[tuple(rng.integers(0, lengths.shape))] = 0.6 * difficulty
    return _scene(seed, size, lengths).color


def _with_crack(good: Scene, pose: Pose, size: int, rng: Generator, difficulty: float) -> np.ndarray:
    """Darken the body along a thin crack that branches."""
    length, darkness = 150 - 110 * difficulty, 0.45 - 0.22 * difficulty
    canvas = _canvas(size)
    half_length, half_width = BODY
    start = (rng.uniform(-0.8, 0.8) * half_length, rng.uniform(-0.7, 0.7) * half_width)
    inward = math.atan2(-start[1], -start[0] + rng.uniform(-300, 300))
    heading = inward + rng.normal(0, 0.5)
    path = _crack_path(start, heading, length, rng)
    _draw_crack(canvas, path, rng)
    for _ in range(rng.integers(0, 3)):
        fork = rng.integers(1, len(path))
        side = rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)
        _draw_crack(canvas, _crack_path(path[fork], heading + side, length * rng.uniform(0.15, 0.35), rng), rng)
    crack = pose.place(canvas.pixels()) * good.body
    return good.color * (1 - np.float32(darkness) * crack)[..., None]


def _crack_path(start: Point, heading: float, length: float, rng: Generator) -> list[Point]:
    """Return the points of a crack: steps of 5 units in directions that vary about the heading."""
    turns = 0.45 * rng.standard_normal(max(round(length / 5), 2)) + 0.12 * np.cumsum(rng.standard_normal())
    steps = 5 * np.stack([np.cos(heading + turns), np.sin(heading + turns)], axis=-1)
    return [start, *(tuple(point) for point in np.asarray(start) + np.cumsum(steps, axis=0))]


def _draw_crack(canvas: Canvas, path: list[Point], rng: Generator) -> None:
    """Draw a crack that is 1 to 2 units wide and ends thin."""
    widths = np.linspace(1.9, 1.0, len(path) - 1) + 0.2 * rng.standard_normal(len(path) - 1)
    for start, end, width in zip(path, path[1:], widths, strict=False):
        canvas.line([start, end], max(width, 0.8))


def _with_chip(good: Scene, pose: Pose, size: int, rng: Generator, difficulty: float) -> np.ndarray:
    """Break a piece off an edge of the body: the fracture is rough, and brighter than the surface."""
    unit = size / WIDTH
    height, width = good.body.shape
    half_length, half_width = BODY
    radius = 34 - 20 * difficulty
    x, y = rng.uniform(-0.92, 0.92) * half_length, rng.choice([-1, 1]) * (half_width - 0.2 * radius)
    local = pose.grid(width, height, unit=unit).centered_at(x, y, angle=rng.uniform(0, FULL_TURN))
    inside = radius - np.hypot(local.x, 1.4 * local.y) + 0.2 * radius * smooth_noise(local, rng, wavelength=radius)
    broken = smoothstep(inside, low=-0.8, high=0.8) * good.body
    coarse, fine = (noise_field(good.body.shape, rng, cell=(cell, cell)) for cell in (0.35 * radius * unit, 2.5))
    depth = 0.7 + 0.3 * smoothstep(inside, low=0, high=6)
    fracture = np.asarray(BODY_COLOR, np.float32) * ((1.18 + 0.07 * coarse + 0.04 * fine) * depth)[..., None]
    return blend(good.color, fracture, broken)


def _canvas(size: int, background: int = 0) -> Canvas:
    return Canvas(size, round(size * HEIGHT / WIDTH), unit=size / WIDTH, background=background)


CONNECTOR = DataSet({"connector": draw}, DEFECTS, size=WIDTH, min_size=640, max_size=5120)
