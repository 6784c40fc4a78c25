"""The good images of a run: all files are read and checked, resized once, and a seeded share is held out."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import print_note, progress
from ssim_ae.errors import InputError
from ssim_ae.images.files import image_size, read_image
from ssim_ae.images.folders import GOOD, Dataset
from ssim_ae.images.size import Size
from ssim_ae.images.view import View
from ssim_ae.machine import parallel_map
from ssim_ae.random_streams import Stream, random_stream
from ssim_ae.spelling import counted
from ssim_ae.training.pixel_store import PixelStore

MAX_LISTED_FILES = 20  # files that messages list
MAX_SQUEEZE = 0.1  # change of the aspect ratio up to which an image counts as not squeezed
CAMERA_DEPTHS = (8, 10, 12, 14)  # bits of cameras whose files have 16
Result = TypeVar("Result")


@dataclass(frozen=True)
class GoodImages:
    """The training images and the held-out images: their paths, and their pixels.

    Pixels are (N, C, H, W) of the working size, uint8, or float32 in [0, 1] if there are 16-bit images among them.
    """

    training_paths: tuple[Path, ...]
    held_out_paths: tuple[Path, ...]
    training_images: np.ndarray
    held_out_images: np.ndarray


class ImageCounts(NamedTuple):
    """How many training images and held-out images there are."""

    training: int
    held_out: int


NO_IMAGES = ImageCounts(0, 0)


class _Image(NamedTuple):
    """A good image: properties of its file."""

    path: Path
    size: Size  # of the file's image
    max_value: int | None  # of a 16-bit image


def load_good_images(
    dataset: Dataset,
    config: Config,
    folder: Path = Path(),
    *,
    skip_bad: bool = False,
    keep_pixels: bool = True,
    former: ImageCounts = NO_IMAGES,
) -> GoodImages:
    """Read all good images of a data set and split them into training images and held-out images.

    Without `keep_pixels` they are only checked. Pixels that do not fit in memory are in a temporary file in `folder`.
    The images are added to `former` images of a run.

    Test images are read to check them, and are not used. InputError lists the files that cannot be read; with
    `skip_bad` notes do, and these files are left out.
    """
    for note in dataset.notes:
        print_note(f"{dataset.root}: {note}")
    view = View.from_config(config) if keep_pixels else None
    load = partial(_load_image, view=view, grayscale=config.grayscale)
    pixels = PixelStore(len(dataset.good), len(held_out_indices(len(dataset.good), config, former)), folder)
    errors: list[InputError] = []
    images: list[_Image] = []
    for result in _map_with_progress(load, dataset.good, "checking good images"):
        if isinstance(result, InputError):
            errors.append(result)
        else:
            images.append(result[0])
            pixels.add(result[1])
    errors += _test_image_errors(dataset)
    _report_errors(errors, dataset.root, skip_bad=skip_bad)
    if not images:
        raise InputError(f"{dataset.root}: no good image is left to train on; add images that can be read")
    held_out = held_out_indices(len(images), config, former)
    for note in (_summary(dataset, images, len(held_out), config), *_remarks(images, config)):
        print_note(note)
    training_images, held_out_images = pixels.split(held_out)
    held_out_set = set(held_out)
    return GoodImages(
        training_paths=tuple(image.path for index, image in enumerate(images) if index not in held_out_set),
        held_out_paths=tuple(images[index].path for index in held_out),
        training_images=training_images,
        held_out_images=held_out_images,
    )


def read_pixels(
    first: Sequence[Path],
    second: Sequence[Path],
    planes_of: Callable[[np.ndarray], np.ndarray],
    config: Config,
    folder: Path,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `planes_of` makes of two lists of images, (C, H, W) float32 in [0, 1], as pixels of `GoodImages`."""

    def load(path: Path) -> np.ndarray:
        image = read_image(path, grayscale=config.grayscale)
        return _stored(planes_of(image), image)

    count = len(first) + len(second)
    store = PixelStore(count, len(second), folder)
    for planes in _map_with_progress(load, [*first, *second], "reading good images"):
        store.add(planes)
    return store.split(range(len(first), count))


def good_image_sizes(dataset: Dataset) -> list[Size]:
    """Return the sizes of the good images from the headers of their files, without files that cannot be read."""
    sizes = _map_with_progress(_size_or_error, dataset.good, "reading sizes")
    return [size for size in sizes if isinstance(size, Size)]


def held_out_indices(count: int, config: Config, former: ImageCounts = NO_IMAGES) -> list[int]:
    """Return the indices of the held-out images among `count` images sorted by name.

    With the `former` images of a run, they are a seeded random share `holdout` of all images: at least one of two or
    more, and never all.
    """
    if config.holdout == 0:
        return []
    wanted = max(1, round(config.holdout * (count + sum(former)))) - former.held_out
    held_out_count = max(min(wanted, count if former.training else count - 1), 0)
    permutation = random_stream(config.seed, Stream.HELD_OUT_IMAGES).permutation(count)
    return sorted(permutation[:held_out_count].tolist())


def _size_or_error(path: Path) -> Size | InputError:
    try:
        return image_size(path)
    except InputError as error:
        return error


def _load_image(path: Path, view: View | None, *, grayscale: bool) -> tuple[_Image, np.ndarray] | InputError:
    """Return an image and its pixels, resized, (C, H, W) uint8 or float32 in [0, 1]."""
    try:
        image = read_image(path, grayscale=grayscale)
    except InputError as error:
        return error
    resized = view.resize(image) if view else np.zeros((0, 0, 0), np.float32)
    max_value = int(image.max()) if image.dtype == np.uint16 else None
    return _Image(path, Size(*image.shape[:2]), max_value), _stored(resized, image)


def _stored(planes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return planes (C, H, W) float32 in [0, 1] of an image as they are kept: uint8, unless the image has 16 bits."""
    return planes if image.dtype == np.uint16 else np.rint(planes * 255).astype(np.uint8)


def _test_image_errors(dataset: Dataset) -> list[InputError]:
    """Return the errors of all test images and masks that cannot be read."""
    paths = [path for image in dataset.test for path in (image.path, image.mask) if path]
    return [error for error in _map_with_progress(_read_error, paths, "checking test images") if error]


def _read_error(path: Path) -> InputError | None:
    try:
        read_image(path)
    except InputError as error:
        return error
    return None


def _report_errors(errors: Sequence[InputError], root: Path, *, skip_bad: bool) -> None:
    """Raise one InputError for all files that cannot be read, or with `skip_bad` write a note for each."""
    if skip_bad:
        for error in errors:
            print_note(f"skipped: {error}")
    elif errors:
        lines = [str(error) for error in errors[:MAX_LISTED_FILES]]
        if len(errors) > MAX_LISTED_FILES:
            lines.append(f"... and {len(errors) - MAX_LISTED_FILES} more")
        images, them = counted(len(errors), "image"), "it" if len(errors) == 1 else "them"
        lines.append(f"{root}: {images} cannot be read; remove {them}, or skip {them} with --skip-bad")
        raise InputError("\n".join(lines))


def _summary(dataset: Dataset, images: Sequence[_Image], held_out: int, config: Config) -> str:
    """Say in a line what is learned from: how many images, of what sizes, at what size, and what is not."""
    sizes = Counter(image.size for image in images)
    smallest, largest = min(sizes, key=prod), max(sizes, key=prod)
    of_sizes = f"of {smallest}" if len(sizes) == 1 else f"of {len(sizes)} sizes from {smallest} to {largest}"
    resized = f"resized to {config.working_size}{_squeezed(sizes, config)}"
    parts = [
        f"{dataset.root}: {counted(len(images), 'good image')} {of_sizes}, {resized}",
        f"{len(images) - held_out} for training, {held_out} held out to set the thresholds",
    ]
    if dataset.test:
        good = sum(image.defect == GOOD for image in dataset.test)
        kept = f"{counted(len(dataset.test), 'test image')} not learned from"
        parts.append(f"{kept}: {good} good, {len(dataset.test) - good} defective")
    return "; ".join(parts)


def _squeezed(sizes: Mapping[Size, int], config: Config) -> str:
    """Say how many images, counted by size, get another aspect ratio."""
    height, width = config.working_size
    changes = {size: (width / height) / (size.width / size.height) for size in sizes}
    count = sum(sizes[size] for size, change in changes.items() if max(change, 1 / change) > 1 + MAX_SQUEEZE)
    return f" ({count} of them squeezed by more than {100 * MAX_SQUEEZE:.0f} %)" if count else ""


def _remarks(images: Sequence[_Image], config: Config) -> Iterator[str]:
    """Yield notes on unusual images and settings."""
    white = 2**config.bit_depth - 1
    max_values = {image.path: image.max_value for image in images if image.max_value is not None}
    if len(max_values) < len(images):
        for path in list(max_values)[:MAX_LISTED_FILES]:
            yield f"{path}: 16 bits among 8-bit images; its white is {white} (bit_depth {config.bit_depth})"
    max_value = max(max_values.values(), default=white)
    if fitting_depth := next((depth for depth in CAMERA_DEPTHS if max_value < 2**depth < white), None):
        yield (
            f"bit_depth {config.bit_depth}: the 16-bit images reach only {max_value} of {white}; "
            f"for a camera with fewer bits set --bit_depth {fitting_depth}"
        )
    if max_value > white:
        yield (
            f"bit_depth {config.bit_depth}: the 16-bit images reach {max_value}, and all above {white} is cut; "
            f"raise --bit_depth"
        )
    trained = len(images) * (1 - config.holdout)
    if config.uses("augment_num") and trained > config.augment_num and not config.online_aug:
        yield f"augment_num {config.augment_num}: less than one patch per training image; raise it or set online_aug"


def _map_with_progress(function: Callable[[Path], Result], paths: Sequence[Path], label: str) -> Iterator[Result]:
    with progress(label, len(paths)) as bar:
        for result in parallel_map(function, paths):
            bar.advance()
            yield result
