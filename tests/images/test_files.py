import errno
import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ssim_ae.errors import InputError
from ssim_ae.images import files
from ssim_ae.images.files import pillow_pixels, read_image, write_png

GRADIENT = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_read_image_in_every_format_and_mode(tmp_path, suffix, mode):
    path = tmp_path / f"image.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 98} if suffix == "jpg" else {}
    Image.fromarray(GRADIENT).convert(mode).save(path, **options)
    image = read_image(path)
    assert image.dtype == np.uint8 and image.shape == (40, 60, 3)
    assert np.abs(image[:, :, 1].astype(int) - GRADIENT).max() <= (3 if suffix == "jpg" else 0)
    assert np.array_equal(read_image(path, grayscale=True).shape, (40, 60, 1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_read_image_in_rare_modes(tmp_path, mode):
    path = tmp_path / "image.tif"
    Image.fromarray(GRADIENT).convert("RGB").convert(mode).save(path)
    assert read_image(path).shape == (40, 60, 3)


def test_read_image_with_a_transparent_palette(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(GRADIENT).convert("P").save(path, transparency=bytes(range(256)))
    assert np.array_equal(read_image(path)[:, :, 0], GRADIENT)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_keeps_its_bits(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    values = np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27
    Image.fromarray(values).save(path)
    assert np.array_equal(read_image(path, grayscale=True)[:, :, 0], values)
    assert read_image(path).shape == (40, 60, 3) and read_image(path).dtype == np.uint16


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_several_pages_are_rejected(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    first, second = Image.fromarray(GRADIENT).convert("RGB"), Image.fromarray(GRADIENT.T.reshape(40, 60)).convert("RGB")
    first.save(path, save_all=True, append_images=[second], lossless=True)
    with pytest.raises(InputError, match="several pages in one file; save each page as a separate image"):
        read_image(path)


def test_previews_beside_an_image_are_ignored(tmp_path):
    path = tmp_path / "image.tif"
    image, preview = Image.fromarray(GRADIENT), Image.fromarray(GRADIENT[:10, :15])
    image.save(path, save_all=True, append_images=[preview])
    assert np.array_equal(read_image(path)[:, :, 0], GRADIENT)
    for pages in (
        [preview, image],
        [image, preview, image],
        [image, image.rotate(90, expand=True)],
        [image] + 30 * [preview],
    ):
        pages[0].save(path, save_all=True, append_images=pages[1:])
        with pytest.raises(InputError, match="several pages"):
            read_image(path)


def test_an_invalid_page_after_an_image_is_ignored(tmp_path):
    path = tmp_path / "image.tif"
    Image.fromarray(GRADIENT).save(path)
    data = bytearray(path.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[start : start + 2], "little")
    end = start + 2 + 12 * entries
    data[end : end + 4] = (len(data) - 3).to_bytes(4, "little")  # offset of the next page's directory
    path.write_bytes(data)
    assert np.array_equal(read_image(path)[:, :, 0], GRADIENT)


def test_exif_orientation_is_respected(tmp_path):
    path = tmp_path / "image.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees clockwise
    Image.fromarray(GRADIENT).save(path, exif=exif, quality=98)
    rotated = read_image(path)[:, :, 0]
    assert rotated.shape == (60, 40)
    assert np.abs(rotated.astype(int) - np.rot90(GRADIENT, -1)).max() <= 3


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.png", b"", "an empty file"),
        ("text.png", b"plain text", "not an image, or corrupt"),
        (
            "dds.png",
            b"DDS "
            + struct.pack("<7I", 124, 7, 4, 4, 0, 0, 0)
            + bytes(44)
            + struct.pack("<II4s", 32, 4, b"ZZZZ")
            + bytes(40),
            "not an image, or corrupt",
        ),
        ("bomb.png", 60_000, "more than the 89,478,485 px accepted"),
        ("large.png", 9_500, "more than the 89,478,485 px accepted"),
        ("size_mismatch.png", 100, "corrupt"),
    ],
)
def test_unreadable_files_are_rejected_with_the_reason(tmp_path, hollow_png, name, content, reason):
    path = tmp_path / name
    path.write_bytes(hollow_png(content) if isinstance(content, int) else content)
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and reason in message and "\n" not in message


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
def test_a_truncated_file_is_rejected(tmp_path, rng, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=f"image.{suffix}: "):
        read_image(path)


def test_unsupported_formats_are_rejected_by_name(tmp_path):
    path = tmp_path / "image.gif"
    Image.fromarray(GRADIENT).save(path)
    with pytest.raises(InputError, match="GIF is not supported; save it as PNG"):
        read_image(path)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not supported; save it as PNG, JPEG, BMP, TIFF or WebP"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF is not supported"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "CR3, a raw camera format, is not supported"),
        (b"\0\0\0\x18ftypisom\0\0\0\1", "a video, not an image"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL is not supported"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL is not supported"),
        (b"II\xbc\x01\x20\0\0\0", "JPEG XR is not supported"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\1\1\x11\0", "JPEG-LS is not supported"),
        (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x10\0\x10\1\1\x11\0", "or corrupt (cannot handle 12-bit layers)"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a TIFF of a kind that is not supported, or corrupt"),
        (b"IIRO\x08\0\0\0", "ORF, a raw camera format, is not supported"),
        (b"v/1\x01\x02\0\0\0", "OpenEXR is not supported"),
        (b"8BPS\0\x01", "PSD is not supported"),
        (bytes(128) + b"DICM", "DICOM is not supported"),
        (b"\x93NUMPY\1\0", "a NumPy array, not an image"),
        (b"%PDF-1.7", "a PDF document, not an image"),
        (b"<!DOCTYPE html><html>", "a web page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not an image"),
        (b"\x89PNG\r\n\x1a\n", "a PNG of a kind that is not supported, or corrupt"),
        (b"RIFF\0\0\0\0WAVE", "not an image, or corrupt"),
    ],
)
def test_files_of_other_kinds_are_rejected_by_name(tmp_path, head, reason):
    path = tmp_path / "image.png"
    path.write_bytes(head)
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ") and reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lab_color_is_rejected(tmp_path):
    path = tmp_path / "image.tif"
    Image.frombytes("LAB", (4, 4), bytes(48)).save(path)
    with pytest.raises(InputError, match="Lab color is not supported; save it as gray or RGB of 8 or 16 bits"):
        read_image(path)


def test_a_png_with_too_much_metadata_is_rejected(tmp_path):
    path = tmp_path / "image.png"
    info = PngInfo()
    info.add_text("comment", "a" * 2_000_000, zip=True)
    Image.fromarray(GRADIENT).save(path, pnginfo=info)
    with pytest.raises(InputError, match=r"image\.png: a PNG with more than 1 MiB of metadata; save it without"):
        read_image(path)


def test_a_jpeg_with_several_pictures_is_rejected(tmp_path):
    path = tmp_path / "image.jpg"
    image, preview = Image.fromarray(GRADIENT), Image.fromarray(GRADIENT[:10, :15])
    image.save(path, "MPO", save_all=True, append_images=[preview])
    assert read_image(path).shape == (40, 60, 3)
    image.save(path, "MPO", save_all=True, append_images=[image.rotate(180)])
    with pytest.raises(InputError, match="several pages in one file"):
        read_image(path)


def test_pipes_and_invalid_paths_are_rejected(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png: a pipe or device, not a file"):
        read_image(tmp_path / "pipe.png")
    for path in ("a\0b.png", "\ud800.png"):
        with pytest.raises(InputError, match="not a valid path") as caught:
            read_image(Path(path))
        assert str(caught.value).isascii() and "\0" not in str(caught.value)


def test_the_reason_of_a_decoder_is_one_short_line(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    write_png(path, GRADIENT)

    def fail(*_args, **_options):
        raise ValueError("\n" + 5000 * "x" + "\ny")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(InputError, match=r"image\.png: corrupt \(x{300}\.\.\.\)$"):
        read_image(path)


def test_a_too_large_file_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    write_png(path, GRADIENT)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    with pytest.raises(InputError, match="larger than"):
        read_image(path)


def test_missing_files_and_folders_are_rejected(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="a folder, not an image"):
        read_image(tmp_path)


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 3)])
def test_read_image_returns_what_write_png_wrote(tmp_path, rng, shape):
    path = tmp_path / "image.png"
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    write_png(path, image)
    assert np.array_equal(read_image(path, grayscale=len(shape) < 3 or shape[2] == 1), image.reshape(7, 9, -1))


def test_a_16_bit_tiff_with_white_as_zero_is_inverted(tmp_path):
    values = np.array([[0, 1000, 65_535]], np.uint16)
    path = tmp_path / "inverted.tif"
    Image.fromarray(values).save(path, tiffinfo={262: 0})
    assert (read_image(path, grayscale=True)[:, :, 0] == 65_535 - values).all()


def test_an_image_with_a_too_long_side_is_rejected(tmp_path):
    path = tmp_path / "long.png"
    Image.new("L", (40_000, 1)).save(path)
    with pytest.raises(InputError, match=r"long\.png: 40000 x 1 px, a side of more than 32,768 px"):
        read_image(path)


def test_a_jpeg_with_too_many_scans_is_rejected(tmp_path):
    buffer = BytesIO()
    Image.new("L", (64, 64), 100).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    path = tmp_path / "scans.jpg"
    path.write_bytes(whole)
    assert read_image(path).shape == (64, 64, 3)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    path.write_bytes(whole[:-2] + 200 * last + whole[-2:])
    with pytest.raises(InputError, match=r"scans\.jpg: a JPEG of more than 100 scans"):
        read_image(path)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ENOMEM])
def test_errors_of_the_machine_are_not_input_errors(tmp_path, monkeypatch, number):
    path = tmp_path / "image.png"
    Image.new("L", (8, 8)).save(path)

    def fail(*_args, **_options):
        raise OSError(number, "machine error")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match="machine error") as caught:
        read_image(path)
    assert not isinstance(caught.value, InputError)
    monkeypatch.undo()
    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(OSError, match="machine error"):
        read_image(path)


@pytest.mark.parametrize("size", [(1, 1), (90, 30_000), (30_000, 90), (700, 900), (512, 512), (513, 1024)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_of_images_of_several_strips_are_those_of_pillow(rng, size, mode):
    """A strip has 2**18 px."""
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8)).convert(mode)
    for grayscale in (False, True):
        expected = np.asarray(image.convert("L" if grayscale else "RGB")).reshape(*size[::-1], -1)
        found = pillow_pixels(image, "", grayscale=grayscale)
        assert np.array_equal(found, expected)


def test_pixels_of_a_pillow_image_are_its_own(rng):
    """Neither changes with the other, though Pillow can give its pixels without a copy."""
    image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    before = image.tobytes()
    pillow_pixels(image, "")[:] = 0
    assert image.tobytes() == before
