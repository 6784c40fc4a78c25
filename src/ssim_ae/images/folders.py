"""Find the images of a data set in a folder."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import NamedTuple

from ssim_ae.errors import InputError
from ssim_ae.images.formats import SUFFIXES
from ssim_ae.images.masks import MaskFiles, masks_beside
from ssim_ae.images.own_folders import kind_of_own_folder, refuse_own_folder
from ssim_ae.images.search import MAX_WALKED_FOLDERS, Reason, Skipped, list_folder, walk
from ssim_ae.spelling import counted

GOOD = "good"  # folder of good images, and the `defect` of a good test image
ALL = "all"  # reserved: key of the results of all defect types together
TEST_SPLIT_DIVISOR = 5  # without a test folder, about every fifth good image becomes a test image
# What folders are named, in lower case and without spaces, hyphens and underscores.
GOOD_NAMES = (GOOD, "ok", "normal", "pass", "defectfree", "nondefective")
BAD_NAMES = ("bad", "ng", "nok", "notok", "ko", "abnormal", "anomaly", "anomalous", "defect", "defective", "fail")
TRAIN_NAMES, TEST_NAMES = ("train", "training"), ("test", "testing")
GROUND_TRUTH_NAMES = ("groundtruth", "gt", "mask", "masks")
MAX_SUGGESTED = 3  # folders that the message about a folder without images names


@dataclass(frozen=True)
class TestImage:
    """A test image. `defect` is its defect type or "good", `mask` the path of its ground truth, if any.

    `expected_mask` is where the ground truth was looked for. `folder` stands in its name in place of the defect type.
    """

    path: Path
    defect: str
    mask: Path | None = None
    expected_mask: Path | None = None
    folder: str = ""

    @property
    def name(self) -> str:
        """Return `folder/stem`, with the suffix unless it is .png. The name is unique in its data set.

        The folder is the defect type. That of a good image is "good", unless it has another name that means good.
        """
        folder = self.path.parent.name
        means_good = self.defect == GOOD and is_good_name(folder) and folder.lower() != GOOD
        omit_suffix = self.path.suffix == ".png" and not self.path.stem.lower().endswith(SUFFIXES)
        shown = self.folder or (folder if means_good else self.defect)
        return f"{shown}/{self.path.stem if omit_suffix else self.path.name}"


@dataclass(frozen=True)
class Dataset:
    """Good images for training, and test images for evaluation; possibly none of one kind.

    `labeled` is true if the folder does not separate the good images into those for training and for evaluation.
    `notes` say which folders count as good and what was skipped, in a few lines.
    """

    root: Path
    good: tuple[Path, ...]
    test: tuple[TestImage, ...]
    labeled: bool = False
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        return self.root.resolve().name


def find_dataset(
    root: str | os.PathLike[str],
    *,
    more: Sequence[str | os.PathLike[str]] = (),
    img_suffix: str = "",
    mask_suffix: str = "_mask.png",
) -> Dataset:
    """Find the images of a data set in one of four layouts.

    - MVTec AD: `train/good`, `test/<defect type>` and, optionally, `ground_truth/<defect type>`.
    - `good` beside one folder per defect type, and, optionally, `ground_truth/<defect type>`. About every fifth good
      image becomes a test image.
    - A folder of good images.
    - Good images in the folder itself, beside a folder `bad`, `nok`, `defective` or the like with defective ones.

    Folders may be named in any case, `OK`, `normal` or `pass` in place of `good`, and `training` and `testing`. Masks
    may also be in a folder beside that of their images, `<defect type>_masks`.

    Args:
        root: The folder of the data set.
        more: Folders of more good images, in the same layouts; copies of images that are there already do not count.
        img_suffix: If given, only files whose names, or the names without .png or the like, end with it are images.
        mask_suffix: The ground truth of `<stem>.png` is `<stem><mask_suffix>`, that in another image format, or a file
            with the name of its image.

    Raises:
        InputError: The folder does not exist, has no images, or was written by this program.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}")
    for folder in map(Path, more):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; restore it, or take it out of the setting more_paths")
    folders = _find_folders(root)
    good = _images_in(folders.good, img_suffix, mask_suffix)
    test = _test_images(folders, img_suffix, mask_suffix)
    if folders.labeled and any(image.defect != GOOD for image in test):
        tested = _test_split(good)
        test = [*(TestImage(path, GOOD) for path in good if path in tested), *test]
        good = [path for path in good if path not in tested]
    notes = _notes(root, folders, img_suffix, mask_suffix)
    for folder in map(Path, more):
        added = find_dataset(folder, img_suffix=img_suffix, mask_suffix=mask_suffix)
        new = without_copies(added.good, good)
        good += new
        notes += tuple(f"{added.name}: {note}" for note in added.notes)
        notes += (f"{added.name}: {_counts_of_more(added, new)}",)
    if not good and not test:
        where = "no images; looked in train/good, in good and in the folder itself"
        raise InputError("; ".join((f"{root}: {where}", *notes, *_suggestions(root, img_suffix))))
    return Dataset(root, tuple(good), tuple(test), folders.labeled, notes)


def without_copies(images: Sequence[Path], others: Sequence[Path]) -> list[Path]:
    """Return the images whose content is neither that of one of the others nor that of an earlier image."""
    sizes = Counter(path.stat().st_size for path in (*others, *images))
    alike = [path for path in others if sizes[path.stat().st_size] > 1]
    known, new = set(map(content_hash, alike)), []
    for path in images:
        content = content_hash(path) if sizes[path.stat().st_size] > 1 else ""
        if content not in known:
            new.append(path)
        known |= {content} - {""}
    return new


def as_test_images(good: Sequence[Path], others: Sequence[TestImage] = ()) -> list[TestImage]:
    """Return good images as test images beside others; a name that repeats gets the folder's name, and a number."""
    images: list[TestImage] = []
    taken = {image.name for image in others}
    for path in good:
        folder = path.parent.name
        names = chain(["", folder], (f"{folder}-{number}" for number in count(2)))
        named = (TestImage(path, GOOD, folder=name) for name in names)
        images.append(next(image for image in named if image.name not in taken))
        taken.add(images[-1].name)
    return images


def is_good_name(name: str) -> bool:
    """Return whether the name of a folder means that its images are good."""
    return _simplified(name) in GOOD_NAMES


def fingerprint(hashes: Mapping[Path, str]) -> str:
    """Return a hash of the names and contents of a set of files, given the content hash of each file."""
    digest = hashlib.sha256()
    for path, content in hashes.items():
        digest.update(os.fsencode(path.name) + b"\0" + content.encode())
    return digest.hexdigest()


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content as a hexadecimal string."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Folders(NamedTuple):
    """The folders of a data set by what they hold. `defects` are those of test images, the good ones among them."""

    good: list[Path]
    defects: list[Path]
    ground_truth: list[Path]
    labeled: bool = False


def _find_folders(root: Path) -> _Folders:
    """Return the folders of the layout that the names in `root` show."""
    top = list_folder(root).folders
    train, tests = _named(top, TRAIN_NAMES), _named(top, TEST_NAMES)
    tested = [folder for test in tests for folder in list_folder(test).folders]
    masks = [folder for folder in (*top, *tested) if any(_holds_masks_of(folder, each) for each in (*top, *tested))]
    ground_truth = [*_named(top, GROUND_TRUTH_NAMES), *masks] or [root / "ground_truth"]
    defects = [folder for folder in tested if folder not in masks]
    if train:
        good = [folder for each in train for folder in _named(list_folder(each).folders, GOOD_NAMES)]
        has_images = any(list_folder(folder).images for folder in good)
        return _Folders(good if has_images else train, defects, ground_truth)
    if good := _named(top, GOOD_NAMES):
        beside = [folder for folder in top if folder not in (*good, *tests, *ground_truth)]
        types = [folder for folder in beside if not kind_of_own_folder(folder)]
        return _Folders(good, defects + types, ground_truth, labeled=not defects)
    if bad := _named(top, BAD_NAMES):
        return _Folders([root], defects + bad, ground_truth, labeled=not defects)
    return _Folders([root], defects, ground_truth if defects else [])


def _counts_of_more(added: Dataset, new: Sequence[Path]) -> str:
    """Say how many images of another folder count as good, and how many of it do not."""
    others = {"duplicate": len(added.good) - len(new), "test image": len(added.test)}
    skipped = ", ".join(counted(number, kind) for kind, number in others.items() if number)
    return f"{counted(len(new), 'more good image')}{'; skipped: ' * bool(skipped)}{skipped}"


def _images_in(folders: Iterable[Path], img_suffix: str, mask_suffix: str) -> list[Path]:
    """Return the images in folders, without the masks that lie beside them."""
    found: list[Path] = []
    for folder in folders:
        refuse_own_folder(folder, img_suffix)
        images = list_folder(folder, img_suffix).images
        masks = masks_beside(images, mask_suffix)
        found += [path for path in images if path not in masks]
    return found


def _test_images(folders: _Folders, img_suffix: str, mask_suffix: str) -> list[TestImage]:
    found: list[TestImage] = []
    images_of = {folder: _images_in([folder], img_suffix, mask_suffix) for folder in folders.defects}
    types = [folder for folder, images in images_of.items() if images and not is_good_name(folder.name)]
    for folder, images in images_of.items():
        if folder.name == ALL and images:
            raise InputError(f"{folder}: the name {ALL!r} is reserved for all defect types together; rename the folder")
        if is_good_name(folder.name):
            found += [TestImage(path, GOOD) for path in images]
            continue
        own = [each for each in folders.ground_truth if _holds_masks_of(each, folder)]
        only_type = bool(own) or types == [folder]
        masks = MaskFiles(folder, own or folders.ground_truth, img_suffix, mask_suffix, only_type=only_type)
        found += [TestImage(path, folder.name, masks.find(path), masks.expected(path)) for path in images]
    return found


def _test_split(good: Sequence[Path]) -> set[Path]:
    """Return the good images that become test images: about every fifth; of two or more at least one, and never all.

    A hash of the name decides, so that images that are added later do not change the split of the others.
    """
    hashes = {path: hashlib.sha256(os.fsencode(path.name)).digest()[0] for path in good}
    chosen = {path for path, value in hashes.items() if value % TEST_SPLIT_DIVISOR == 0}
    by_hash = sorted(good, key=lambda path: (hashes[path], path.name))
    if len(good) < 2:
        return set()
    return (chosen or {by_hash[0]}) if len(chosen) < len(good) else chosen - {by_hash[-1]}


def _notes(root: Path, folders: _Folders, img_suffix: str, mask_suffix: str) -> tuple[str, ...]:
    """Return which folders count as good, if they are not named `good`, and what is skipped."""
    notes = []
    good = [each for each in (*folders.good, *folders.defects) if is_good_name(each.name) and each != root]
    if named := [each.relative_to(root).as_posix() for each in good if each.name != GOOD]:
        notes.append(f"{', '.join(named)}: counted as good")
    name = root.resolve().name
    if root in folders.good and _simplified(name) in BAD_NAMES:
        notes.append(f"all images count as good, although their folder is named {name}")
    if skipped := _skipped(root, folders, img_suffix, mask_suffix):
        notes.append(f"skipped: {skipped}")
    return tuple(notes)


def _skipped(root: Path, folders: _Folders, img_suffix: str, mask_suffix: str) -> Skipped:
    """Return what is skipped in the folders of a data set, and how many images are in its other folders."""
    read = {folder.resolve() for folder in (*folders.good, *folders.defects)}
    ground_truth = {folder.resolve() for folder in folders.ground_truth}
    found = Skipped(suffix=img_suffix)
    own: set[Path] = set()
    walked = walk(root, img_suffix)
    for contents in islice(walked, MAX_WALKED_FOLDERS):
        folder = contents.folder.resolve()
        within = contents.folder.relative_to(root).as_posix()
        if not (ground_truth | own).isdisjoint((folder, *folder.parents)):
            continue
        if folder not in read and kind_of_own_folder(folder):
            own.add(folder)
            found.add(Reason.OWN_FOLDER, [within])
        elif folder in read:
            found.update(contents.skipped, within)
            if contents.folder in folders.good or is_good_name(folder.name):
                masks = masks_beside(contents.images, mask_suffix)
                found.update(Skipped({Reason.MASK: sorted(path.name for path in masks)}), within)
        else:
            found.add(Reason.OTHER_FOLDER, [within] * len(contents.images))
            found.update(contents.skipped.only(Reason.LEFT_BEHIND, Reason.UNREADABLE), within)
    found.complete = next(walked, None) is None
    return found


def _suggestions(root: Path, img_suffix: str) -> list[str]:
    """Return in words which folders below `root` may be the data set that was meant; nothing if there is none."""
    found: dict[str, None] = {}
    role_names = (*TRAIN_NAMES, *TEST_NAMES, *GOOD_NAMES)
    for contents in islice(walk(root, img_suffix), MAX_WALKED_FOLDERS):
        parts = contents.folder.relative_to(root).parts
        roles = [index for index, part in enumerate(parts) if _simplified(part) in role_names]
        parts = parts[: roles[0]] if roles else parts
        above = [root.joinpath(*parts[: length + 1]) for length in range(len(parts))]
        if contents.images and parts and not any(map(kind_of_own_folder, above)):
            found.setdefault("/".join(parts))
    listed = [str(root / name) for name in islice(found, MAX_SUGGESTED)]
    return [f"name another folder, such as {' or '.join(listed)}"] if listed else []


def _holds_masks_of(folder: Path, images: Path) -> bool:
    """Whether a folder is named after one of images, with a word for masks added, such as `hole_masks`."""
    return _simplified(folder.name) in [_simplified(images.name) + name for name in GROUND_TRUTH_NAMES]


def _named(folders: Iterable[Path], names: Sequence[str]) -> list[Path]:
    return [folder for folder in folders if _simplified(folder.name) in names]


def _simplified(name: str) -> str:
    return name.lower().translate(str.maketrans("", "", " -_"))
