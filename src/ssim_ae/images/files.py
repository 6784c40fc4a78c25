"""Read and write single image files. Errors are InputErrors, each with a one-line message that names the file."""

import errno
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ssim_ae.errors import InputError
from ssim_ae.images.formats import FORMAT_NAMES, listed_names
from ssim_ae.storage import write_atomic

MAX_PIXELS = 89_478_485  # Pillow's own threshold for decompression bombs
MAX_FILE_BYTES = 512 * 2**20  # file size
MAX_SIDE = 32_768  # px; the memory for resizing a line grows with its length
MAX_PREVIEWS = 16  # per file
MAX_JPEG_SCANS = 100  # of a progressive JPEG; encoders write about ten
JPEG_FORMATS = ("JPEG", "MPO")  # Pillow reports a JPEG with embedded previews as MPO
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
TIFF_PHOTOMETRIC_TAG = 262
TIFF_WHITE_IS_ZERO = 0  # value of the tag; Pillow inverts such images at 8 bits only
# Errors of the machine, such as too many open files or too little memory. They say nothing about the image.
MACHINE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)


def read_image(path: Path, *, grayscale: bool = False) -> np.ndarray:
    """Read an image file. The result is that of `decode_image`.

    Raises:
        InputError: The file is missing, too large, unreadable or not a supported image.
        OSError: The machine failed, see MACHINE_ERRORS.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB")
        with path.open("rb") as file:
            return decode_image(file, str(path), grayscale=grayscale)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not an image") from error
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def decode_image(file: BinaryIO, name: str, *, grayscale: bool = False, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image and rotate it upright by its EXIF orientation.

    Returns (H, W, C) uint8 in [0, 255], or uint16 for a 16-bit gray file. C is 1 with `grayscale`, else 3 in RGB
    order. Alpha channels and embedded previews are dropped.

    Raises:
        InputError: The file is not a supported image; `name` starts the message.
        OSError, MemoryError: The machine failed, see MACHINE_ERRORS.
    """
    try:
        with Image.open(file, formats=FORMAT_NAMES) as image:
            _check_size(image, name, max_pixels)
            is_jpeg = image.format in JPEG_FORMATS
            if is_jpeg and _jpeg_scan_count(file) > MAX_JPEG_SCANS:
                raise InputError(f"{name}: a JPEG of more than {MAX_JPEG_SCANS} scans; save it as a baseline JPEG")
            array = _to_array(ImageOps.exif_transpose(image), name, grayscale=grayscale)
            inverted = array.dtype == np.uint16 and _is_white_zero(image)
            if not is_jpeg and _has_further_pages(image):
                raise InputError(f"{name}: several pages in one file; save each page as a separate image")
            return 65_535 - array if inverted else array
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name}: more than the {max_pixels:,} px accepted") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: {_reason_unidentified(file)}") from error
    except Exception as error:  # a decoder may raise any exception on a corrupt file
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in MACHINE_ERRORS):
            raise
        raise InputError(f"{name}: corrupt ({str(error).splitlines()[0] if str(error) else 'unreadable'})") from error


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W), (H, W, 1) or (H, W, 3) uint8 as PNG. A bool array becomes black and white."""
    write_atomic(path, encode_png(image))


def encode_png(image: np.ndarray) -> bytes:
    """Encode (H, W), (H, W, 1) or (H, W, 3) uint8 as PNG. A bool array becomes black and white."""
    pixels = image.astype(np.uint8) * 255 if image.dtype == bool else image
    buffer = BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise InputError(f"{name}: {width} x {height} px, more than the {max_pixels:,} px accepted")
    if max(width, height) > MAX_SIDE:
        raise InputError(f"{name}: {width} x {height} px, a side of more than {MAX_SIDE:,} px")


def _to_array(image: Image.Image, name: str, *, grayscale: bool) -> np.ndarray:
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65_535:
            raise InputError(f"{name}: 32-bit gray is not supported; save it as 8 or 16 bit")
        gray = values.astype(np.uint16)[:, :, None]
        return gray if grayscale else np.repeat(gray, 3, axis=2)
    if image.mode == "F":
        raise InputError(f"{name}: floating-point gray is not supported; save it as 8 or 16 bit")
    if image.mode == "P":  # Pillow warns if a palette with transparency is converted to RGB directly
        image = image.convert("RGBA")
    array = np.asarray(image.convert("L" if grayscale else "RGB"))
    return array[:, :, None] if grayscale else array


def _is_white_zero(image: Image.Image) -> bool:
    return bool(getattr(image, "tag_v2", {}).get(TIFF_PHOTOMETRIC_TAG) == TIFF_WHITE_IS_ZERO)


def _has_further_pages(image: Image.Image) -> bool:
    """Whether the file holds more than one image and its previews.

    A preview is smaller than the image in both directions. Too many previews count as pages.
    """
    width, height = image.size
    for page in range(1, MAX_PREVIEWS + 1):
        try:
            image.seek(page)
        except Exception:  # EOFError after the last page; any exception if no valid page follows
            return False
        if image.width >= width or image.height >= height:
            return True
    return True


def _jpeg_scan_count(file: BinaryIO) -> int:
    """Count the start-of-scan markers of a JPEG file. Within a scan, a byte 255 is followed by 0."""
    position = file.tell()
    file.seek(0)
    count = file.read().count(b"\xff\xda")
    file.seek(position)
    return count


def _reason_unidentified(file: BinaryIO) -> str:
    file.seek(0)
    if not file.read(1):
        return "an empty file"
    try:
        file.seek(0)
        with Image.open(file) as image:
            return f"{image.format} is not supported; save it as {listed_names()}"
    except Exception:  # a decoder of any format may raise any exception
        return "not an image, or corrupt"
