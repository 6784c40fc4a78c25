"""List images as a stream: of folders, patterns, lists and buckets. At most one folder, or one page, is in memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ssim_ae.buckets import is_url
from ssim_ae.buckets.store import ObjectStore
from ssim_ae.buckets.urls import parse_url
from ssim_ae.errors import InputError
from ssim_ae.images.own_folders import kind_of_own_folder, refuse_own_folder
from ssim_ae.images.search import Reason, expand_paths, is_image_name, is_left_behind, walk
from ssim_ae.spelling import counted

LIST_SUFFIX = ".txt"  # of a file that lists images, one per line


class ImageFile(NamedTuple):
    """An image that a listing found: its path or URL, and what tells this content from another.

    `size` is in bytes; `version` is the time of a file's last change in ns or an object's ETag. An object that a list
    names is not looked up: its size is -1 and its version empty. `label` is that of a manifest.
    """

    location: str
    size: int
    version: str
    label: str = ""


class Listing:
    """The images of some locations. Each iteration lists them again; `skipped` counts those of the last one."""

    def __init__(self, locations: Sequence[str], suffix: str = "") -> None:
        """Raise InputError if a location is inside another one: its images would be listed twice."""
        self.locations = tuple(locations)
        self.suffix = suffix
        self.skipped: Counter[Reason] = Counter()
        _check_distinct(self.locations)

    def __iter__(self) -> Iterator[ImageFile]:
        self.skipped = Counter()
        for location in self.locations:
            found = False
            for image in self._list(location):
                found = True
                yield image
            if not found:
                reasons = f"; skipped: {self.skipped_text()}" if self.skipped else ""
                raise InputError(f"{location or 'empty name'}: no images found{reasons}")

    def skipped_text(self) -> str:
        """Return what the last iteration has skipped, in one line."""
        return "; ".join(
            f"{counted(count, reason.value[0])} {reason.value[1]}".strip() for reason, count in self.skipped.items()
        )

    def _list(self, location: str) -> Iterator[ImageFile]:
        if location.lower().endswith(LIST_SUFFIX):
            return _read_list(location)
        if is_url(location):
            return self._list_bucket(location)
        if os.path.isdir(location):  # noqa: PTH112 (Path.is_dir raises OSError for a name that is too long)
            return self._list_folder(Path(location))
        return map(file_of, map(str, expand_paths([location], self.suffix).paths))

    def _list_folder(self, root: Path) -> Iterator[ImageFile]:
        refuse_own_folder(root, self.suffix)
        for contents in walk(root, self.suffix):
            if kind_of_own_folder(contents.folder, self.suffix):
                self.skipped[Reason.OWN_FOLDER] += 1
                continue
            self.skipped.update({reason: len(names) for reason, names in contents.skipped.names.items()})
            yield from (file_of(str(path)) for path in contents.images)

    def _list_bucket(self, url: str) -> Iterator[ImageFile]:
        store = ObjectStore(*parse_url(url))
        for name, stored in store.iterate():
            *folders, base = name.split("/")
            if any(map(is_left_behind, folders)) or is_left_behind(base):
                self.skipped[Reason.LEFT_BEHIND] += 1
            elif is_image_name(base or url, self.suffix):
                yield ImageFile(f"{url.rstrip('/')}/{name}" if name else url, stored.size, stored.etag)
            else:
                self.skipped[Reason.OTHER_TYPE] += 1


def file_of(location: str) -> ImageFile:
    """Return the entry of one image. A file that does not exist has one, too: reading it reports the error."""
    if is_url(location):
        return ImageFile(location, -1, "")
    try:
        status = Path(location).stat()
    except (OSError, ValueError):
        return ImageFile(location, -1, "")
    return ImageFile(location, status.st_size, str(status.st_mtime_ns))


def _read_list(location: str) -> Iterator[ImageFile]:
    for line in _lines(location):
        if name := line.strip():
            yield file_of(name)


def _lines(location: str) -> Iterable[str]:
    if is_url(location):
        store = ObjectStore(*parse_url(location))
        data = store.read("")
        if data is None:
            raise InputError(f"{location}: no such object")
        yield from os.fsdecode(data).splitlines()
        return
    try:
        with Path(location).open(encoding="utf-8", errors="surrogateescape") as file:
            yield from file
    except OSError as error:
        raise InputError(f"{location}: cannot be read: {error.strerror}") from error


def _check_distinct(locations: Sequence[str]) -> None:
    for number, location in enumerate(locations):
        for other in (*locations[:number], *locations[number + 1 :]):
            if f"{location.rstrip('/')}/".startswith(f"{other.rstrip('/')}/"):
                raise InputError(f"{location}: given twice, also as {other}; its images would have two rows each")
