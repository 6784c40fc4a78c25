"""Lists of good images that are not to be learned from, one per line."""

import os
from collections.abc import Sequence
from pathlib import Path

from ssim_ae.errors import InputError
from ssim_ae.storage import read_file

COMMENT = "#"  # at the start of a line


def read_exclusions(listing: Path, images: Sequence[Path], root: Path) -> set[Path]:
    """Return the images that a file lists, by their path from `root`, by a full path or by their name alone.

    Empty lines and lines that start with # are ignored. Raises InputError, which names the line, if a line is none of
    the images or the file cannot be read.
    """
    try:
        lines = read_file(listing).decode().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{listing}: not a text file in UTF-8; list one image per line") from error
    by_path = {name: {path} for path in images for name in (_path_from(root, path), str(path), str(path.absolute()))}
    by_name: dict[str, set[Path]] = {}
    for path in images:
        by_name.setdefault(path.name, set()).add(path)
    by_name |= by_path  # an image in `root` itself is meant alone, whatever its name is in other folders
    excluded: set[Path] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(COMMENT):
            continue
        found = by_name.get(line) or by_name.get(line.strip())
        if not found:
            raise InputError(f"{listing}: line {number}: {root} has no good image {line.strip()!r:.200}")
        excluded |= found
    return excluded


def _path_from(root: Path, image: Path) -> str:
    """Return the path of an image from the folder of its data set; an image in another folder starts with `..`."""
    try:
        return Path(os.path.relpath(image, root)).as_posix()
    except ValueError:  # on another drive of Windows
        return str(image.absolute())


def exclusion_list(images: Sequence[Path], root: Path, heading: Sequence[str]) -> str:
    """Return the text of a file that lists images; lines of the `heading` become comments.

    An image whose name would not be read back as one line is left out.
    """
    names = [_path_from(root, path) for path in images]
    readable = [name for name in names if name.splitlines() == [name.strip()] and not name.startswith(COMMENT)]
    return "".join(f"{line}\n" for line in [*(f"{COMMENT} {line}" for line in heading), *readable])
