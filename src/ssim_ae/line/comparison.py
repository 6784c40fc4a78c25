"""What a candidate would change: the verdicts of reviewed and held-out images by it and by the current detector."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from pydantic import BaseModel, FiniteFloat, ValidationError

from ssim_ae.console import escape_unprintable, print_note, progress
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.errors import InputError
from ssim_ae.images.files import write_png
from ssim_ae.line.reviews import ReviewedImage
from ssim_ae.maps.verdict import is_defective
from ssim_ae.storage import read_file, write_atomic
from ssim_ae.training.recalibrate import known_images

SHEET_NAME = "changes.png"
PICTURES_NAME = "changes"  # folder of the pictures on the sheet: 0.png, 1.png, ...
COMPARISON_NAME = "comparison.json"
MAX_PICTURES = 24
PICTURE_SIZE = 240  # px
LABEL_HEIGHT = 24  # px
GAP = 4  # px
BACKGROUND_COLOR = (250, 250, 248)
TEXT_COLOR = (30, 30, 34)
Group = Literal["good", "defective", "held out"]
GROUPS: dict[Group, str] = {
    "good": "confirmed good",
    "defective": "confirmed defective",
    "held out": "held-out good",
}


class ComparedImage(BaseModel):
    """An image, its group, and its scores by the current detector and by the candidate.

    `picture` is the number of its picture, if its verdict changes and it is among the first MAX_PICTURES.
    """

    name: str
    group: Group
    before: FiniteFloat
    after: FiniteFloat
    picture: int | None = None

    @property
    def verdicts(self) -> tuple[str, str]:
        """The verdicts by the current detector and by the candidate."""
        before, after = ("nok" if is_defective(score) else "ok" for score in (self.before, self.after))
        return before, after

    @property
    def is_changed(self) -> bool:
        """Whether the verdicts differ."""
        before, after = self.verdicts
        return before != after


class ComparedGroup(BaseModel):
    """How many images of a group there are, and how many of them each detector rejects."""

    title: str
    images: int
    rejected_before: int
    rejected_after: int


class Comparison(BaseModel):
    """All images that a candidate was compared on."""

    images: list[ComparedImage]

    @property
    def changed(self) -> list[ComparedImage]:
        """The images whose verdicts differ."""
        return [image for image in self.images if image.is_changed]

    def groups(self) -> list[ComparedGroup]:
        """Return the counts of each group, also of those without images."""
        groups = []
        for group in get_args(Group):
            verdicts = [image.verdicts for image in self.images if image.group == group]
            before, after = (sum(pair[index] == "nok" for pair in verdicts) for index in (0, 1))
            title = GROUPS[group]
            groups.append(
                ComparedGroup(title=title, images=len(verdicts), rejected_before=before, rejected_after=after)
            )
        return groups


def compare(run: Path, candidate: Path, reviewed: Sequence[ReviewedImage]) -> Comparison:
    """Inspect all reviewed images, and those held out of the training, with the current detector and the candidate.

    Write the comparison into the folder of the candidate, with pictures of the images whose verdicts differ. Images
    that cannot be read are left out, with a note.
    """
    file = read_detector(detector_path(run))
    images: list[tuple[Path, str, Group]] = [(image.path, image.name, image.verdict) for image in reviewed]
    try:
        images += [(path, path.name, "held out") for path in known_images(file, run).held_out]
    except InputError as error:
        print_note(f"no held-out images are compared: {error}")
    paths = [path for path, _, _ in images]
    both = [Detector.load(place).inspect_all(paths) for place in (run, candidate)]
    compared: list[ComparedImage] = []
    pictures: list[np.ndarray] = []
    with progress("comparing", len(images)) as bar:
        for (_, name, group), before, after in zip(images, *both, strict=True):
            bar.advance()
            if isinstance(before, InputError) or isinstance(after, InputError):
                print_note(f"{name}: left out: it cannot be read any more")
                continue
            image = ComparedImage(name=name, group=group, before=before.score, after=after.score)
            if image.is_changed and len(pictures) < MAX_PICTURES:
                image.picture = len(pictures)
                pictures.append(_side_by_side(before, after))
            compared.append(image)
    comparison = Comparison(images=compared)
    _write(candidate, comparison, pictures)
    return comparison


def read_comparison(candidate: Path) -> Comparison | None:
    """Return the comparison of a candidate, or None if it has none: it was killed before."""
    try:
        return Comparison.model_validate_json(read_file(candidate / COMPARISON_NAME))
    except (InputError, ValidationError):
        return None


def picture_path(candidate: Path, number: int) -> Path:
    """Return the file with the picture of a compared image."""
    return candidate / PICTURES_NAME / f"{number}.png"


def _write(candidate: Path, comparison: Comparison, pictures: Sequence[np.ndarray]) -> None:
    shutil.rmtree(candidate / PICTURES_NAME, ignore_errors=True)
    if pictures:
        (candidate / PICTURES_NAME).mkdir()
        labeled = zip(comparison.changed, pictures, strict=False)
        write_png(candidate / SHEET_NAME, np.concatenate([_labeled(*pair) for pair in labeled]))
        for number, picture in enumerate(pictures):
            write_png(picture_path(candidate, number), picture)
    write_atomic(candidate / COMPARISON_NAME, comparison.model_dump_json())  # last: with it all pictures are there


def _side_by_side(before: Inspection, after: Inspection) -> np.ndarray:
    """Return an image as the current detector sees it, and beside it as the candidate does: (H, W, 3) uint8."""
    size = (PICTURE_SIZE, PICTURE_SIZE)
    pictures = [
        ImageOps.contain(Image.fromarray(inspection.overlay), size, Image.Resampling.LANCZOS)
        for inspection in (before, after)
    ]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (2 * width + GAP, height), BACKGROUND_COLOR)
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index * (width + GAP), 0))
    return np.asarray(sheet)


def _labeled(image: ComparedImage, picture: np.ndarray) -> np.ndarray:
    """Return a picture with a line above that says what changes."""
    sheet = Image.new("RGB", (2 * PICTURE_SIZE + 3 * GAP, PICTURE_SIZE + LABEL_HEIGHT + 2 * GAP), BACKGROUND_COLOR)
    sheet.paste(Image.fromarray(picture), (GAP, LABEL_HEIGHT))
    former, new = image.verdicts
    label = f"{GROUPS[image.group]}: {former} -> {new}  {escape_unprintable(image.name)[-30:]}"
    ImageDraw.Draw(sheet).text((GAP, GAP), label, TEXT_COLOR, ImageFont.load_default(14))
    return np.asarray(sheet)
