"""Writers of image files that Pillow cannot write."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PNG_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by number of channels
# first row, first column, row step and column step of the seven passes of an interlaced PNG file
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered_lines(values: np.ndarray) -> bytes:
    """Encode (H, W, C) uint16; every other line is stored as the difference from the line above."""
    lines = values.astype(">u2").reshape(len(values), -1).view(np.uint8)
    above = np.vstack([np.zeros_like(lines[:1]), lines[:-1]])
    kinds = np.arange(len(lines)) % 2 * 2
    return b"".join(
        bytes([kind]) + (line - upper if kind else line).tobytes()
        for kind, line, upper in zip(kinds, lines, above, strict=True)
    )


@pytest.fixture
def write_png16() -> Callable[..., Path]:
    """Return a function that writes (H, W, C) uint16 as PNG, upright by an EXIF orientation."""

    def write(path: Path, values: np.ndarray, *, interlaced: bool = False, orientation: int = 1) -> Path:
        height, width, channels = values.shape
        parts = [values[y::dy, x::dx] for y, x, dy, dx in PASSES] if interlaced else [values]
        pixels = b"".join(filtered_lines(part) for part in parts if part.size)
        header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOR_TYPES[channels], 0, 0, interlaced)
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = png_chunk(b"IHDR", header) + png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        content += png_chunk(b"IDAT", zlib.compress(pixels))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + png_chunk(b"IEND", b""))
        return path

    return write
