"""Find image files: in a folder, in all folders below it, by patterns. What is skipped is counted."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from glob import escape, glob, has_magic
from pathlib import Path
from typing import NamedTuple, Self

from ssim_ae.errors import InputError
from ssim_ae.images.formats import SUFFIXES, UNSUPPORTED_SUFFIXES
from ssim_ae.images.own_folders import is_own_overlay, kind_of_own_folder, refuse_own_folder
from ssim_ae.spelling import counted, listed

MAX_NAMED = 3  # names that a note lists for each reason
MAX_WALKED_FOLDERS = 1000  # folders in which images that are skipped are counted
LEFT_BEHIND = frozenset(  # lower case; names that start with a dot are left behind, too
    {
        *("__pycache__", "__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information"),
        *("lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    }
)


class Reason(Enum):
    """Why something is skipped: what is counted, in the singular, and its description."""

    OTHER_FOLDER = ("image", "in other folders")
    OTHER_SUFFIX = ("image", "without the suffix")
    MASK = ("mask", "beside good images")
    BROKEN_LINK = ("broken link", "")
    OTHER_TYPE = ("file", "of another type")
    LEFT_BEHIND = ("item", "left by other programs")
    OVERLAY = ("overlay", "written by ssim-ae")
    OWN_FOLDER = ("folder", "written by ssim-ae")
    UNREADABLE = ("folder", "without permission to open")


@dataclass
class Skipped:
    """What a search has skipped: the names for each reason. `str()` is one line, however many there are."""

    names: dict[Reason, list[str]] = field(default_factory=dict)
    suffix: str = ""  # that the names of images end with
    complete: bool = True  # False if there are too many folders to count the images in all of them

    def add(self, reason: Reason, names: Iterable[str]) -> None:
        """Record names that are skipped for a reason."""
        added = list(names)
        if added:
            self.names.setdefault(reason, []).extend(added)

    def update(self, other: Self, within: str = ".") -> None:
        """Record what another search has skipped. Its names are relative to the folder `within`."""
        parents = [] if within == "." else [within]
        for reason, names in other.names.items():
            self.add(reason, ("/".join([*parents, name] if name else parents) for name in names))

    def only(self, *reasons: Reason) -> Self:
        """Return what is skipped for some of the reasons."""
        return replace(self, names={reason: self.names[reason] for reason in reasons if reason in self.names})

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        return "; ".join(self._part(reason) for reason in Reason if reason in self.names)

    def _part(self, reason: Reason) -> str:
        names = self.names[reason]
        distinct = list(dict.fromkeys(names))  # in other folders, the name of the folder for each image
        noun, description = reason.value
        text = f"{counted(len(names), noun)} {description}".strip()
        if reason is Reason.OTHER_FOLDER:
            folders = f"{counted(len(distinct), 'folder')} that {'is' if len(distinct) == 1 else 'are'} not read"
            text = f"{'' if self.complete else 'at least '}{counted(len(names), noun)} in {folders}"
        if reason is Reason.OTHER_SUFFIX:
            text += f" {self.suffix}"
        return f"{text} ({listed(distinct, MAX_NAMED)})"


class FolderContents(NamedTuple):
    """The images and sub-folders in a folder, each sorted by name, and what else is in it."""

    folder: Path
    images: tuple[Path, ...]
    folders: tuple[Path, ...]
    skipped: Skipped


class FoundImages(NamedTuple):
    """Image files, and what was skipped in each folder that was searched."""

    paths: list[Path]
    skipped: dict[Path, Skipped]


def find_images(folder: Path, suffix: str = "") -> tuple[Path, ...]:
    """Return the image files in a folder, sorted by name; none if the folder does not exist.

    With `suffix`, only files whose names, with or without the suffix of their format, end with it. Files in well-known
    unsupported formats are included, so that reading them reports an error.
    """
    return list_folder(folder, suffix).images if folder.is_dir() else ()


def list_folder(folder: Path, suffix: str = "") -> FolderContents:
    """List a folder, which must exist; see `find_images`. Links are followed."""
    images, folders, skipped = [], [], Skipped(suffix=suffix)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if is_left_behind(entry.name):
                skipped.add(Reason.LEFT_BEHIND, [entry.name])
            elif _follows(entry, "is_dir"):
                folders.append(folder / entry.name)
            elif not _follows(entry, "is_file"):
                reason = Reason.BROKEN_LINK if entry.is_symlink() else Reason.OTHER_TYPE
                skipped.add(reason, [entry.name])
            elif is_own_overlay(folder / entry.name):
                skipped.add(Reason.OVERLAY, [entry.name])
            elif is_image_name(entry.name, suffix):
                images.append(folder / entry.name)
            else:
                reason = Reason.OTHER_SUFFIX if is_image_name(entry.name) else Reason.OTHER_TYPE
                skipped.add(reason, [entry.name])
    return FolderContents(folder, tuple(images), tuple(folders), skipped)


def walk(root: Path, suffix: str = "") -> Iterator[FolderContents]:
    """List a folder and all folders below it, except those that other programs left behind.

    Links are followed after everything else, and each folder is listed once, so that a cycle of links ends.
    """
    seen = set()
    folders, links = deque([root]), deque[Path]()
    while folders or links:
        folder = (folders or links).popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            contents = list_folder(folder, suffix)
        except OSError:
            if folder == root:
                raise
            contents = FolderContents(folder, (), (), Skipped({Reason.UNREADABLE: [""]}))
        for below in contents.folders:
            (links if below.is_symlink() else folders).append(below)
        yield contents


def expand_paths(places: list[str], suffix: str = "") -> FoundImages:
    """Return the image files that the given files, folders (searched recursively) and glob patterns refer to.

    Each file is returned once. A file that does not exist is returned too, so that reading it reports an error. In
    folders, only images with `suffix` are found, see `find_images`.

    Raises:
        InputError: A folder or a pattern has no images, or this program wrote the folder.
    """
    found = FoundImages([], {})
    for place in places:
        path = Path(place)
        if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises OSError for a name that is too long)
            refuse_own_folder(path, suffix)
            files, skipped = _images_in_tree(path, suffix)
            if skipped:
                found.skipped[path] = skipped
        elif os.path.exists(path) or not has_magic(place):  # noqa: PTH110 (the same)
            files, skipped = [path], Skipped()
        else:
            files, skipped = [file for file in _matches(place) if _is_image(file)], Skipped()
        if not files or not place:
            reasons = f"; skipped: {skipped}" if skipped else ""
            raise InputError(f"{place or 'empty name'}: no images found{reasons}")
        found.paths.extend(files)
    return FoundImages(list(dict.fromkeys(found.paths)), found.skipped)


def is_image_name(name: str, suffix: str = "") -> bool:
    """Return whether a file's name is that of an image; with `suffix`, whether it or its stem ends with that."""
    name, suffix = name.lower(), suffix.lower()
    is_image = name.endswith(SUFFIXES + UNSUPPORTED_SUFFIXES)
    return name.endswith(suffix) or (is_image and Path(name).stem.endswith(suffix)) if suffix else is_image


def is_left_behind(name: str) -> bool:
    """Return whether a name is hidden or that of a file or folder that programs leave in the folders they show."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def _images_in_tree(root: Path, suffix: str) -> tuple[list[Path], Skipped]:
    files: list[Path] = []
    skipped = Skipped(suffix=suffix)
    for contents in sorted(walk(root, suffix), key=lambda contents: contents.folder):
        name = contents.folder.relative_to(root).as_posix()
        if kind_of_own_folder(contents.folder, suffix):
            skipped.add(Reason.OWN_FOLDER, [name])
            continue
        skipped.update(contents.skipped, name)
        files += contents.images
    return files, skipped


def _matches(pattern: str) -> list[Path]:
    """Return the sorted paths that match a pattern. `**` means a folder and all folders below it, as in `walk`."""
    head, recursive, tail = pattern.partition("**/")
    if not recursive or (head and not head.endswith("/")):
        return [Path(file) for file in sorted(glob(pattern))]  # noqa: PTH207 (Path.glob rejects absolute patterns)
    tops = [path for path in _matches(head) if path.is_dir()] if head else [Path()]
    folders = [contents.folder for top in tops for contents in walk(top)]
    return sorted({file for folder in folders for file in _matches(str(Path(escape(str(folder)), tail)))})


def _is_image(path: Path) -> bool:
    return is_image_name(path.name) and path.is_file() and not is_left_behind(path.name)


def _follows(entry: os.DirEntry[str], kind: str) -> bool:
    """Return whether an entry, or what it links to, is a folder (`is_dir`) or a file (`is_file`)."""
    try:
        return bool(getattr(entry, kind)())
    except OSError:  # a link to itself
        return False
