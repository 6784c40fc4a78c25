"""Lists of good images that are not to be learned from, one per line."""

from collections.abc import Sequence
from pathlib import Path

from ssim_ae.errors import InputError
from ssim_ae.storage import read_file

COMMENT = "#"  # at the start of a line


def read_exclusions(listing: Path, images: Sequence[Path], root: Path) -> set[Path]:
    """Return the images that a file lists, by their path below `root`, by a full path or by their name alone.

    Empty lines and lines that start with # are ignored. Raises InputError, which names the line, if a line is none of
    the images or the file cannot be read.
    """
    try:
        lines = read_file(listing).decode().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{listing}: not a text file in UTF-8; list one image per line") from error
    by_name: dict[str, set[Path]] = {}
    for path in images:
        for name in (path.name, path.relative_to(root).as_posix(), str(path), str(path.absolute())):
            by_name.setdefault(name, set()).add(path)
    excluded: set[Path] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(COMMENT):
            continue
        found = by_name.get(line) or by_name.get(line.strip())
        if not found:
            raise InputError(f"{listing}: line {number}: {root} has no good image {line.strip()!r:.200}")
        excluded |= found
    return excluded


def exclusion_list(images: Sequence[Path], root: Path, heading: Sequence[str]) -> str:
    """Return the text of a file that lists images; lines of the `heading` become comments.

    An image whose name would not be read back as one line is left out.
    """
    names = [path.relative_to(root).as_posix() for path in images]
    readable = [name for name in names if name.splitlines() == [name.strip()] and not name.startswith(COMMENT)]
    return "".join(f"{line}\n" for line in [*(f"{COMMENT} {line}" for line in heading), *readable])
