"""Cut a listing into parts that are named by their content: a job that is started again finds what is done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ssim_ae.batch.listing import ImageFile

NAME_DIGITS = 24


class Part(NamedTuple):
    """Some images of a listing. `name` identifies them, their content and how they are inspected."""

    name: str
    images: tuple[ImageFile, ...]


def cut_into_parts(images: Iterable[ImageFile], key: str, size: int) -> Iterator[Part]:
    """Cut a listing into parts of `size` images on average, at most four times as many.

    `key` states how they are inspected. A part ends after an image whose name says so. An image that is added thus
    changes the part it falls into and no other.
    """
    part: list[ImageFile] = []
    for image in images:
        part.append(image)
        if _digest(image.location) % size == 0 or len(part) >= 4 * size:
            yield _named(part, key)
            part = []
    if part:
        yield _named(part, key)


def _named(images: list[ImageFile], key: str) -> Part:
    content = "\n".join([key, *(f"{image.size} {image.version} {image.location}" for image in images)])
    return Part(f"part-{hashlib.sha256(os.fsencode(content)).hexdigest()[:NAME_DIGITS]}", tuple(images))


def _digest(location: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(location)).digest()[:8])
