"""TIFF files: which of their images is the picture, and which kinds of pixels are supported."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

BIG_ENDIAN_BIG_TIFF = b"MM\0+"  # not read by Pillow
SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", BIG_ENDIAN_BIG_TIFF, b"MM*\0", b"II\0*")  # the last two are wrong but used
SEVERAL_PAGES = "several pages in one file; save each page as a separate image"
MAX_PREVIEWS = 16  # per file; more count as pages
MAX_TAGS = 4096  # per image
MAX_VALUES = 64  # per tag
TYPE_CODES = {1: "B", 2: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}  # text, unsigned integers of 1 to 8 bytes

SUBFILE_TYPE, OLD_SUBFILE_TYPE = 254, 255
WIDTH, HEIGHT = 256, 257
BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 258, 259, 262, 270
CHANNELS, PLANAR, SUB_DIRECTORIES, EXTRA_CHANNELS, SAMPLE_FORMAT = 277, 284, 330, 338, 339
DEPTH, DNG_VERSION = 32_997, 50_706
SUBFILE_TAGS = (SUBFILE_TYPE, OLD_SUBFILE_TYPE, SUB_DIRECTORIES)
PIXEL_TAGS = (BITS, COMPRESSION, PHOTOMETRIC, CHANNELS, PLANAR, EXTRA_CHANNELS, SAMPLE_FORMAT)
REDUCED, MASK = 1, 4  # bits of SUBFILE_TYPE
OLD_REDUCED = 2  # value of OLD_SUBFILE_TYPE
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # values of PHOTOMETRIC
UNSIGNED = 1  # value of SAMPLE_FORMAT
WEBP = 50_001  # value of COMPRESSION; not in Pillow's binary packages
SEPARATE_PLANES = 2  # value of PLANAR
PREMULTIPLIED = 1  # value of EXTRA_CHANNELS
PHOTOMETRIC_NAMES = {
    0: "white-is-zero gray",
    1: "gray",
    2: "RGB",
    3: "palette",
    4: "mask",
    5: "CMYK",
    6: "YCbCr",
    8: "Lab",
    9: "Lab",
    10: "Lab",
    32_844: "LogLuv",
    32_845: "LogLuv",
}
COLOR_CHANNELS = {2: 3, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}  # by PHOTOMETRIC; 1 for others
RAW_PHOTOMETRICS = (32_803, 34_892)  # a color filter array, linear raw values
SAMPLE_FORMAT_NAMES = {1: "uint", 2: "int", 3: "float", 5: "complex int", 6: "complex"}
STACK_DESCRIPTION = re.compile(rb"ImageJ=[^\n]*\nimages=(?!1\b)\d|\{.*\"truncated\": true")  # pages without directories
CANON_RAW = b"CR"  # at byte 8
COMMON_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32_773, 32_946)  # not worth mentioning


class Directory(NamedTuple):
    """The tags of one image in a TIFF file, those that hold text or unsigned integers."""

    offset: int  # in the file
    next_offset: int  # of the next directory, 0 for the last
    tags: Mapping[int, tuple[int, ...]]
    below: bool  # in the directory of another image

    def value(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return next(iter(self.tags.get(tag, ())), default)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        return self.value(WIDTH, 0), self.value(HEIGHT, 0)

    @property
    def is_secondary(self) -> bool:
        """Whether the file says that this is a reduced image or a mask of another one."""
        marked = self.value(SUBFILE_TYPE, 0) & (REDUCED | MASK)
        return bool(marked) or self.value(OLD_SUBFILE_TYPE, 0) == OLD_REDUCED

    @property
    def refers_to_others(self) -> bool:
        """Whether the file holds, or should hold, further images."""
        return self.next_offset != 0 or SUB_DIRECTORIES in self.tags

    @property
    def is_stack(self) -> bool:
        """Whether further images follow the first without directories of their own."""
        return self.value(DEPTH, 1) > 1 or bool(STACK_DESCRIPTION.match(bytes(self.tags.get(DESCRIPTION, ()))))

    @property
    def pixel_kind(self) -> str:
        """Number type and colors of the pixels, as a phrase for messages."""
        if self.value(PHOTOMETRIC, 0) in RAW_PHOTOMETRICS:
            return "raw sensor values"
        number = SAMPLE_FORMAT_NAMES.get(self.value(SAMPLE_FORMAT, UNSIGNED), "untyped ")
        colors = PHOTOMETRIC_NAMES.get(self.value(PHOTOMETRIC, 0), f"color kind {self.value(PHOTOMETRIC, 0)}")
        kind = f"{number}{self.value(BITS, 1)} {colors} pixels"
        channels = self.value(CHANNELS, 1)
        further = channels - COLOR_CHANNELS.get(self.value(PHOTOMETRIC, 0), 1)
        if self.value(EXTRA_CHANNELS, 0) == PREMULTIPLIED:
            kind += " with premultiplied alpha"
        elif further > 0:
            kind += f" with {further} further channel{'s' if further > 1 else ''}"
        if channels > 1 and self.value(PLANAR, 1) == SEPARATE_PLANES:
            kind += " in separate planes"
        compression = self.value(COMPRESSION, 1)
        return kind if compression in COMMON_COMPRESSIONS else f"{kind}, compression {compression},"

    @property
    def is_deep_color(self) -> bool:
        """Whether the pixels are RGB of more than 8 bits."""
        return self.value(PHOTOMETRIC, 0) == RGB and self.value(BITS, 1) > 8

    @property
    def is_unsupported(self) -> bool:
        """Whether Pillow would decode the pixels to other values without an error, or cannot say what is wrong."""
        if any(value != UNSIGNED for value in self.tags.get(SAMPLE_FORMAT, ())) or self.value(BITS, 1) > 16:
            return True
        if self.value(COMPRESSION, 1) == WEBP:
            return True
        photometric = self.value(PHOTOMETRIC, 0)
        if self.value(BITS, 1) <= 8 or photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO):
            return False
        return (
            photometric != RGB
            or self.value(PLANAR, 1) == SEPARATE_PLANES
            or self.value(EXTRA_CHANNELS, 0) == PREMULTIPLIED
        )


def is_tiff(file: BinaryIO) -> bool:
    """Whether a file begins as a TIFF file."""
    file.seek(0)
    return file.read(4) in SIGNATURES


def picture_file(file: BinaryIO, name: str) -> BinaryIO:
    """Return a TIFF file whose first image is the picture: the file itself, or a copy if previews precede the picture.

    Previews are images that are marked as reduced, or smaller than the picture in both directions and after it.

    Raises:
        InputError: There are several pictures, or none, or its pixels cannot be read.
    """
    file.seek(0)
    if file.read(4) == BIG_ENDIAN_BIG_TIFF:
        raise InputError(f"{name}: big-endian BigTIFF is not supported; save it as little-endian or as TIFF")
    directories = list(_directories(file))
    if not directories:
        return file  # the decoder finds the fault
    if _is_raw(file, directories):
        raise InputError(f"{name}: raw camera images (DNG and others) are not supported; convert it to PNG or TIFF")
    picture = _picture(directories, name)
    if picture.is_stack:
        raise InputError(f"{name}: {SEVERAL_PAGES}")
    if picture.is_unsupported:
        raise InputError(f"{name}: {unsupported_pixels(picture)}")
    return file if picture is directories[0] else _starting_at(file, picture.offset)


def unsupported_pixels(picture: Directory) -> str:
    """Return the reason why the pixels of a picture cannot be read, and what to do."""
    return f"TIFF with {picture.pixel_kind} is not supported; save it as uint8 or uint16 gray or RGB"


def first_directory(file: BinaryIO) -> Directory | None:
    """Return the first image of a TIFF file, if its tags can be read."""
    return next(_directories(file), None)


def pillow_directory(image: TiffImageFile) -> Directory:
    """Return the directory of the current page of a TIFF file that Pillow has opened."""
    tags = {
        tag: value if isinstance(value, tuple) else (value,)
        for tag, value in image.tag_v2.items()
        if tag in (*SUBFILE_TAGS, *PIXEL_TAGS)
    }
    return Directory(0, image.tag_v2.next, tags, below=False)


def _is_raw(file: BinaryIO, directories: list[Directory]) -> bool:
    file.seek(8)
    return file.read(2) == CANON_RAW or any(
        DNG_VERSION in directory.tags or directory.value(PHOTOMETRIC, 0) in RAW_PHOTOMETRICS
        for directory in directories
    )


def _picture(directories: list[Directory], name: str) -> Directory:
    if not directories[0].refers_to_others:
        return directories[0]
    pictures = [directory for directory in directories if not directory.is_secondary]
    if not pictures:
        raise InputError(f"{name}: only a preview of the picture can be read; save the picture itself")
    picture, *others = pictures
    width, height = picture.size
    for other_width, other_height in (other.size for other in others if other.below):
        if other_width > width and other_height > height:
            raise InputError(
                f"{name}: a preview of {width} x {height} px stands before the picture of "
                f"{other_width} x {other_height} px; save the picture alone"
            )
    if len(directories) > MAX_PREVIEWS + 1 or any(
        other.size[0] >= width or other.size[1] >= height for other in others
    ):
        raise InputError(f"{name}: {SEVERAL_PAGES}")
    return picture


def _starting_at(file: BinaryIO, offset: int) -> BinaryIO:
    """Return a copy of a TIFF file whose header leads to the directory at `offset`."""
    file.seek(0)
    copy = BytesIO(file.read())
    order, is_big = _layout(copy.read(4))
    copy.seek(8 if is_big else 4)
    copy.write(struct.pack(f"{order}{'Q' if is_big else 'L'}", offset))
    return copy


def _layout(header: bytes) -> tuple[str, bool]:
    """Return the byte order in the notation of `struct`, and whether offsets have 8 bytes (BigTIFF)."""
    return "<" if header[:2] == b"II" else ">", ord("+") in header[2:4]


def _directories(file: BinaryIO) -> Iterator[Directory]:
    """Yield the directories of all images in their order, each followed by those below it, without invalid ones."""
    file.seek(0)
    header = file.read(16)
    order, is_big = _layout(header)
    start = header[8:16] if is_big else header[4:8]
    if len(start) < (8 if is_big else 4):
        return
    pending = [(struct.unpack(f"{order}{'Q' if is_big else 'L'}", start)[0], False)]
    seen: set[int] = set()
    while pending and len(seen) < MAX_PREVIEWS + 2:
        offset, below = pending.pop()
        if offset == 0 or offset in seen:
            continue
        seen.add(offset)
        try:
            tags, next_offset = _read_tags(file, offset, order, is_big=is_big)
        except (struct.error, OverflowError, ValueError):
            continue
        yield Directory(offset, next_offset, tags, below)
        pending.append((next_offset, below))
        pending += [(sub_directory, True) for sub_directory in reversed(tags.get(SUB_DIRECTORIES, ()))]


def _read_tags(file: BinaryIO, offset: int, order: str, *, is_big: bool) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the tags of the directory at `offset`, and the offset of the next one.

    Raises:
        struct.error: The file ends within the directory.
        OverflowError, ValueError: There is no directory.
    """
    count_code, offset_code, inline_bytes = ("Q", "Q", 8) if is_big else ("H", "L", 4)
    file.seek(offset)
    (count,) = _unpack(file, order + count_code)
    if not 0 < count <= MAX_TAGS:
        raise ValueError(f"{count} tags")
    entry_layout = f"{order}HH{offset_code}{inline_bytes}s"
    entries = file.read(count * struct.calcsize(entry_layout))
    (next_offset,) = _unpack(file, order + offset_code)
    tags = {}
    for tag, kind, number, content in struct.iter_unpack(entry_layout, entries):
        if kind not in TYPE_CODES:
            continue
        layout = f"{order}{min(number, MAX_VALUES)}{TYPE_CODES[kind]}"
        if number * struct.calcsize(order + TYPE_CODES[kind]) > inline_bytes:
            file.seek(*struct.unpack(order + offset_code, content))
            content = file.read(struct.calcsize(layout))
        if len(content) >= struct.calcsize(layout):
            tags[tag] = struct.unpack_from(layout, content)
    return tags, next_offset


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
