"""Draw one image with the errors of an evaluation, and with the correct results closest to the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ssim_ae.evaluation.results import ImageResult
from ssim_ae.images.colors import GROUND_TRUTH_OUTLINE_COLOR, MASK_OUTLINE_COLOR, heatmap, outlined
from ssim_ae.images.files import read_image, write_png
from ssim_ae.maps.levels import read_levels_image
from ssim_ae.maps.verdict import THRESHOLD, is_defective
from ssim_ae.spelling import counted

MAX_SHEET_RESULTS = 24  # on a sheet
CELL_SIZE = 150  # px
CELL_SPACING = 2  # px, between the cells of a result
MARGIN = 8  # px, on both sides of a result
LABEL_HEIGHT = 24  # px, above the cells of a result
ROW_HEIGHT = CELL_SIZE + 30  # px
HEADER_HEIGHT = 76  # px
MIN_LOG_SCORE = 1e-6  # smaller scores are replaced by it before the logarithm is taken

BACKGROUND_COLOR = (250, 250, 248)
TEXT_COLOR = (30, 30, 34)
MUTED_COLOR = (120, 120, 128)
CORRECT_COLOR = (20, 120, 70)
ERROR_COLOR = (200, 30, 45)


def write_contact_sheet(folder: Path, results: Sequence[ImageResult], shown: Sequence[ImageResult], title: str) -> None:
    """Draw contact_sheet.png into `folder`: results that are `shown`, of which it has the files of `write_images`."""
    selected = select_results(shown)
    has_reconstruction = all(_image_file(folder, result, "rec").exists() for result in selected)
    pictures = ("original", "reconstruction", "heatmap") if has_reconstruction else ("original", "heatmap")
    rows = [_row(folder, result, pictures) for result in selected]
    half = (len(rows) + 1) // 2
    columns = [np.concatenate(rows[:half])]
    if rows[half:]:
        empty_rows = [np.full_like(rows[0], BACKGROUND_COLOR[0])] * (half - len(rows[half:]))
        columns.append(np.concatenate([*rows[half:], *empty_rows]))
    body = np.concatenate(columns, axis=1)
    with_ground_truth = any(result.has_ground_truth and result.defective for result in results)
    title = f"{title}: {_summary(results)}"
    header = _header(body.shape[1], title, pictures, len(columns), with_ground_truth=with_ground_truth)
    write_png(folder / "contact_sheet.png", np.concatenate([header, body]))


def select_results(results: Sequence[ImageResult], count: int = MAX_SHEET_RESULTS) -> list[ImageResult]:
    """Return up to `count` results: errors farthest from the threshold, then correct ones closest to it.

    The correct ones alternate between the defect types.
    """
    return (errors_by_distance(results) + correct_by_distance(results))[:count]


def errors_by_distance(results: Sequence[ImageResult]) -> list[ImageResult]:
    """Return the results with a wrong verdict, those farthest from the threshold first."""
    return sorted((result for result in results if not result.correct), key=_distance, reverse=True)


def correct_by_distance(results: Sequence[ImageResult]) -> list[ImageResult]:
    """Return the results with a correct verdict, those closest to the threshold first, alternating between types."""
    correct: dict[str, list[ImageResult]] = {}
    for result in sorted((result for result in results if result.correct), key=_distance):
        correct.setdefault(result.image.defect, []).append(result)
    ranks = zip_longest(*correct.values())
    return [result for of_rank in ranks for result in of_rank if result is not None]


def _distance(result: ImageResult) -> float:
    return abs(float(np.log(max(result.score, MIN_LOG_SCORE))))


def _image_file(folder: Path, result: ImageResult, kind: str) -> Path:
    return folder / "images" / f"{result.files}_{kind}.png"


def _row(folder: Path, result: ImageResult, pictures: Sequence[str]) -> np.ndarray:
    """Draw the pictures of a result, and its mask, below its name and verdict."""
    original = read_image(_image_file(folder, result, "origin"))
    anomaly, ground_truth = read_levels_image(read_image(_image_file(folder, result, "levels")))
    cells = {"original": original, "heatmap": heatmap(original, anomaly)}
    if "reconstruction" in pictures:
        cells["reconstruction"] = read_image(_image_file(folder, result, "rec"))
    outlines = outlined(original, is_defective(anomaly), MASK_OUTLINE_COLOR)
    outlines = outlined(outlines, ground_truth, GROUND_TRUTH_OUTLINE_COLOR)
    count = len(pictures) + 1
    row = Image.new("RGB", (count * (CELL_SIZE + CELL_SPACING) + MARGIN * 2, ROW_HEIGHT), BACKGROUND_COLOR)
    for index, cell in enumerate([*(cells[name] for name in pictures), outlines]):
        resized = ImageOps.pad(
            Image.fromarray(cell), (CELL_SIZE, CELL_SIZE), Image.Resampling.LANCZOS, BACKGROUND_COLOR
        )
        row.paste(resized, (_cell_left(index), LABEL_HEIGHT))
    draw = ImageDraw.Draw(row)
    draw.text((MARGIN, 4), result.image.name, TEXT_COLOR, _font(14))
    color = CORRECT_COLOR if result.correct else ERROR_COLOR
    right = _cell_left(count) - CELL_SPACING
    draw.text((right, 4), f"score {result.score:.2f}  {_verdict(result)}", color, _font(14), anchor="ra")
    return np.asarray(row)


def _summary(results: Sequence[ImageResult]) -> str:
    """Return the numbers of images and of errors in words; without defective images, an error is a false alarm."""
    kind, error = ("image", "errors") if any(result.defective for result in results) else ("good image", "false alarms")
    errors = sum(not result.correct for result in results)
    return f"{counted(len(results), kind)}, {error}: {errors}"


def _verdict(result: ImageResult) -> str:
    if result.rejected:
        return "nok" if result.correct else "nok, false alarm"
    return "ok" if result.correct else "ok, missed"


def _header(width: int, title: str, pictures: Sequence[str], columns: int, *, with_ground_truth: bool) -> np.ndarray:
    header = Image.new("RGB", (width, HEADER_HEIGHT), BACKGROUND_COLOR)
    draw = ImageDraw.Draw(header)
    draw.text((MARGIN, 8), title, TEXT_COLOR, _font(22))
    outlines = [("mask", MASK_OUTLINE_COLOR), ("ground truth", GROUND_TRUTH_OUTLINE_COLOR)][: 1 + with_ground_truth]
    x = MARGIN
    for text, color in outlines:
        draw.rectangle((x, 42, x + 12, 50), color)
        draw.text((x + 18, 38), text, MUTED_COLOR, _font(13))
        x += round(_font(13).getlength(text)) + 48
    order = f"threshold {THRESHOLD:g}; errors first, then the scores closest to the threshold"
    draw.text((x, 38), order, MUTED_COLOR, _font(13))
    for column in range(columns):
        for index, cell_title in enumerate((*pictures, ", ".join(text for text, _ in outlines))):
            x = column * (width // columns) + _cell_left(index)
            draw.text((x, 60), cell_title, MUTED_COLOR, _font(12))
    return np.asarray(header)


def _cell_left(index: int) -> int:
    """Return the left edge of a cell of a row, in px."""
    return MARGIN + index * (CELL_SIZE + CELL_SPACING)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
