"""The good images of a run: every file opened and checked, resized once, a seeded part held out."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import note, progress
from ssim_ae.errors import InputError
from ssim_ae.images.files import read_image
from ssim_ae.images.folders import Dataset
from ssim_ae.images.view import View
from ssim_ae.machine import in_parallel

MAX_NAMED = 20  # files named in full
Result = TypeVar("Result")


@dataclass(frozen=True)
class GoodImages:
    """Paths, and the images themselves resized, (N, C, im_resize, im_resize): trained on and held out.

    uint8, or float32 in [0, 1] where there are 16-bit images among them.
    """

    trained: tuple[Path, ...]
    held_out: tuple[Path, ...]
    stack: np.ndarray
    held_out_stack: np.ndarray


class _Scanned(NamedTuple):
    """An image resized, (C, im_resize, im_resize) float32 or uint8, and what it was."""

    pixels: np.ndarray
    size: str
    highest: int | None  # value of a 16-bit image


def load_good_images(dataset: Dataset, config: Config, *, skip_bad: bool = False) -> GoodImages:
    """Open every image of the data set completely. InputError names each bad one, unless `skip_bad`."""
    view = View.from_config(config)

    def scanned(path: Path) -> _Scanned | InputError:
        try:
            image = read_image(path, grayscale=config.grayscale)
        except InputError as error:
            return error
        size = f"{image.shape[1]} x {image.shape[0]} px"
        whole = view.resize(image)
        if image.dtype == np.uint16:
            return _Scanned(whole, size, int(image.max()))
        return _Scanned(np.rint(whole * 255).astype(np.uint8), size, None)

    results = _each(scanned, dataset.good, "checking good images")
    problems = [result for result in results if isinstance(result, InputError)] + _test_problems(dataset)
    _report(problems, skip_bad=skip_bad)
    good = [(path, one) for path, one in zip(dataset.good, results, strict=True) if isinstance(one, _Scanned)]
    for text in _observations(good, config):
        note(text)

    chosen = set(held_out_indices(len(good), config))
    trained = [pair for index, pair in enumerate(good) if index not in chosen]
    held_out = [pair for index, pair in enumerate(good) if index in chosen]
    if not trained:
        raise InputError(f"{dataset.root}: {len(good)} good images leave none to train on")
    return GoodImages(
        trained=tuple(path for path, _ in trained),
        held_out=tuple(path for path, _ in held_out),
        stack=_stacked([one.pixels for _, one in trained]),
        held_out_stack=_stacked([one.pixels for _, one in held_out]) if held_out else np.zeros((0, 1, 1, 1), np.uint8),
    )


def held_out_indices(count: int, config: Config) -> list[int]:
    """Return which of `count` images, sorted by name, are held out: a seeded share `holdout`, at least one of two."""
    if config.holdout == 0:
        return []
    wanted = min(max(1, round(config.holdout * count)), count - 1)
    return sorted(np.random.default_rng([config.seed, 4]).permutation(count)[: max(wanted, 0)].tolist())


def _test_problems(dataset: Dataset) -> list[InputError]:
    def problem(path: Path) -> InputError | None:
        try:
            read_image(path)
        except InputError as error:
            return error
        return None

    paths = [path for image in dataset.test for path in (image.path, image.mask) if path]
    return [found for found in _each(problem, paths, "checking test images") if found]


def _report(problems: Sequence[InputError], *, skip_bad: bool) -> None:
    if skip_bad:
        for problem in problems:
            note(f"skipped: {problem}")
    elif problems:
        named = [f"bad image: {problem}" for problem in problems[:MAX_NAMED]]
        if len(problems) > MAX_NAMED:
            named.append(f"... and {len(problems) - MAX_NAMED} more")
        advice = f"{len(problems)} bad images; remove them, or go on without them: --skip-bad"
        raise InputError("\n".join([*named, advice]))


def _observations(good: Sequence[tuple[Path, _Scanned]], config: Config) -> Iterator[str]:
    """Yield what a person should know of images that can be read."""
    sizes = Counter(one.size for _, one in good)
    if len(sizes) > 1:
        yield f"mixed sizes: {', '.join(f'{count} of {size}' for size, count in sizes.most_common(5))}"
    white = 2**config.bit_depth - 1
    deep = {path: one.highest for path, one in good if one.highest is not None}
    for path in list(deep)[:MAX_NAMED] if len(deep) < len(good) else ():
        yield f"{path}: 16-bit gray among others, white is {white} (bit_depth {config.bit_depth})"
    highest = max((value for value in deep.values() if value is not None), default=white)
    if highest < white // 4:
        bits = max(highest.bit_length(), 9)
        yield f"16-bit images reach only {highest} of {white}: for a camera of fewer bits set --bit_depth {bits}"
    if len(good) * (1 - config.holdout) > config.augment_num and not config.online_aug:
        yield f"augment_num {config.augment_num} is less than one patch an image: raise it, or set online_aug"


def _stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    if len({image.dtype for image in images}) > 1:
        images = [image if image.dtype == np.float32 else image.astype(np.float32) / 255 for image in images]
    return np.stack(images)


def _each(function: Callable[[Path], Result], paths: Sequence[Path], label: str) -> list[Result]:
    results = []
    with progress(label, len(paths)) as bar:
        for result in in_parallel(function, paths):
            results.append(result)
            bar.advance()
    return results
