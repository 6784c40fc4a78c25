"""Read and write one image, safely. What cannot be read is named, with the reason, in one line."""

import errno
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ssim_ae.errors import InputError
from ssim_ae.storage import write_whole

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 89_478_485  # Pillow's own limit of what is surely no decompression bomb
MAX_BYTES = 512 * 2**20
MAX_SIDE = 32_768  # px: resizing a line takes memory by its length
MAX_PREVIEWS = 16  # in one file
MAX_SCANS = 100  # of a progressive JPEG, ten times what programs write
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a TIFF tag, and what Pillow heeds at 8 bits alone
MACHINE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)  # no fault of the image
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def read(path: Path, *, grayscale: bool = False) -> np.ndarray:
    """Return the image in a file, as `decode` does. Raises InputError, one line with the path."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB")
        with path.open("rb") as file:
            return decode(file, str(path), grayscale=grayscale)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not an image") from error
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def decode(file: BinaryIO, name: str, *, grayscale: bool = False, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the image, upright, as (H, W, C): C = 1 if `grayscale`, else 3 in RGB order.

    uint8 in [0, 255]; 16-bit gray files give uint16. Alpha is dropped, and the previews that a file may hold.
    Raises InputError, one line with the name.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise InputError(f"{name}: {width} x {height} px, more than the {max_pixels:,} px accepted")
            if max(width, height) > MAX_SIDE:
                raise InputError(f"{name}: {width} x {height} px, a side of more than {MAX_SIDE:,} px")
            if image.format in ("JPEG", "MPO") and _scans(file) > MAX_SCANS:
                raise InputError(f"{name}: a JPEG of more than {MAX_SCANS} scans, each of which costs a decoding")
            array = _array(ImageOps.exif_transpose(image), name, grayscale=grayscale)
            inverted = array.dtype == np.uint16 and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
            if image.format not in ("JPEG", "MPO") and _more_than_previews_follow(image):
                raise InputError(f"{name}: several pages in one file; save each as an image of its own")
            return 65_535 - array if inverted else array
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name}: more than the {max_pixels:,} px accepted") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: {_unidentified(file)}") from error
    except Exception as error:  # a decoder may raise anything on a damaged file
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in MACHINE_ERRORS):
            raise
        raise InputError(f"{name}: damaged ({str(error).splitlines()[0] if str(error) else 'unreadable'})") from error


def read_mask(path: Path) -> np.ndarray:
    """Return a ground-truth mask as (H, W) bool: True where the file is not black."""
    return (read(path, grayscale=True) > 0)[:, :, 0]


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W), (H, W, 1) or (H, W, 3) uint8 as PNG. A bool array becomes black and white."""
    write_whole(path, png(image))


def png(image: np.ndarray) -> bytes:
    """Return the PNG file that `write_png` writes."""
    pixels = image.astype(np.uint8) * 255 if image.dtype == bool else image
    buffer = BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _array(file: Image.Image, name: str, *, grayscale: bool) -> np.ndarray:
    if file.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(file)
        if values.min() < 0 or values.max() > 65_535:
            raise InputError(f"{name}: 32-bit gray is not supported; save it as 8 or 16 bit")
        gray = values.astype(np.uint16)[:, :, None]
        return gray if grayscale else np.repeat(gray, 3, axis=2)
    if file.mode == "F":
        raise InputError(f"{name}: floating-point gray is not supported; save it as 8 or 16 bit")
    if file.mode == "P":  # a palette may hold transparency, which Pillow wants to see converted first
        file = file.convert("RGBA")
    array = np.asarray(file.convert("L" if grayscale else "RGB"))
    return array[:, :, None] if grayscale else array


def _more_than_previews_follow(image: Image.Image) -> bool:
    """Whether a page that is not smaller in both sides follows in the same file, or too many to tell."""
    width, height = image.size
    for page in range(1, MAX_PREVIEWS + 1):
        try:
            image.seek(page)
        except Exception:  # EOFError at the end, anything where the file goes on as no image does
            return False
        if image.width >= width or image.height >= height:
            return True
    return True


def _scans(file: BinaryIO) -> int:
    """Count the scans of a JPEG file: within one, 255 is followed by 0."""
    place = file.tell()
    file.seek(0)
    count = file.read().count(b"\xff\xda")
    file.seek(place)
    return count


def _unidentified(file: BinaryIO) -> str:
    file.seek(0)
    if not file.read(1):
        return "an empty file"
    try:
        file.seek(0)
        with Image.open(file) as image:
            return f"{image.format} is not supported; save it as PNG, JPEG, BMP, TIFF or WebP"
    except Exception:  # Pillow's decoders of other formats, too
        return "not an image, or damaged"
