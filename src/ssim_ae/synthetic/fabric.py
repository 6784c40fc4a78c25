"""The built-in data set for defect detection: two woven fabrics and an embroidered badge.

It replaces photographs in demos and tests and is not a benchmark. Good images vary as photographs of one product do:
light, small rotations, scales and shifts, differences between yarns, and sensor noise. Defective images show one of
six defects with its exact mask. All images follow from a seed.

    <folder>/<class>/train/good/000.png ...
    <folder>/<class>/test/good/000.png ...
    <folder>/<class>/test/<defect>/000.png ...
    <folder>/<class>/ground_truth/<defect>/000_mask.png ...
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from ssim_ae.storage import scratch_folder
from ssim_ae.synthetic.badge import badge
from ssim_ae.synthetic.defects import SURFACE_DEFECTS, displacement
from ssim_ae.synthetic.rendering import render, to_uint8, visible_change
from ssim_ae.synthetic.surfaces import FULL_TURN, Grid, Surface, pixel_grid
from ssim_ae.synthetic.weaves import canvas, twill

SURFACES: dict[str, Callable[[Grid, Generator], Surface]] = {"twill": twill, "canvas": canvas, "badge": badge}
# The order of classes and defects is part of the random seeds.
CLASSES = tuple(SURFACES)
DEFECTS = ("cut", "hole", "stain", "thread", "displaced", "color")

SENSOR_NOISE_STD = 2 / 255  # standard deviation of the sensor noise, relative to full scale
WEAVE_DEFECT_RADIUS = 80  # frame units from the center; a weave continues beyond the image, its defects do not
BADGE_DEFECT_RADIUS = 46  # frame units; on the embroidery

# Each part of an image has its own random stream, so that a defect does not change the rest of the image.
SURFACE_STREAM = 0
LIGHT_STREAM = 1
NOISE_STREAM = 2
DEFECT_STREAM = 3

# Each folder of a class has its own number in the seeds. The defects are numbered from FIRST_DEFECT_FOLDER.
TRAIN_FOLDER = 0
TEST_GOOD_FOLDER = 1
FIRST_DEFECT_FOLDER = 2


def draw(
    name: str,
    *,
    seed: int | Sequence[int],
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
    key = list(seed) if isinstance(seed, Sequence) else [int(seed)]
    grid = pixel_grid(2 * size)
    good = _good_surface(name, grid, key)
    clean = render(good, grid, _stream(key, LIGHT_STREAM))
    image, mask = clean, np.zeros((size, size), bool)
    if defect is not None:
        defective = _defective_surface(good, name, grid, key, defect, difficulty)
        image = render(defective, grid, _stream(key, LIGHT_STREAM))
        mask = visible_change(clean, image)
    noise = _stream(key, NOISE_STREAM).standard_normal(image.shape, np.float32)
    return to_uint8(image + np.float32(SENSOR_NOISE_STD) * noise), mask


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
    """Write the data set and return the folders of its classes.

    Args:
        folder: Parent of the class folders; it is created if needed.
        classes: A selection of CLASSES.
        train: Number of training images per class.
        good: Number of good test images per class.
        defective: Number of test images per class and defect.
        size: Height and width of the images, px.
        seed: Equal seeds write equal images.

    Raises:
        FileExistsError: A class folder exists. Nothing is written.
        ValueError: A class is unknown. Nothing is written.
    """
    targets = [Path(folder) / name for name in classes]
    for name, target in zip(classes, targets, strict=True):
        if name not in CLASSES:
            raise _unknown("class", name, CLASSES)
        if target.exists():
            raise FileExistsError(f"{target} exists already")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, target in zip(classes, targets, strict=True):
        key = [seed, CLASSES.index(name)]
        # A class is renamed to its final name when it is complete, so that an interruption leaves no partial class.
        with scratch_folder(Path(folder)) as scratch:
            root = scratch / name
            _write_good(root / "train" / "good", name, [*key, TRAIN_FOLDER], count=train, size=size)
            _write_good(root / "test" / "good", name, [*key, TEST_GOOD_FOLDER], count=good, size=size)
            for number, defect in enumerate(DEFECTS, start=FIRST_DEFECT_FOLDER):
                _write_defective(root, name, [*key, number], defect, count=defective, size=size)
            root.rename(target)
    return targets


def _write_good(folder: Path, name: str, key: list[int], *, count: int, size: int) -> None:
    """Write `count` good images of a class."""
    folder.mkdir(parents=True)
    for index in range(count):
        image, _ = draw(name, seed=[*key, index], size=size)
        Image.fromarray(image).save(folder / f"{index:03}.png")


def _write_defective(root: Path, name: str, key: list[int], defect: str, *, count: int, size: int) -> None:
    """Write `count` images of a class with one defect, in the order of difficulty, and their masks."""
    images, masks = root / "test" / defect, root / "ground_truth" / defect
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for index, difficulty in enumerate(np.linspace(0, 1, count)):
        image, mask = draw(name, seed=[*key, index], size=size, defect=defect, difficulty=float(difficulty))
        Image.fromarray(image).save(images / f"{index:03}.png")
        Image.fromarray(np.uint8(255) * mask).save(masks / f"{index:03}_mask.png")


def _stream(key: list[int], number: int) -> Generator:
    """Return the random stream of one part of the image with the seed `key`."""
    return np.random.default_rng([*key, number])


def _good_surface(name: str, grid: Grid, key: list[int]) -> Surface:
    if name not in SURFACES:
        raise _unknown("class", name, CLASSES)
    return SURFACES[name](grid, _stream(key, SURFACE_STREAM))


def _defective_surface(good: Surface, name: str, grid: Grid, key: list[int], defect: str, difficulty: float) -> Surface:
    """Return the surface of class `name` with a defect at a random position. `good` is the surface without it."""
    if defect not in DEFECTS:
        raise _unknown("defect", defect, DEFECTS)
    rng = _stream(key, DEFECT_STREAM)
    max_radius = BADGE_DEFECT_RADIUS if name == "badge" else WEAVE_DEFECT_RADIUS
    radius, angle = max_radius * math.sqrt(rng.uniform()), rng.uniform(0, FULL_TURN)
    x, y = radius * math.cos(angle), radius * math.sin(angle)
    if defect == "displaced":
        right, down = displacement(grid.centered_at(x, y), rng, difficulty)
        return _good_surface(name, Grid(grid.x + right, grid.y + down), key)
    local = grid.centered_at(x, y, angle=rng.uniform(0, FULL_TURN))
    return SURFACE_DEFECTS[defect](good, local, rng, difficulty)


def _unknown(kind: str, name: str, known: Sequence[str]) -> ValueError:
    return ValueError(f"unknown {kind} {name!r}; choose from {', '.join(known)}")
