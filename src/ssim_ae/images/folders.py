"""Find the images of a data set in a folder, and expand the paths of a command line to image files."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from ssim_ae.errors import InputError
from ssim_ae.images.formats import SUFFIXES, UNSUPPORTED_SUFFIXES

GOOD = "good"  # folder of good images, and the `defect` of a good test image
ALL = "all"  # reserved: key of the results of all defect types together
TEST_SPLIT_DIVISOR = 5  # without a test folder, about every fifth good image becomes a test image


@dataclass(frozen=True)
class TestImage:
    """A test image. `defect` is its defect type or "good", `mask` the path of its ground truth, if any."""

    path: Path
    defect: str
    mask: Path | None = None

    @property
    def name(self) -> str:
        """Return `defect/stem`, with the suffix unless it is .png. The name is unique in its data set."""
        omit_suffix = self.path.suffix == ".png" and not self.path.stem.lower().endswith(SUFFIXES)
        return f"{self.defect}/{self.path.stem if omit_suffix else self.path.name}"


@dataclass(frozen=True)
class Dataset:
    """Good images for training, and test images for evaluation (possibly none)."""

    root: Path
    good: tuple[Path, ...]
    test: tuple[TestImage, ...]

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        return self.root.resolve().name


def find_dataset(root: str | os.PathLike[str], *, img_suffix: str = "", mask_suffix: str = "_mask.png") -> Dataset:
    """Find the images of a data set in one of three layouts.

    - MVTec AD: `train/good`, `test/<defect type>` and, optionally, `ground_truth/<defect type>`.
    - `good` beside one folder per defect type, and, optionally, `ground_truth/<defect type>`. About every fifth good
      image becomes a test image.
    - A folder of good images.

    Args:
        root: The folder of the data set.
        img_suffix: If given, only files whose names end with it are images.
        mask_suffix: The ground truth of `<stem>.png` is `<stem><mask_suffix>`.

    Raises:
        InputError: The folder does not exist or has no good images.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if (root / "train").is_dir():
        good = find_images(root / "train" / GOOD, img_suffix) or find_images(root / "train", img_suffix)
        test = _find_test_images(root / "test", root / "ground_truth", img_suffix, mask_suffix)
    elif (root / GOOD).is_dir():
        good = find_images(root / GOOD, img_suffix)
        test = _find_test_images(root, root / "ground_truth", img_suffix, mask_suffix, skipped=(GOOD,))
        if test:
            good_test = tuple(path for path in good if _is_in_test_split(path))
            test = (*(TestImage(path, GOOD) for path in good_test), *test)
            good = tuple(path for path in good if path not in set(good_test))
    else:
        good, test = find_images(root, img_suffix), ()
    if not good:
        raise InputError(f"{root}: no images; looked in train/good, in good and in the folder itself")
    return Dataset(root, good, test)


def find_images(folder: Path, suffix: str = "") -> tuple[Path, ...]:
    """Return the image files in a folder, sorted by name. With `suffix`, only files whose names end with it.

    Files in well-known unsupported formats are included, so that reading them reports an error.
    """
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if _looks_like_image(path, suffix)))


def expand_paths(places: list[str]) -> list[Path]:
    """Return the image files that the given files, folders (searched recursively) and glob patterns refer to.

    Each file is returned once. A file that does not exist is returned too, so that reading it reports an error.

    Raises:
        InputError: A folder or a pattern has no images.
    """
    found: list[Path] = []
    for place in places:
        path = Path(place)
        if path.is_dir():
            files = [file for folder in [path, *_subfolders(path)] for file in find_images(folder)]
        elif path.exists() or not any(character in place for character in "*?["):
            files = [path]
        else:
            files = [Path(file) for file in sorted(glob(place, recursive=True)) if _looks_like_image(Path(file))]  # noqa: PTH207 (Path.glob rejects absolute patterns)
        if not files or not place:
            raise InputError(f"{place or 'empty name'}: no images found")
        found += files
    return list(dict.fromkeys(found))


def fingerprint(hashes: Mapping[Path, str]) -> str:
    """Return a hash of the names and contents of a set of files, given the content hash of each file."""
    digest = hashlib.sha256()
    for path, content in hashes.items():
        digest.update(os.fsencode(path.name) + b"\0" + content.encode())
    return digest.hexdigest()


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content as a hexadecimal string."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _looks_like_image(path: Path, suffix: str = "") -> bool:
    suffixes = (suffix.lower(),) if suffix else SUFFIXES + UNSUPPORTED_SUFFIXES
    return path.name.lower().endswith(suffixes) and path.is_file() and not path.name.startswith(".")


def _is_in_test_split(path: Path) -> bool:
    """Decide by a hash of the name, so that images that are added later do not change the split of the others."""
    return hashlib.sha256(os.fsencode(path.name)).digest()[0] % TEST_SPLIT_DIVISOR == 0


def _subfolders(root: Path) -> list[Path]:
    """Return all folders below `root` that are not hidden, sorted by path."""
    below = (path.relative_to(root) for path in root.rglob("*") if path.is_dir())
    return sorted(root / path for path in below if not any(part.startswith(".") for part in path.parts))


def _find_test_images(
    root: Path, ground_truth: Path, img_suffix: str, mask_suffix: str, skipped: tuple[str, ...] = ()
) -> tuple[TestImage, ...]:
    if not root.is_dir():
        return ()
    found = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder == ground_truth or folder.name in skipped:
            continue
        if folder.name == ALL:
            raise InputError(f"{folder}: the name {ALL!r} is reserved for all defect types together; rename the folder")
        for path in find_images(folder, img_suffix):
            mask = ground_truth / folder.name / f"{path.stem}{mask_suffix}"
            defect = GOOD if folder.name.lower() == GOOD else folder.name
            found.append(TestImage(path, defect, mask if mask.is_file() else None))
    return tuple(found)
