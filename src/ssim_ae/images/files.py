"""Read and write one image, safely. What cannot be read is named, with the reason, in one line."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ssim_ae.errors import InputError
from ssim_ae.storage import write_whole

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 89_478_485  # Pillow's own limit of what is surely no decompression bomb
MAX_BYTES = 512 * 2**20
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read(path: Path, *, grayscale: bool = False) -> np.ndarray:
    """Return the image, upright, as (H, W, C): C = 1 if `grayscale`, else 3 in RGB order.

    uint8 in [0, 255]; 16-bit gray files give uint16. Alpha is dropped. Raises InputError, one line with the path.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB")
        with Image.open(path, formats=FORMATS) as file:
            width, height = file.size
            if width * height > MAX_PIXELS:
                raise InputError(f"{path}: {width} x {height} px, more than the {MAX_PIXELS:,} px accepted")
            upright = ImageOps.exif_transpose(file)
            return _array(upright, path, grayscale=grayscale)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path}: more than the {MAX_PIXELS:,} px accepted") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: {_unidentified(path)}") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not an image") from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a decoder may raise anything on a damaged file
        raise InputError(f"{path}: damaged ({str(error).splitlines()[0] if str(error) else 'unreadable'})") from error


def read_mask(path: Path) -> np.ndarray:
    """Return a ground-truth mask as (H, W) bool: True where the file is not black."""
    return (read(path, grayscale=True) > 0)[:, :, 0]


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W), (H, W, 1) or (H, W, 3) uint8 as PNG. A bool array becomes black and white."""
    pixels = image.astype(np.uint8) * 255 if image.dtype == bool else image
    buffer = BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).save(buffer, "PNG", compress_level=1)
    write_whole(path, buffer.getvalue())


def _array(file: Image.Image, path: Path, *, grayscale: bool) -> np.ndarray:
    if file.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(file)
        if values.min() < 0 or values.max() > 65_535:
            raise InputError(f"{path}: 32-bit gray is not supported; save it as 8 or 16 bit")
        gray = values.astype(np.uint16)[:, :, None]
        return gray if grayscale else np.repeat(gray, 3, axis=2)
    if file.mode == "F":
        raise InputError(f"{path}: floating-point gray is not supported; save it as 8 or 16 bit")
    if file.mode == "P":  # a palette may hold transparency, which Pillow wants to see converted first
        file = file.convert("RGBA")
    array = np.asarray(file.convert("L" if grayscale else "RGB"))
    return array[:, :, None] if grayscale else array


def _unidentified(path: Path) -> str:
    if path.stat().st_size == 0:
        return "an empty file"
    try:
        with Image.open(path) as file:
            return f"{file.format} is not supported; save it as PNG, JPEG, BMP, TIFF or WebP"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "not an image, or damaged"
