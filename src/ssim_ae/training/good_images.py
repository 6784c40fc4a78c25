"""The good images of a run: every file opened and checked, resized once, a seeded part held out."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import progress
from ssim_ae.errors import InputError
from ssim_ae.images.files import read
from ssim_ae.images.folders import Dataset
from ssim_ae.images.view import View

MAX_NAMED = 20  # bad files named in full
Result = TypeVar("Result")


@dataclass(frozen=True)
class GoodImages:
    """Paths, and the images themselves resized: (N, C, im_resize, im_resize) uint8, trained on and held out."""

    trained: tuple[Path, ...]
    held_out: tuple[Path, ...]
    stack: np.ndarray
    held_out_stack: np.ndarray
    notes: tuple[str, ...]


def load_good_images(dataset: Dataset, config: Config, *, skip_bad: bool = False) -> GoodImages:
    """Open every image of the data set completely. InputError names each bad one, unless `skip_bad`."""
    view = View.of(config)
    sizes: Counter[str] = Counter()
    deep: list[Path] = []

    def resized(path: Path) -> np.ndarray | InputError:
        try:
            image = read(path, grayscale=config.grayscale)
        except InputError as error:
            return error
        sizes[f"{image.shape[1]} x {image.shape[0]} px"] += 1
        if image.dtype == np.uint16:
            deep.append(path)
        return np.rint(view.whole(image) * 255).astype(np.uint8)

    results = _each(resized, dataset.good, "checking good images")
    problems = [result for result in results if isinstance(result, InputError)]
    problems += check_test_images(dataset)
    notes = [f"bad image: {problem}" for problem in problems]
    if problems and not skip_bad:
        listed = "\n".join(notes[:MAX_NAMED])
        more = f"\n... and {len(notes) - MAX_NAMED} more" if len(notes) > MAX_NAMED else ""
        raise InputError(f"{listed}{more}\n{len(problems)} bad images; remove them, or go on without them: --skip-bad")
    if len(sizes) > 1:
        notes.append(f"mixed sizes: {', '.join(f'{count} of {size}' for size, count in sizes.most_common(5))}")
    white = f"16-bit gray, white is {2**config.bit_depth - 1} (bit_depth {config.bit_depth})"
    if 0 < len(deep) <= MAX_NAMED:
        notes += [f"{path}: {white}" for path in sorted(deep)]
    elif deep:
        notes.append(f"{len(deep)} images: {white}")

    good = [(path, image) for path, image in zip(dataset.good, results, strict=True) if isinstance(image, np.ndarray)]
    held_out = set(held_out_indices(len(good), config))
    trained = [pair for index, pair in enumerate(good) if index not in held_out]
    kept = [pair for index, pair in enumerate(good) if index in held_out]
    if not trained:
        raise InputError(f"{dataset.root}: {len(good)} good images leave none to train on")
    return GoodImages(
        trained=tuple(path for path, _ in trained),
        held_out=tuple(path for path, _ in kept),
        stack=np.stack([image for _, image in trained]),
        held_out_stack=np.stack([image for _, image in kept]) if kept else np.zeros((0, *good[0][1].shape), np.uint8),
        notes=tuple(notes),
    )


def held_out_indices(count: int, config: Config) -> list[int]:
    """Return which of `count` images, sorted by name, are held out: a seeded share `holdout`, at least one."""
    if config.holdout == 0:
        return []
    wanted = min(max(1, round(config.holdout * count)), count - 1)
    return sorted(np.random.default_rng([config.seed, 4]).permutation(count)[:wanted].tolist())


def check_test_images(dataset: Dataset) -> list[InputError]:
    """Open every test image and mask completely; return the problems found."""

    def problem(path: Path) -> InputError | None:
        try:
            read(path)
        except InputError as error:
            return error
        return None

    paths = [path for image in dataset.test for path in (image.path, image.mask) if path]
    return [found for found in _each(problem, paths, "checking test images") if found]


def _each(function: Callable[[Path], Result], paths: Sequence[Path], label: str) -> list[Result]:
    results = []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with progress(label, len(paths)) as bar:
            for result in pool.map(function, paths):
                results.append(result)
                bar.advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return results
