"""A drawn data set for visual defect detection: two woven cloths and an embroidered badge.

It stands in for photographs in demos and tests, and is not a benchmark. Good pictures differ as photographs
of one product do: lighting, a little turn, scale and shift, yarn to yarn variation and sensor noise. Bad
pictures show one of six defects, with its exact mask. Everything follows from a seed.

    <folder>/<class>/train/good/000.png ...
    <folder>/<class>/test/good/000.png ...
    <folder>/<class>/test/<defect>/000.png ...
    <folder>/<class>/ground_truth/<defect>/000_mask.png ...
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from ssim_ae.storage import scratch_folder
from ssim_ae.synthetic import fabric_defects
from ssim_ae.synthetic.fabric_defects import RGB, TURN, Grid, Surface, step

CLASSES: tuple[str, ...] = ("twill", "canvas", "badge")
DEFECTS: tuple[str, ...] = ("cut", "hole", "stain", "thread", "displaced", "colour")

# The length unit of every drawing: so many units across the picture.
FRAME = 256

# Each part of a picture draws from its own stream, so that a defect leaves the rest of the picture as it was.
SURFACE_STREAM, LIGHT_STREAM, NOISE_STREAM, DEFECT_STREAM = range(4)

# Border, ring, star, field, and the board under the badge.
BADGE_COLOURS = (
    (0.14, 0.31, 0.25),
    (0.86, 0.66, 0.26),
    (0.94, 0.90, 0.80),
    (0.22, 0.46, 0.52),
    (0.95, 0.95, 0.93),
)

# Standard deviation of the sensor noise, of full scale.
NOISE = 2 / 255
# The change, in gray levels, that the mask of a defect takes in.
VISIBLE_CHANGE = 12


def draw(
    name: str,
    *,
    seed: int | Sequence[int],
    size: int = 256,
    defect: str | None = None,
    difficulty: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """One picture of class `name`, RGB uint8 (size, size, 3), and the mask of its defect, bool (size, size).

    `difficulty` runs from 0, a large and plain defect, to 1, a small and faint one.
    """
    key = list(seed) if isinstance(seed, Sequence) else [int(seed)]
    grid = pixel_grid(2 * size)
    good = surface(name, grid, key)
    clean = rendered(good, grid, stream(key, LIGHT_STREAM))
    shown, mask = clean, np.zeros((size, size), bool)
    if defect is not None:
        spoiled = spoiled_surface(good, name, grid, key, defect, difficulty)
        shown = rendered(spoiled, grid, stream(key, LIGHT_STREAM))
        mask = visible_change(clean, shown)
    noise = stream(key, NOISE_STREAM).standard_normal(shown.shape, np.float32)
    return as_bytes(shown + np.float32(NOISE) * noise), mask


def make(
    folder: Path,
    *,
    classes: Sequence[str] = CLASSES,
    train: int = 100,
    good: int = 20,
    defective: int = 5,
    size: int = 256,
    seed: int = 0,
) -> list[Path]:
    """Write the data set with `train` and `good` good pictures a class, and `defective` ones a defect.

    Returns the class folders. Raises FileExistsError, with nothing written, where one exists.
    """
    targets = [Path(folder) / name for name in classes]
    for name, target in zip(classes, targets, strict=True):
        if name not in CLASSES:
            raise unknown("class", name, CLASSES)
        if target.exists():
            raise FileExistsError(f"{target} exists already")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, target in zip(classes, targets, strict=True):
        key = [seed, CLASSES.index(name)]
        # A class appears under its name only when complete, even if the run is interrupted.
        with scratch_folder(Path(folder)) as scratch:
            root = scratch / name
            write_good(root / "train" / "good", name, [*key, 0], count=train, size=size)
            write_good(root / "test" / "good", name, [*key, 1], count=good, size=size)
            for number, defect in enumerate(DEFECTS, start=2):
                write_defective(root, name, [*key, number], defect, count=defective, size=size)
            root.rename(target)
    return targets


def write_good(folder: Path, name: str, key: list[int], *, count: int, size: int) -> None:
    """Write `count` good pictures of a class."""
    folder.mkdir(parents=True)
    for index in range(count):
        picture, _ = draw(name, seed=[*key, index], size=size)
        Image.fromarray(picture).save(folder / f"{index:03}.png")


def write_defective(root: Path, name: str, key: list[int], defect: str, *, count: int, size: int) -> None:
    """Write `count` pictures of a class with one defect, the easiest first, and their masks."""
    pictures, masks = root / "test" / defect, root / "ground_truth" / defect
    pictures.mkdir(parents=True)
    masks.mkdir(parents=True)
    for index, difficulty in enumerate(np.linspace(0, 1, count)):
        picture, mask = draw(name, seed=[*key, index], size=size, defect=defect, difficulty=float(difficulty))
        Image.fromarray(picture).save(pictures / f"{index:03}.png")
        Image.fromarray(np.uint8(255) * mask).save(masks / f"{index:03}_mask.png")


def stream(key: list[int], number: int) -> Generator:
    """The random numbers of one part of the picture `key`."""
    return np.random.default_rng([*key, number])


def pixel_grid(size: int) -> Grid:
    """The middles of size x size pixels, with the origin in the middle of the picture."""
    middles = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FRAME
    x, y = np.meshgrid(middles, middles)
    return Grid(x, y)


def surface(name: str, grid: Grid, key: list[int]) -> Surface:
    """The good surface of class `name`."""
    rng = stream(key, SURFACE_STREAM)
    match name:
        case "twill":
            return twill(grid, rng)
        case "canvas":
            return canvas(grid, rng)
        case "badge":
            return badge(grid, rng)
    raise unknown("class", name, CLASSES)


def unknown(kind: str, name: str, known: Sequence[str]) -> ValueError:
    """The error for a class or defect that is not among the `known` ones."""
    return ValueError(f"no {kind} {name!r}; there are {', '.join(known)}")


def spoiled_surface(good: Surface, name: str, grid: Grid, key: list[int], defect: str, difficulty: float) -> Surface:
    """The `good` surface of class `name` with a defect."""
    if defect not in DEFECTS:
        raise unknown("defect", defect, DEFECTS)
    rng = stream(key, DEFECT_STREAM)
    # The badge ends at the embroidery; cloth goes on beyond the picture, but a defect should lie inside it.
    reach, bearing = (46 if name == "badge" else 80) * math.sqrt(rng.uniform()), rng.uniform(0, TURN)
    x, y = reach * math.cos(bearing), reach * math.sin(bearing)
    if defect == "displaced":
        right, down = fabric_defects.displaced(grid.seen_from(x, y), rng, difficulty)
        return surface(name, Grid(grid.x + right, grid.y + down), key)
    spoil = getattr(fabric_defects, defect)
    return spoil(good, grid.seen_from(x, y, angle=rng.uniform(0, TURN)), rng, difficulty)


def twill(grid: Grid, rng: Generator) -> Surface:
    """Denim: indigo warp over two and under one pale weft, which gives the diagonal."""
    return weave(
        posed(grid, rng, turn=3, scale=0.02, shift=40),
        rng,
        lifts=(1, 1, -1),
        pitch=16.0,
        warp=(0.24, 0.33, 0.50),
        weft=(0.79, 0.79, 0.75),
        dye=(0.88, 0.50, 0.16),
        thread=(0.93, 0.90, 0.82),
    )


def canvas(grid: Grid, rng: Generator) -> Surface:
    """Plain weave of thick linen yarns, over one and under one."""
    return weave(
        posed(grid, rng, turn=3, scale=0.02, shift=40),
        rng,
        lifts=(1, -1),
        pitch=16.0,
        warp=(0.80, 0.72, 0.58),
        weft=(0.77, 0.68, 0.53),
        dye=(0.20, 0.37, 0.45),
        thread=(0.62, 0.14, 0.14),
    )


def posed(grid: Grid, rng: Generator, *, turn: float, scale: float, shift: float) -> Grid:
    """The grid turned (degrees), scaled and shifted at random, each by up to so much either way."""
    x, y = rng.uniform(-shift, shift), rng.uniform(-shift, shift)
    turned = grid.seen_from(x, y, angle=math.radians(rng.uniform(-turn, turn)))
    zoom = 1 + rng.uniform(-scale, scale)
    return Grid(turned.x * zoom, turned.y * zoom)


def weave(
    grid: Grid,
    rng: Generator,
    *,
    lifts: tuple[int, ...],
    pitch: float,
    warp: RGB,
    weft: RGB,
    dye: RGB,
    thread: RGB,
) -> Surface:
    """Upright warp and level weft yarns, one every `pitch`.

    `lifts` repeats along each yarn and from yarn to yarn: 1 with the warp on top, -1 with the weft.
    """
    sway = rng.uniform(0.04, 0.10)
    u = grid.x / pitch + sway * np.sin(grid.y * (TURN / 190) + rng.uniform(0, TURN))
    v = grid.y / pitch + sway * np.sin(grid.x * (TURN / 230) + rng.uniform(0, TURN))
    cycle = np.array(lifts, np.float32)
    warp_height, warp_tone, warp_number = yarns(u, v, cycle, rng)
    weft_height, weft_tone, weft_number = yarns(v, u, -cycle, rng)
    on_top = warp_height > weft_height
    height = np.where(on_top, warp_height, weft_height)
    depth = 0.42 + 0.58 * step(height, low=-0.25, high=0.55)
    tone = np.where(on_top, warp_tone, weft_tone) * depth
    colour = np.where(on_top[..., None], np.asarray(warp, np.float32), np.asarray(weft, np.float32)) * tone[..., None]
    strand = np.where(on_top, warp_number, weft_number + 1000) * pitch
    return Surface(pitch * height, colour, strand, backing=(0.12, 0.10, 0.09), dye=dye, thread=thread)


def yarns(
    across: np.ndarray, along: np.ndarray, cycle: np.ndarray, rng: Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height, brightness and number of parallel yarns; coordinates and height are in yarn pitches.

    `cycle` repeats along each yarn and from yarn to yarn: 1 where it lies on top, -1 where it lies below.
    """
    number, cell = np.floor(across), np.floor(along - 0.5)
    off_axis, way = across - number - 0.5, along - 0.5 - cell
    index = number.astype(np.int32) & 127
    place = (number + cell).astype(np.int32) % len(cycle)
    before, rise = cycle[place], (np.roll(cycle, -1) - cycle)[place]
    slimness, shade, phase = (values[index] for values in yarn_variation(rng))
    profile = np.sqrt(np.maximum(1 - (off_axis * slimness) ** 2, 0))
    height = 0.22 * (before + rise * way * way * (3 - 2 * way)) + 0.45 * profile
    twist = np.sin(TURN * (1.1 * along + 1.5 * off_axis) + phase)
    fibres = np.sin(TURN * (0.45 * along + 3.3 * off_axis) + 2 * phase)
    return height, shade * (1 + 0.05 * twist + 0.025 * fibres), number


def yarn_variation(rng: Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse half thickness, brightness and twist phase (radians) of 128 yarns, float32."""
    normal = rng.standard_normal((3, 128)).astype(np.float32)
    return 2.08 + 0.05 * normal[0], 1 + 0.025 * normal[1], 0.25 * normal[2]


def badge(grid: Grid, rng: Generator) -> Surface:
    """A round embroidered badge on white board: a star and a ring on a field, in a thick border."""
    grid = posed(grid, rng, turn=2, scale=0.004, shift=1.5)
    in_star, star_height, star_stitch = star(grid, tip=50)
    on_ring, ring_height, ring_stitch = wound(grid, middle=68, half_width=5, stitches=56, slant=0.06)
    on_rim, rim_height, rim_stitch = wound(grid, middle=92, half_width=10, stitches=60, slant=0.03)
    row_height, row_stitch = rows(grid, pitch=9, length=46)

    part = np.select([on_rim, on_ring, in_star, grid.radius < 92], [0, 1, 2, 3], 4)
    heights: Any = [rim_height + 2, ring_height + 1, star_height + 1, row_height, np.float32(-3)]
    height = np.choose(part, heights)
    relief = np.choose(part, [rim_height, ring_height, star_height, row_height, np.float32(2)])
    stitches: Any = [rim_stitch + 3000, ring_stitch + 2000, star_stitch + 1000, row_stitch, np.float32(9000)]
    shadow = 0.62 + 0.38 * step(grid.seen_from(2.5, 3.5).radius, low=97, high=109)
    tone = np.where(part < 4, 0.66 + 0.34 * step(relief, low=0, high=2), shadow)
    colour = np.array(BADGE_COLOURS, np.float32)[part] * tone[..., None]
    return Surface(
        height,
        colour,
        np.choose(part, stitches),
        backing=(0.13, 0.12, 0.12),
        dye=(0.84, 0.46, 0.30),
        thread=(0.70, 0.16, 0.18),
    )


def wound(
    grid: Grid, *, middle: float, half_width: float, stitches: int, slant: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a ring of slanting stitches lies, their height, and the place of each stitch along the ring."""
    off_middle = (grid.radius - middle) / half_width
    turns = grid.bearing / TURN + 0.5 + slant * off_middle / TURN
    number = np.floor(turns * stitches) % stitches
    dome = np.sqrt(np.clip(1 - off_middle**2, 0, 1))
    height = 2.5 * dome * ridge(turns * stitches) + 0.35 * half_width * dome
    return np.abs(off_middle) < 1, height, number * (TURN * middle / stitches)


def star(grid: Grid, *, tip: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a five-pointed star lies, the height of its stitches, and the place of each along its ray."""
    fifth = TURN / 5
    bearing = (grid.bearing + TURN / 4 + fifth / 2) % fifth - fifth / 2
    along, aside = grid.radius * np.cos(bearing), grid.radius * np.abs(np.sin(bearing))
    notch_x, notch_y = 0.45 * tip * math.cos(fifth / 2), 0.45 * tip * math.sin(fifth / 2)
    edge = math.hypot(tip - notch_x, notch_y)
    inside = ((tip - along) * notch_y - aside * (tip - notch_x)) / edge
    place = (along - 0.5 * aside) / 8
    height = np.sqrt(np.clip(inside, 0, 7) / 7) * (1.5 + 2 * ridge(place))
    return inside > 0, height, np.floor(place) * 8


def rows(grid: Grid, *, pitch: float, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Height of level rows of stitches, each set off from the next, and the place of each row."""
    number = np.floor(grid.y / pitch)
    end = np.abs((grid.x / length + number * 0.38) % 1 - 0.5) * 2
    return 2.1 * ridge(grid.y / pitch) * (1 - 0.3 * step(end, low=0.85, high=1)), number * pitch


def ridge(place: np.ndarray) -> np.ndarray:
    """The round profile of strands side by side, 1 on the middle of each and 0 between; one strand a unit."""
    return np.sqrt(1 - (2 * (place - np.floor(place)) - 1) ** 2)


def rendered(seen: Surface, grid: Grid, rng: Generator) -> np.ndarray:
    """The surface in random slanting light, float32 RGB 0..1, at half the resolution."""
    bearing = math.radians(-125 + rng.uniform(-12, 12))
    slope_y, slope_x = np.gradient(seen.height, FRAME / len(seen.height))
    toward = slope_x * math.cos(bearing) + slope_y * math.sin(bearing)
    facing = (1 - 0.75 * toward) / np.sqrt(1 + slope_x**2 + slope_y**2)
    fall, way = rng.uniform(0.02, 0.10), rng.uniform(0, TURN)
    field = 1 + fall * (math.cos(way) * grid.x + math.sin(way) * grid.y) / (FRAME / 2)
    light = rng.uniform(0.92, 1.06) * field * (0.45 + 0.55 * np.clip(facing, 0, 1.3))
    return half_size(seen.colour * light[..., None])


def half_size(picture: np.ndarray) -> np.ndarray:
    """The picture (2h, 2w, channels) with each 2 x 2 pixels averaged."""
    return (picture[::2, ::2] + picture[1::2, ::2] + picture[::2, 1::2] + picture[1::2, 1::2]) / 4


def visible_change(clean: np.ndarray, spoiled: np.ndarray) -> np.ndarray:
    """Where two pictures, float RGB 0..1, differ to the eye: bool, without specks and pinholes."""
    scale = len(clean) / FRAME
    # A strong change counts no more than a faint one, else its blurred border would reach further out.
    change = np.minimum(as_bytes(np.abs(spoiled - clean).max(axis=-1)), 3 * VISIBLE_CHANGE)
    marked = np.asarray(Image.fromarray(change).filter(ImageFilter.GaussianBlur(2 * scale))) > VISIBLE_CHANGE
    closed = ~grown(~grown(marked, round(5 * scale)), round(5 * scale))
    return grown(~grown(~closed, round(scale)), round(scale))


def grown(mask: np.ndarray, distance: int) -> np.ndarray:
    """The mask, bool (h, w), grown by `distance` pixels to every side."""
    return np.asarray(Image.fromarray(np.uint8(255) * mask).filter(ImageFilter.BoxBlur(distance))) > 0


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """The picture, float 0..1, as uint8."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
