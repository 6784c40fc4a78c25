"""Find the images of a data set: MVTec AD's layout, or just a folder of good images."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from ssim_ae.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
FOREIGN_SUFFIXES = (
    ".gif",
    ".jp2",
    ".heic",
    ".avif",
    ".ppm",
    ".pgm",
    ".tga",
    ".dng",
    ".raw",
)  # named, not passed over
GOOD, ALL = "good", "all"  # no types of defect
KEPT_FOR_TEST = 5  # without a test folder, about every fifth good image is tested beside the defective ones


@dataclass(frozen=True)
class TestImage:
    """An image to evaluate on: `defect` is its type, or "good"; `mask` its ground truth, if any."""

    path: Path
    defect: str
    mask: Path | None = None

    @property
    def name(self) -> str:
        """`defect/stem`, with the suffix too where it is not .png: unique in its data set."""
        plain = self.path.suffix == ".png" and not self.path.stem.lower().endswith(SUFFIXES)
        return f"{self.defect}/{self.path.stem if plain else self.path.name}"


@dataclass(frozen=True)
class Dataset:
    """Good images to learn from, and images to evaluate on (perhaps none)."""

    root: Path
    good: tuple[Path, ...]
    test: tuple[TestImage, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name


def find_dataset(root: str | os.PathLike[str], *, img_suffix: str = "", mask_suffix: str = "_mask.png") -> Dataset:
    """Find the images under `root`, in one of three layouts; InputError says what was looked for.

    `train/good`, `test/<type>`, `ground_truth/<type>` (MVTec AD); or `good/` beside folders of defects, without
    masks; or good images alone.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if (root / "train").is_dir():
        good = find_images(root / "train" / GOOD, img_suffix) or find_images(root / "train", img_suffix)
        test = _test_images(root / "test", root / "ground_truth", img_suffix, mask_suffix)
    elif (root / GOOD).is_dir():
        good = find_images(root / GOOD, img_suffix)
        test = _test_images(root, root / "ground_truth", img_suffix, mask_suffix, passed_over=(GOOD,))
        if test:
            kept = tuple(path for path in good if _kept_for_test(path))
            test = (*(TestImage(path, GOOD) for path in kept), *test)
            good = tuple(path for path in good if path not in set(kept))
    else:
        good, test = find_images(root, img_suffix), ()
    if not good:
        raise InputError(f"{root}: no images; looked in train/good, in good and in the folder itself")
    return Dataset(root, good, test)


def find_images(folder: Path, suffix: str = "") -> tuple[Path, ...]:
    """Return the image files in a folder, by name; with `suffix` only those that end so."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if _looks_like_image(path, suffix)))


def expand(places: list[str]) -> list[Path]:
    """Return the image files that files, folders (searched through) and patterns stand for. InputError for none."""
    found: list[Path] = []
    for place in places:
        path = Path(place)
        if path.is_dir():
            files = [file for folder in [path, *_folders(path)] for file in find_images(folder)]
        elif path.exists() or not any(character in place for character in "*?["):
            files = [path]
        else:
            files = [Path(file) for file in sorted(glob(place, recursive=True)) if _looks_like_image(Path(file))]  # noqa: PTH207 (may be absolute)
        if not files or not place:
            raise InputError(f"{place or 'empty name'}: no images there")
        found += files
    return list(dict.fromkeys(found))


def fingerprint(hashes: Mapping[Path, str]) -> str:
    """Return a hash of files' names and contents, given the hash of each one's content."""
    digest = hashlib.sha256()
    for path, content in hashes.items():
        digest.update(os.fsencode(path.name) + b"\0" + content.encode())
    return digest.hexdigest()


def content_hash(path: Path) -> str:
    """Return a hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _looks_like_image(path: Path, suffix: str = "") -> bool:
    wanted = (suffix.lower(),) if suffix else SUFFIXES + FOREIGN_SUFFIXES
    return path.name.lower().endswith(wanted) and path.is_file() and not path.name.startswith(".")


def _kept_for_test(path: Path) -> bool:
    """By name alone, so that images that come later move none from training to test."""
    return hashlib.sha256(os.fsencode(path.name)).digest()[0] % KEPT_FOR_TEST == 0


def _folders(root: Path) -> list[Path]:
    below = (path.relative_to(root) for path in root.rglob("*") if path.is_dir())
    return sorted(root / path for path in below if not any(part.startswith(".") for part in path.parts))


def _test_images(
    root: Path, truth: Path, img_suffix: str, mask_suffix: str, passed_over: tuple[str, ...] = ()
) -> tuple[TestImage, ...]:
    if not root.is_dir():
        return ()
    found = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder == truth or folder.name in passed_over:
            continue
        if folder.name == ALL:
            raise InputError(f"{folder}: {ALL!r} means all types of defects together; rename the folder")
        for path in find_images(folder, img_suffix):
            mask = truth / folder.name / f"{path.stem}{mask_suffix}"
            defect = GOOD if folder.name.lower() == GOOD else folder.name
            found.append(TestImage(path, defect, mask if mask.is_file() else None))
    return tuple(found)
