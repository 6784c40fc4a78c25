"""Pictures of what was found: four an image, and one sheet to take in at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.evaluation.results import Case
from ssim_ae.images.colours import DETECTED, TRUTH, heatmap, outlined
from ssim_ae.images.files import read_image, write_png
from ssim_ae.maps.levels import levels_image
from ssim_ae.storage import write_whole

SHEET_CASES = 24
CELL = 150  # px
GAP = 8  # px
SMALL = 256  # px, the longer side of a picture in a gallery
INK, FAINT, PAPER = (30, 30, 34), (120, 120, 128), (250, 250, 248)
RIGHT, WRONG = (20, 120, 70), (200, 30, 45)
COLUMNS = ("original", "reconstruction", "heatmap", "found and truth")


def write_case(folder: Path, case: Case, inspection: Inspection) -> None:
    """Write the reference's four pictures of an image: `<name>_origin`, `_rec`, `_residual` and `_visual`.

    All show the part that was inspected; `_residual` is the mask. From `_levels` a page draws outlines and heatmap at
    any limit, `_small` is for its gallery.
    """
    original = inspection.inspected
    mask = inspection.above(1)
    path = folder / case.image.name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written: {error.strerror}") from error
    shown = {
        "origin": original,
        "rec": inspection.reconstruction,
        "residual": mask,
        "visual": outlined(heatmap(original, inspection.anomaly), mask),
        "levels": levels_image(inspection.levels, case.truth),
    }
    for kind, picture in shown.items():
        write_png(path.with_name(f"{path.name}_{kind}.png"), picture)
    write_whole(path.with_name(f"{path.name}_small.jpg"), _small(original))


def _small(picture: np.ndarray) -> bytes:
    image = Image.fromarray(picture)
    image.thumbnail((SMALL, SMALL))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def write_contact_sheet(folder: Path, cases: Sequence[Case], title: str) -> None:
    """Draw contact_sheet.png from the pictures in `folder`: the worst mistakes, then the closest calls."""
    chosen = choose(cases)
    wrong = sum(not case.right for case in cases)
    rows = [_strip(folder, case) for case in chosen]
    half = (len(rows) + 1) // 2
    columns = [np.concatenate(rows[:half])]
    if rows[half:]:
        filler = [np.full_like(rows[0], PAPER[0])] * (half - len(rows[half:]))
        columns.append(np.concatenate([*rows[half:], *filler]))
    body = np.concatenate(columns, axis=1)
    head = _head(body.shape[1], f"{title}: {len(cases)} test images, {wrong} judged wrong", len(columns))
    write_png(folder / "contact_sheet.png", np.concatenate([head, body]))


def choose(cases: Sequence[Case], count: int = SHEET_CASES) -> list[Case]:
    """Return the worst mistakes first, then the closest right calls of each type in turn."""

    def distance(case: Case) -> float:
        return abs(float(np.log(max(case.score, 1e-6))))

    wrong = sorted((case for case in cases if not case.right), key=distance, reverse=True)
    right: dict[str, list[Case]] = {}
    for case in sorted((case for case in cases if case.right), key=distance):
        right.setdefault(case.image.defect, []).append(case)
    turns = [
        queue[turn]
        for turn in range(max(map(len, right.values()), default=0))
        for queue in right.values()
        if turn < len(queue)
    ]
    return (wrong + turns)[:count]


def _strip(folder: Path, case: Case) -> np.ndarray:
    picture = {kind: read_image(folder / "images" / f"{case.image.name}_{kind}.png") for kind in ("origin", "rec")}
    original = picture["origin"]
    found = outlined(original, case.anomaly > 1, DETECTED)
    if case.truth is not None:
        found = outlined(found, case.truth, TRUTH)
    cells = (original, picture["rec"], heatmap(original, case.anomaly), found)
    strip = Image.new("RGB", (4 * (CELL + 2) + GAP * 2, CELL + 30), PAPER)
    for index, cell in enumerate(cells):
        strip.paste(
            Image.fromarray(cell).resize((CELL, CELL), Image.Resampling.LANCZOS),
            (GAP + index * (CELL + 2), 24),
        )
    draw = ImageDraw.Draw(strip)
    verdict = "nok" if case.score > 1 else "ok"
    draw.text((GAP, 4), case.image.name, INK, _font(14))
    label = f"score {case.score:.2f}  {verdict}" + ("" if case.right else "  wrong")
    draw.text((GAP + 4 * (CELL + 2) - 2, 4), label, RIGHT if case.right else WRONG, _font(14), anchor="ra")
    return np.asarray(strip)


def _head(width: int, title: str, columns: int) -> np.ndarray:
    head = Image.new("RGB", (width, 76), PAPER)
    draw = ImageDraw.Draw(head)
    draw.text((GAP, 8), title, INK, _font(22))
    legend = ((GAP, "found", DETECTED), (GAP + 80, "ground truth", TRUTH))
    for x, text, colour in legend:
        draw.rectangle((x, 42, x + 12, 50), colour)
        draw.text((x + 18, 38), text, FAINT, _font(13))
    draw.text((GAP + 200, 38), "score above 1 is nok; mistakes first, then the closest calls", FAINT, _font(13))
    for column in range(columns):
        for index, name in enumerate(COLUMNS):
            x = column * (width // columns) + GAP + index * (CELL + 2)
            draw.text((x, 60), name, FAINT, _font(12))
    return np.asarray(head)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
