"""The pixels of good images, in memory or, if they are too many, in a temporary file that is mapped into memory."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from ssim_ae.console import print_note
from ssim_ae.errors import InputError

MAX_BYTES_IN_MEMORY = 4 * 2**30  # of the pixels of all images
BYTES_AT_ONCE = 2**26  # that are written to a new file
IMAGES_AT_ONCE = 256  # that are converted or moved


class PixelStore:
    """Images (C, H, W) of one size, uint8 or float32 in [0, 1], that are added one by one and split in two at the end.

    Beyond MAX_BYTES_IN_MEMORY they are in a temporary file in `folder`. It is removed with the arrays, and with the
    process, whatever ends it.
    """

    def __init__(self, count: int, second: int, folder: Path) -> None:
        """Prepare for up to `count` images, of which up to `second` are split off."""
        self._limits = count, second
        self._folder = folder
        self._images = self._second = np.zeros((0, 1, 1, 1), np.uint8)
        self._count = 0

    def add(self, image: np.ndarray) -> None:
        """Add an image; once one is float32, all are. InputError if there is no room for the file."""
        if not self._count:
            self._allocate(image.shape, image.dtype)
        elif image.dtype == np.float32 and self._images.dtype == np.uint8:
            narrow = self._images
            self._allocate(image.shape, image.dtype)
            for start in range(0, self._count, IMAGES_AT_ONCE):
                part = slice(start, min(start + IMAGES_AT_ONCE, self._count))
                self._images[part] = _as_float(narrow[part])
        self._images[self._count] = image if image.dtype == self._images.dtype else _as_float(image)
        self._count += 1

    def split(self, second: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the images without those of the indices `second`, and these, each (n, C, H, W). Call it once."""
        chosen = set(second)
        counts = {True: 0, False: 0}
        for index in range(self._count):
            is_second = index in chosen
            target = self._second if is_second else self._images  # the others move towards the start
            target[counts[is_second]] = self._images[index]
            counts[is_second] += 1
        return self._images[: counts[False]], self._second[: counts[True]]

    def _allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Make room for all images, and for those that are split off."""
        whole = (sum(self._limits), *shape)
        if prod(whole) * dtype.itemsize > MAX_BYTES_IN_MEMORY:
            both = _mapped(self._folder, whole, dtype)
        else:
            both = np.zeros(whole, dtype)
        self._images, self._second = both[: self._limits[0]], both[self._limits[0] :]


def _as_float(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def _mapped(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array of zeros in a temporary file. InputError if the disk has no room for it."""
    size = prod(shape) * dtype.itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise InputError(
                f"{folder}: {size / 1e9:.1f} GB needed for the pixels of good images while they are learned from, "
                f"{free / 1e9:.1f} GB free; free some, or name a folder on another disk with --runs"
            )
        print_note(f"{folder}: the pixels of good images are in a temporary file of {size / 1e9:.1f} GB")
        with TemporaryFile(dir=folder) as file:
            # Written, not only sized: a page of a file that has no room on a full disk would end the process.
            for start in range(0, size, BYTES_AT_ONCE):
                file.write(bytes(min(BYTES_AT_ONCE, size - start)))
            file.flush()
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
    except OSError as error:
        raise InputError(f"{folder}: the pixels of good images cannot be written: {error.strerror}") from error
