"""Read and write single image files. Errors are InputErrors, each with a one-line message that names the file."""

import errno
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from ssim_ae.errors import InputError, first_line
from ssim_ae.images.colors import with_channels
from ssim_ae.images.deep_color import deep_pixels, is_deep_color
from ssim_ae.images.formats import FORMAT_NAMES, reason_unsupported, unsupported
from ssim_ae.images.size import Size
from ssim_ae.images.tiff import (
    MAX_PREVIEWS,
    PHOTOMETRIC,
    SEVERAL_PAGES,
    WHITE_IS_ZERO,
    first_directory,
    is_tiff,
    picture_file,
    pillow_directory,
    unsupported_pixels,
)
from ssim_ae.storage import write_atomic

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

UPRIGHT = 1  # orientation in EXIF
STRIP_PIXELS = 2**18  # copied at once
MAX_PIXELS = 89_478_485  # Pillow's own threshold for decompression bombs
MAX_FILE_BYTES = 512 * 2**20  # file size
MAX_SIDE = 32_768  # px; the memory for resizing a line grows with its length
ORIENTATION = ExifTags.Base.Orientation
SIDEWAYS = (5, 6, 7, 8)  # its values for an image on its side
MAX_JPEG_SCANS = 100  # of a progressive JPEG; encoders write about ten
JPEG_FORMATS = ("JPEG", "MPO")  # Pillow reports a JPEG with further images as MPO
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
PREMULTIPLIED_MODES = ("La", "RGBa")
UNSUPPORTED_MODES = {"F": "floating-point gray", "LAB": "Lab color"}
# Errors of the machine, such as too many open files or too little memory. They say nothing about the image.
MACHINE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)
Result = TypeVar("Result")


def read_image(path: Path, *, grayscale: bool = False) -> np.ndarray:
    """Read an image file. The result is that of `decode_image`.

    Raises:
        InputError: The file is missing, too large, unreadable or not a supported image.
        OSError: The machine failed, see MACHINE_ERRORS.
    """
    return _read_file(path, lambda file: decode_image(file, str(path), grayscale=grayscale))


def read_bytes(path: Path) -> bytes:
    """Return the content of an image file, to be decoded. Raises InputError and OSError as `read_image` does."""
    return _read_file(path, lambda file: file.read())


def image_size(path: Path) -> Size:
    """Return the size of the upright image in a file, from its header: no pixel is decoded.

    Raises InputError and OSError as `read_image` does, but a file whose header is valid may be corrupt.
    """

    def size(file: BinaryIO) -> Size:
        name = str(path)
        with _decoding(name, MAX_PIXELS), _open(picture_file(file, name) if is_tiff(file) else file, name) as image:
            _check_size(image, name, MAX_PIXELS)
            orientation = Image.Image.getexif(image).get(ORIENTATION)  # that of a PNG would decode the pixels
            is_sideways = orientation in SIDEWAYS and image.format != "TIFF"  # Pillow turns the size of a TIFF
            return Size(*(image.size if is_sideways else image.size[::-1]))

    return _read_file(path, size)


def _read_file(path: Path, read: Callable[[BinaryIO], Result]) -> Result:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: a folder, not an image")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: a pipe or device, not a file; save the image as a file")
        if status.st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB")
        with path.open("rb") as file:
            return read(file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except InputError:
        raise
    except ValueError as error:  # a zero byte or half a surrogate pair
        raise InputError(f"{str(path)!a}: not a valid path ({first_line(error)})") from error


def decode_image(file: BinaryIO, name: str, *, grayscale: bool = False, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image and rotate it upright by its EXIF orientation.

    Returns (H, W, C) uint8 in [0, 255], or uint16 for a file of 16 bits per channel. C is 1 with `grayscale`, else 3
    in RGB order. Alpha channels and embedded previews are dropped.

    Raises:
        InputError: The file is not a supported image; `name` starts the message.
        OSError, MemoryError: The machine failed, see MACHINE_ERRORS.
    """
    with _decoding(name, max_pixels):
        if is_tiff(file):
            file = picture_file(file, name)
        with _open(file, name) as image:
            _check_size(image, name, max_pixels)
            if image.format in JPEG_FORMATS and _jpeg_scan_count(file) > MAX_JPEG_SCANS:
                raise InputError(f"{name}: a JPEG of more than {MAX_JPEG_SCANS} scans; save it as a baseline JPEG")
            pixels = _to_array(image, name, grayscale=grayscale)
            if image.format != "TIFF" and _has_further_pages(image):
                raise InputError(f"{name}: {SEVERAL_PAGES}")
            return pixels


def pillow_pixels(image: Image.Image, name: str, *, grayscale: bool = False) -> np.ndarray:
    """Return the pixels of a Pillow image as `decode_image` does for its file. Of several pages, take the current one.

    Raises:
        InputError: The image has no pixels, or unsupported ones, or its file is closed or corrupt.
    """
    with _decoding(name, MAX_PIXELS):
        _check_size(image, name, MAX_PIXELS)
        if isinstance(image, ImageFile.ImageFile):
            _check_opened(image, name)
        return _to_array(image, name, grayscale=grayscale)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W), (H, W, 1) or (H, W, 3) uint8 as PNG. A bool array becomes black and white."""
    write_atomic(path, encode_png(image))


def encode_png(image: np.ndarray) -> bytes:
    """Encode (H, W) or (H, W, C) uint8 with C = 1, 3 or 4 (RGBA) as PNG. A bool array becomes black and white."""
    pixels = image.astype(np.uint8) * 255 if image.dtype == bool else image
    buffer = BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@contextmanager
def _decoding(name: str, max_pixels: int) -> Iterator[None]:
    """Turn the errors of the decoders into InputErrors."""
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name}: more than the {max_pixels:,} px accepted") from error
    except Exception as error:  # a decoder may raise any exception on a corrupt file
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in MACHINE_ERRORS):
            raise
        if "MAX_TEXT" in str(error):  # PngImagePlugin.MAX_TEXT_CHUNK, MAX_TEXT_MEMORY
            raise InputError(f"{name}: a PNG with more than 1 MiB of metadata; save it without") from error
        raise InputError(f"{name}: corrupt ({first_line(error)})") from error


def _open(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    try:
        return Image.open(file, formats=FORMAT_NAMES)
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: {_reason_unidentified(file)}") from error


def _check_opened(image: ImageFile.ImageFile, name: str) -> None:
    """Raise InputError for an image that Pillow has opened, if its pixels are not those of its file."""
    if image.tile and getattr(image.fp, "closed", True):
        raise InputError(f"{name}: the file of a Pillow image is closed before its pixels are loaded")
    directory = pillow_directory(cast("TiffImageFile", image)) if image.format == "TIFF" else None
    if not image.tile and (directory.is_deep_color if directory else _is_deep_file(image)):
        raise InputError(f"{name}: Pillow has cut its 16-bit colors to 8 bits; give the path of the file")
    if directory:
        if directory.is_unsupported:
            raise InputError(f"{name}: {unsupported_pixels(directory)}")
        if directory.is_secondary and directory.refers_to_others and image.tell() == 0:
            raise InputError(f"{name}: a preview of the picture in the file; give the path of the file")


def _is_deep_file(image: ImageFile.ImageFile) -> bool:
    """Whether the file of a loaded image has colors of 16 bits, as far as it can be told."""
    try:
        with Image.open(image.filename) as opened:
            return is_deep_color(opened)
    except OSError:  # no name, or no file any more
        return False


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if not width * height:
        raise InputError(f"{name}: has no pixels, its size is {width} x {height}")
    if width * height > max_pixels:
        raise InputError(f"{name}: {width} x {height} px, more than the {max_pixels:,} px accepted")
    if max(width, height) > MAX_SIDE:
        raise InputError(f"{name}: {width} x {height} px, a side of more than {MAX_SIDE:,} px")


def _to_array(image: Image.Image, name: str, *, grayscale: bool) -> np.ndarray:
    if is_deep_color(image):
        return with_channels(deep_pixels(cast(ImageFile.ImageFile, image)), grayscale=grayscale)
    inverted = _is_white_zero(image)
    image.load()  # a PNG file may say its orientation after the pixels
    if image.getexif().get(ExifTags.Base.Orientation, UPRIGHT) != UPRIGHT:
        image = ImageOps.exif_transpose(image)
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65_535:
            raise InputError(f"{name}: 32-bit gray is not supported; save it as gray of 8 or 16 bits")
        gray = values.astype(np.uint16)[:, :, None]
        return with_channels(65_535 - gray if inverted else gray, grayscale=grayscale)
    if image.mode in UNSUPPORTED_MODES:
        raise InputError(
            f"{name}: {UNSUPPORTED_MODES[image.mode]} is not supported; save it as gray or RGB of 8 or 16 bits"
        )
    if image.mode == "P":  # Pillow warns if a palette with transparency is converted to RGB directly
        image = image.convert("RGBA")
    if image.mode in PREMULTIPLIED_MODES:
        image = image.convert(image.mode.upper())
    mode = "L" if grayscale else "RGB"
    return _copied(image if image.mode == mode else image.convert(mode))


def _copied(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image of mode L or RGB, (H, W, 1) or (H, W, 3) uint8.

    They are copied in strips: of large images, four times as fast as at once, for which Pillow joins a list of parts.
    """
    width, height = image.size
    pixels = np.empty((height, width, len(image.getbands())), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = pixels[top : top + rows]
        strip[:] = np.asarray(image.crop((0, top, width, top + len(strip)))).reshape(strip.shape)
    return pixels


def _is_white_zero(image: Image.Image) -> bool:
    """Whether this is a TIFF file in which 0 is white. Pillow inverts such images at 8 bits only."""
    return bool(getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO)


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
    head = file.read(256)
    if not head:
        return "an empty file"
    if reason := reason_unsupported(head):
        return reason
    if is_tiff(file) and (directory := first_directory(file)):
        return unsupported_pixels(directory)
    try:
        file.seek(0)
        with Image.open(file) as image:
            return unsupported(str(image.format))
    except Exception:  # a decoder of any format may raise any exception
        return _fault_of_decoder(file, head)


def _fault_of_decoder(file: BinaryIO, head: bytes) -> str:
    """Return what the decoder of the format that a file begins with finds wrong with it."""
    for format_name in FORMAT_NAMES:
        decoder, accepts = Image.OPEN[format_name.upper()]
        if accepts and accepts(head[:16]) is True:
            try:
                file.seek(0)
                decoder(file, "")
            except Exception as error:  # as above
                return f"a {format_name} of a kind that is not supported, or corrupt ({first_line(error)})"
    return "not an image, or corrupt"
