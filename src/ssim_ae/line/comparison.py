"""What a candidate would change: the verdicts of reviewed and held-out images by it and by the current detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ssim_ae.console import escape_unprintable, print_note
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.errors import InputError
from ssim_ae.images.files import write_png
from ssim_ae.line.reviews import ReviewedImage
from ssim_ae.maps.verdict import is_defective
from ssim_ae.training.recalibrate import known_images

SHEET_NAME = "changes.png"
MAX_PICTURES = 24
PICTURE_SIZE = 240  # px
LABEL_HEIGHT = 24  # px
BACKGROUND_COLOR = (250, 250, 248)
TEXT_COLOR = (30, 30, 34)
GROUPS = {"good": "confirmed good", "defective": "confirmed defective", "held out": "held-out good"}


class Compared(NamedTuple):
    """An image, its group (a key of GROUPS), and its scores by the current detector and by the candidate."""

    path: Path
    name: str
    group: str
    before: float
    after: float

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


def compare(run: Path, candidate: Path, reviewed: Sequence[ReviewedImage]) -> list[Compared]:
    """Inspect all reviewed images, and those held out of the training, with the current detector and the candidate.

    Write the images whose verdicts differ into `changes.png` of the candidate. Images that cannot be read are left out,
    with a note.
    """
    file = read_detector(detector_path(run))
    images = [(image.path, image.name, str(image.verdict)) for image in reviewed]
    try:
        images += [(path, path.name, "held out") for path in known_images(file, run).held_out]
    except InputError as error:
        print_note(f"no held-out images are compared: {error}")
    paths = [path for path, _, _ in images]
    both = [Detector.load(place).inspect_all(paths) for place in (run, candidate)]
    compared: list[Compared] = []
    pictures: list[Image.Image] = []
    for (path, name, group), before, after in zip(images, *both, strict=True):
        if isinstance(before, InputError) or isinstance(after, InputError):
            print_note(f"{name}: left out: it cannot be read any more")
            continue
        image = Compared(path, name, group, before.score, after.score)
        compared.append(image)
        if image.is_changed and len(pictures) < MAX_PICTURES:
            pictures.append(_picture(image, before.overlay, after.overlay))
    if pictures:
        write_png(candidate / SHEET_NAME, np.concatenate([np.asarray(picture) for picture in pictures]))
    return compared


def _picture(image: Compared, before: np.ndarray, after: np.ndarray) -> Image.Image:
    """Return an image as the current detector sees it, beside it as the candidate does, with a line above."""
    sheet = Image.new("RGB", (2 * PICTURE_SIZE + 12, PICTURE_SIZE + LABEL_HEIGHT + 8), BACKGROUND_COLOR)
    for index, picture in enumerate((before, after)):
        size = (PICTURE_SIZE, PICTURE_SIZE)
        resized = ImageOps.pad(Image.fromarray(picture), size, Image.Resampling.LANCZOS, BACKGROUND_COLOR)
        sheet.paste(resized, (4 + index * (PICTURE_SIZE + 4), LABEL_HEIGHT))
    former, new = image.verdicts
    label = f"{GROUPS[image.group]}: {former} -> {new}  {escape_unprintable(image.name)[-30:]}"
    ImageDraw.Draw(sheet).text((4, 4), label, TEXT_COLOR, ImageFont.load_default(14))
    return sheet
