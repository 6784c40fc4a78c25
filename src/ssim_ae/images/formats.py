"""The supported image formats. To add a format, add a line to IMAGE_FORMATS."""

from typing import NamedTuple


class ImageFormat(NamedTuple):
    """A file format that images are read from."""

    name: str  # Pillow's name; Pillow ignores the case
    suffixes: tuple[str, ...]  # lower case, with the dot
    media_type: str  # in the Content-Type of a request


IMAGE_FORMATS = (
    ImageFormat("PNG", (".png", ".apng"), "image/png"),
    ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "image/jpeg"),
    ImageFormat("BMP", (".bmp", ".dib"), "image/bmp"),
    ImageFormat("TIFF", (".tif", ".tiff"), "image/tiff"),
    ImageFormat("WebP", (".webp",), "image/webp"),
)

# Files with these suffixes are found and then rejected with a message. A silently skipped image would look inspected.
UNSUPPORTED_SUFFIXES = (
    *(".gif", ".jp2", ".j2k", ".heic", ".heif", ".avif", ".jxl", ".jxr", ".psd", ".exr", ".hdr", ".dcm"),
    *(".ppm", ".pgm", ".tga"),
    *(".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
)
# First bytes of image formats that Pillow does not know
UNSUPPORTED_SIGNATURES = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"\xff\xd8\xff\xf7": "JPEG-LS",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"8BPS": "PSD",
    b"FUJIFILMCCD-RAW": "RAF, a raw camera format,",
    b"IIRO": "ORF, a raw camera format,",
    b"IIRS": "ORF, a raw camera format,",
    b"MMOR": "ORF, a raw camera format,",
    b"IIU\0": "RW2, a raw camera format,",
    b"<svg": "SVG",
}
DICOM_SIGNATURE = b"DICM"  # after 128 bytes
# Brands of ISO media files, from byte 8 on, in this order: some AVIF files state HEIC's "mif1" first
IMAGE_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "CR3, a raw camera format,",
    b"hei": "HEIC",
    b"hev": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
}
# First bytes of other files that are found under the names of images
OTHER_SIGNATURES = {
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"<?xml": "an XML document",
    b"<!DOCTYPE html": "a web page",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a Git LFS pointer",
}

FORMAT_NAMES = tuple(image_format.name for image_format in IMAGE_FORMATS)
SUFFIXES = tuple(suffix for image_format in IMAGE_FORMATS for suffix in image_format.suffixes)
MEDIA_TYPES = tuple(image_format.media_type for image_format in IMAGE_FORMATS)


def listed_names() -> str:
    """Return the names of all formats as a phrase for messages: `A, B or C`."""
    *others, last = FORMAT_NAMES
    return f"{', '.join(others)} or {last}"


def unsupported(format_name: str) -> str:
    """Return the reason why a file in an unsupported format cannot be read, and what to do."""
    return f"{format_name} is not supported; save it as {listed_names()}"


def reason_unsupported(head: bytes) -> str | None:
    """Return the reason why a file that begins with `head` (256 bytes) cannot be read, if Pillow would not know it."""
    if head[4:8] == b"ftyp":
        brands = head[8 : max(12, int.from_bytes(head[:4]))]
        name = next((name for brand, name in IMAGE_BRANDS.items() if brand in brands), None)
        return unsupported(name) if name else "a video, not an image"
    if head[128:132] == DICOM_SIGNATURE:
        return unsupported("DICOM")
    for signature, name in UNSUPPORTED_SIGNATURES.items():
        if head.startswith(signature):
            return unsupported(name)
    return next(
        (f"{name}, not an image" for signature, name in OTHER_SIGNATURES.items() if head.startswith(signature)), None
    )
