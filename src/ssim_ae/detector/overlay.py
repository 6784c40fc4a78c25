"""The overlay of an inspection: heatmap, outlines of the defects, and a line with the verdict below the image."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ssim_ae.images.colors import outlined
from ssim_ae.images.own_folders import SOFTWARE, SOFTWARE_KEY

VERDICT_COLORS = {"ok": (0, 114, 178), "nok": (192, 79, 0)}  # those of the pages
TEXT_COLOR = (255, 255, 255)
MIN_TEXT_SIZE, MAX_TEXT_SIZE = 6, 48  # px
IMAGE_PER_TEXT = 28  # height of the image / size of the text
TEXT_MARGIN = 4  # px
MIN_OUTLINE, MAX_OUTLINE = 2, 8  # px
IMAGE_PER_OUTLINE = 256  # shorter side of the image / width of an outline


def draw_overlay(heatmap: np.ndarray, mask: np.ndarray, verdict: str, text: str) -> np.ndarray:
    """Draw the outlines of `mask` (H, W) bool on a heatmap (H, W, 3) uint8, and `text` below it.

    Returns (H + n, W, 3) uint8: the pixels of the image keep their coordinates, and the text covers none.
    """
    width = round(min(mask.shape) / IMAGE_PER_OUTLINE)
    image = outlined(heatmap, mask, width=min(max(width, MIN_OUTLINE), MAX_OUTLINE))
    return np.concatenate([image, _line(text, VERDICT_COLORS[verdict], *mask.shape)])


def overlay_png(overlay: np.ndarray) -> bytes:
    """Encode an overlay (H, W, 3) uint8 as PNG, marked as written by SSIM-AE."""
    mark = PngInfo()
    mark.add_text(SOFTWARE_KEY, SOFTWARE)
    buffer = BytesIO()
    Image.fromarray(overlay).save(buffer, "PNG", compress_level=1, pnginfo=mark)
    return buffer.getvalue()


def _line(text: str, color: tuple[int, int, int], height: int, width: int) -> np.ndarray:
    """Draw a line of text that suits an image of height x width px and fits its width, (n, width, 3) uint8."""
    size = min(max(height / IMAGE_PER_TEXT, 2 * MIN_TEXT_SIZE), MAX_TEXT_SIZE)
    fitting = (width - 2 * TEXT_MARGIN) / ImageFont.load_default(MAX_TEXT_SIZE).getlength(text) * MAX_TEXT_SIZE
    font = ImageFont.load_default(max(min(size, fitting), MIN_TEXT_SIZE))
    line = Image.new("RGB", (width, round(font.size * 1.2) + 2 * TEXT_MARGIN), color)  # type: ignore[union-attr]
    ImageDraw.Draw(line).text((TEXT_MARGIN, line.height // 2), text, TEXT_COLOR, font, anchor="lm")
    return np.asarray(line)
