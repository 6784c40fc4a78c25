"""Names of overlay files: distinct on every file system, and within its limit."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ssim_ae.outputs import name_key, short_name

SUFFIX = "_overlay.png"


def overlay_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of the overlay of each image, independent of the order of the images.

    It is made of the stem of the image; if another image has the same, of the file name, and of the names of its
    folders as far as needed. A name that is too long is cut and gets a hash.
    """
    candidates = [_candidates(path) for path in paths]
    names: dict[int, str] = {}
    taken: set[str] = set()
    unnamed = list(range(len(paths)))
    while unnamed:
        current = {index: next(candidates[index]) for index in unnamed}
        counts = Counter(map(name_key, current.values()))
        for index, name in current.items():
            key = name_key(name)
            if counts[key] == 1 and key not in taken:
                names[index] = name
        taken |= {name_key(names[index]) for index in unnamed if index in names}
        unnamed = [index for index in unnamed if index not in names]
    return [names[index] + SUFFIX for index in range(len(paths))]


def _candidates(path: Path) -> Iterator[str]:
    """Yield names for an image without end, from the shortest one."""
    folders = [part for part in path.parts[:-1] if part != path.anchor]
    for depth in range(len(folders) + 1):
        parents = folders[len(folders) - depth :]
        yield short_name("_".join([*parents, path.stem]))
        yield short_name("_".join([*parents, path.name]))
    count = 0
    while True:  # paths such as a_b/c.png and a/b_c.png
        count += 1
        digest = hashlib.sha256(os.fsencode(path) + bytes([count])).hexdigest()
        yield short_name(path.stem, digest)
