"""The supported image formats. To add a format, add a line to IMAGE_FORMATS."""

from typing import NamedTuple


class ImageFormat(NamedTuple):
    """A file format that images are read from."""

    name: str  # Pillow's name; Pillow ignores the case
    suffixes: tuple[str, ...]  # lower case, with the dot
    media_type: str  # in the Content-Type of a request


IMAGE_FORMATS = (
    ImageFormat("PNG", (".png",), "image/png"),
    ImageFormat("JPEG", (".jpg", ".jpeg"), "image/jpeg"),
    ImageFormat("BMP", (".bmp",), "image/bmp"),
    ImageFormat("TIFF", (".tif", ".tiff"), "image/tiff"),
    ImageFormat("WebP", (".webp",), "image/webp"),
)

# Files with these suffixes are found and then rejected with a message. A silently skipped image would look inspected.
UNSUPPORTED_SUFFIXES = (".gif", ".jp2", ".heic", ".avif", ".ppm", ".pgm", ".tga", ".dng", ".raw")

FORMAT_NAMES = tuple(image_format.name for image_format in IMAGE_FORMATS)
SUFFIXES = tuple(suffix for image_format in IMAGE_FORMATS for suffix in image_format.suffixes)
MEDIA_TYPES = tuple(image_format.media_type for image_format in IMAGE_FORMATS)


def listed_names() -> str:
    """Return the names of all formats as a phrase for messages: `A, B or C`."""
    *others, last = FORMAT_NAMES
    return f"{', '.join(others)} or {last}"
