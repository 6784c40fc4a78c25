"""Color images of 16 bits per channel at their full depth. Pillow alone keeps the upper 8 bits only."""

import re
import sys
from typing import IO, cast

import numpy as np
from PIL import Image, ImageFile, ImageOps

DEEP_GRAY_ALPHA = "LA;16B"  # Pillow's raw mode of 16-bit gray with alpha, in PNG files
DEEP_COLOR = re.compile(r"(RGB[AX]?);16([BLN])")  # channels and byte order: big, little, native
OTHER_BYTE_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_deep_color(image: Image.Image) -> bool:
    """Whether loading the pixels of an opened image would cut them to 8 bits. They are not loaded yet."""
    raw_mode = _raw_mode(image)
    return raw_mode == DEEP_GRAY_ALPHA or bool(DEEP_COLOR.fullmatch(raw_mode))


def deep_pixels(image: ImageFile.ImageFile) -> np.ndarray:
    """Return the upright pixels of a deep color image, (H, W, 3) uint16, or (H, W, 1) for gray with alpha.

    The image itself is not loaded. Pillow decodes the file once for the upper and once for the lower bytes: read in
    the other byte order, the upper byte of a value is its lower one.
    """
    raw_mode = _raw_mode(image)
    if raw_mode == DEEP_GRAY_ALPHA:  # as many bytes per pixel as 8-bit RGBA
        high, low = np.split(_decode(image, "RGBA")[:, :, :2].astype(np.uint16), 2, axis=2)
        return high << 8 | low
    channels, byte_order = cast(re.Match[str], DEEP_COLOR.fullmatch(raw_mode)).groups()
    values = _decode(image, raw_mode)[:, :, :3].astype(np.uint16)
    values <<= 8
    values |= _decode(image, f"{channels};16{OTHER_BYTE_ORDER[byte_order]}")[:, :, :3]
    return values


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's name for the layout of the pixels in the file, "" if they are loaded already."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else ""
    return str(args[0]) if isinstance(args, tuple) and args else str(args)


def _decode(image: ImageFile.ImageFile, raw_mode: str) -> np.ndarray:
    """Open the file of an image again and decode it with another raw mode, (H, W, C) uint8."""
    again = Image.open(cast(IO[bytes], image.fp), formats=(str(image.format),))
    again.seek(image.tell())
    again.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in again.tile
    ]
    return np.asarray(ImageOps.exif_transpose(again))
