"""Files that show the suspects to a person: a picture of each, and a list for the setting `exclude`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ssim_ae.calibration.suspects import MAX_NAMED_IMAGES, Suspect
from ssim_ae.console import escape_unprintable, print_note
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.images.colors import outlined
from ssim_ae.images.exclusions import exclusion_list
from ssim_ae.images.files import write_png
from ssim_ae.spelling import counted, listed
from ssim_ae.storage import write_atomic

SHEET_NAME = "suspects.png"
LIST_NAME = "suspects.txt"
MAX_PICTURES = 24
COLUMNS = 3  # suspects side by side
PICTURE_SIZE = 200  # px
LABEL_HEIGHT = 24  # px
MAX_LABEL_LENGTH = 44  # characters
BACKGROUND_COLOR = (250, 250, 248)
TEXT_COLOR = (30, 30, 34)


def write_suspects(folder: Path, detector: Detector, suspects: Sequence[Suspect], root: Path) -> None:
    """Write suspects.png, the first suspects beside their heatmaps, and suspects.txt, all of them, into `folder`.

    Without suspects, the files of an earlier calibration are removed. `root` is the folder of the data set.
    """
    if not suspects:
        for name in (SHEET_NAME, LIST_NAME):
            (folder / name).unlink(missing_ok=True)
        return
    heading = (
        f"Good images that may be defective, the most unusual first; {SHEET_NAME} shows them.",
        "Copy the lines of those that are defective to a file of your own, and train again with --exclude FILE.",
    )
    write_atomic(folder / LIST_NAME, exclusion_list([suspect.path for suspect in suspects], root, heading))
    shown = suspects[:MAX_PICTURES]
    tiles = []
    for suspect, inspection in zip(shown, detector.inspect_all([suspect.path for suspect in shown]), strict=True):
        if not isinstance(inspection, InputError):
            tiles.append(_tile(suspect, inspection))
    if tiles:
        write_png(folder / SHEET_NAME, _sheet(tiles))
        names = listed([suspect.path.name for suspect in suspects], MAX_NAMED_IMAGES)
        count = counted(len(suspects), "good image")
        print_note(
            f"{folder / SHEET_NAME}: {count} that may be defective: {names}; {LIST_NAME} is a list for --exclude"
        )


def _tile(suspect: Suspect, inspection: Inspection) -> np.ndarray:
    """Return a suspect beside its heatmap, with its name and distance above."""
    tile = Image.new("RGB", (2 * PICTURE_SIZE + 12, PICTURE_SIZE + LABEL_HEIGHT + 8), BACKGROUND_COLOR)
    pictures = (inspection.image, outlined(inspection.heatmap, inspection.mask))
    for index, picture in enumerate(pictures):
        resized = ImageOps.pad(
            Image.fromarray(picture), (PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.LANCZOS, BACKGROUND_COLOR
        )
        tile.paste(resized, (4 + index * (PICTURE_SIZE + 2), LABEL_HEIGHT))
    label = f"{escape_unprintable(suspect.path.name)[-MAX_LABEL_LENGTH:]}  distance {suspect.distance:.1f}"
    if suspect.left_out:
        label += "  left out"
    ImageDraw.Draw(tile).text((4, 4), label, TEXT_COLOR, ImageFont.load_default(14))
    return np.asarray(tile)


def _sheet(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Return tiles of equal size side by side in rows."""
    empty = np.full_like(tiles[0], BACKGROUND_COLOR[0])
    columns = min(COLUMNS, len(tiles))
    filled = [*tiles, *[empty] * (-len(tiles) % columns)]
    rows = [np.concatenate(filled[start : start + columns], axis=1) for start in range(0, len(filled), columns)]
    return np.concatenate(rows)
