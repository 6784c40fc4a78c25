"""Whatever a caller gives as an image is read as its file would be, or is an error in one line."""

import os
from io import BytesIO

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ssim_ae.errors import InputError
from ssim_ae.images.files import read_image
from ssim_ae.images.inputs import pixels_of

COLORS = np.random.default_rng(5).integers(0, 256, (30, 40, 3), dtype=np.uint8)
DEEP = np.random.default_rng(6).integers(0, 65_536, (30, 40, 3), dtype=np.uint16)
FIXED = COLORS.copy()
FIXED.flags.writeable = False


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (COLORS, COLORS),
        (DEEP, DEEP),
        (DEEP.astype(">u2"), DEEP),
        (FIXED, FIXED),
        (COLORS[::2, ::-1], COLORS[::2, ::-1]),
        (np.asfortranarray(COLORS), COLORS),
        (np.ma.masked_array(COLORS), COLORS),
        (np.dstack([COLORS, COLORS[:, :, 0]]), COLORS),
        (np.dstack([DEEP, DEEP[:, :, 0]]), DEEP),
        (COLORS[:, :, 0], np.repeat(COLORS[:, :, :1], 3, axis=2)),
        (COLORS[:, :, :1], np.repeat(COLORS[:, :, :1], 3, axis=2)),
        (COLORS[:1, :1], COLORS[:1, :1]),
    ],
)
def test_arrays_of_every_layout(array, expected):
    pixels = pixels_of(array, grayscale=False)
    assert pixels.dtype == expected.dtype and pixels.dtype.isnative and np.array_equal(pixels, expected)
    assert pixels_of(array, grayscale=True).shape == (*array.shape[:2], 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            None,
            "should be a path, a Pillow image or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8 or uint16",
        ),
        (3, "not int"),
        (COLORS.tolist(), "not list"),
        (b"\x89PNG", "not bytes; open the content of a file with PIL.Image.open"),
        (BytesIO(b"\x89PNG"), "not BytesIO; open the content of a file with PIL.Image.open"),
        (torch.from_numpy(COLORS), "not Tensor; convert it with numpy.asarray"),
        (COLORS[:10, 50:50], "has no pixels, its shape is (10, 0, 3)"),
        (np.uint8(3), "not uint8"),
        (np.array(3, np.uint8), "not () of uint8"),
        (COLORS[0, 0], "not (3,) of uint8"),
        (COLORS[None], "not (1, 30, 40, 3) of uint8"),
        (COLORS[:, :, :2], "not (30, 40, 2) of uint8"),
        (np.moveaxis(COLORS, 2, 0), "; move the channels to the end with numpy.moveaxis(image, 0, 2)"),
        (COLORS > 5, "of bool; scale its values to 0 ... 255 and convert it with astype(numpy.uint8)"),
        (COLORS / 255, "of float64; scale its values"),
        (np.full((4, 4), np.nan), "of float64; scale its values"),
        (COLORS.astype(np.int64), "of int64; scale its values"),
        (np.empty((3, 3), object), "not (3, 3) of object"),
        (np.zeros((3, 3), [("red", np.uint8)]), "not (3, 3) of [('red', 'u1')]"),
        (Image.new("RGB", (0, 4)), "has no pixels, its size is 0 x 4"),
        (Image.new("F", (4, 4)), "floating-point gray is not supported"),
        (Image.new("LAB", (4, 4)), "Lab color is not supported"),
        (Image.new("I", (4, 4), 70_000), "32-bit gray is not supported"),
        (Image.new("L", (40_000, 1)), "40000 x 1 px, a side of more than 32,768 px"),
    ],
)
def test_what_is_no_image_is_an_error_in_one_line(value, reason):
    with pytest.raises(InputError) as caught:
        pixels_of(value, grayscale=False)
    message = str(caught.value)
    assert message.startswith("image: ") and reason in message and "\n" not in message


@pytest.mark.parametrize("path", ["no path", "", "a\0b", "\ud800", "x" * 5000, os.fsencode("/nowhere/ü.png")])
def test_paths_that_lead_nowhere_are_an_error_in_one_line(path):
    with pytest.raises(InputError, match=r"^[^\n]+$"):
        pixels_of(path, grayscale=False)


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "I;16B", "La", "RGBa", "RGBX"]


@pytest.mark.parametrize("mode", MODES)
def test_pillow_images_of_every_mode(mode):
    start = {"PA": "P", "La": "LA", "RGBa": "RGBA", "I;16B": "I;16"}.get(mode, "RGB")
    image = Image.fromarray(COLORS).convert("L" if mode.startswith("I;16") else "RGB").convert(start).convert(mode)
    before = image.tobytes()
    pixels = pixels_of(image, grayscale=False)
    assert pixels.shape == (30, 40, 3) and pixels.dtype == (np.uint16 if mode.startswith("I") else np.uint8)
    assert pixels_of(image, grayscale=True).shape == (30, 40, 1)
    assert image.tobytes() == before


def written(folder, write_png16):
    """Write files of every depth, with and without orientation, and return their paths."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLORS).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(COLORS).convert("P").save(folder / "palette.png", transparency=bytes(range(256)))
    Image.fromarray(DEEP[:, :, 0]).save(folder / "gray.png")
    Image.fromarray(DEEP[:, :, 0]).save(folder / "white_is_zero.tif", tiffinfo={262: 0})
    tifffile.imwrite(folder / "deep.tif", DEEP, photometric="rgb", compression="zlib")
    write_png16(folder / "deep.png", DEEP)
    write_png16(folder / "turned.png", DEEP, orientation=6)
    write_png16(folder / "alpha.png", DEEP[:, :, :2])
    return sorted(folder.iterdir())


def test_an_opened_pillow_image_is_read_as_its_file(tmp_path, write_png16):
    for path in written(tmp_path, write_png16):
        expected = read_image(path)
        for source in (path, BytesIO(path.read_bytes())):
            with Image.open(source) as image:
                for _ in range(2):
                    pixels = pixels_of(image, grayscale=False)
                    assert pixels.dtype == expected.dtype and np.array_equal(pixels, expected), path
                image.load()  # still works


def test_a_pillow_image_whose_bits_are_cut_is_an_error(tmp_path, write_png16):
    write_png16(tmp_path / "deep.png", DEEP)
    tifffile.imwrite(tmp_path / "deep.tif", DEEP, photometric="rgb")
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            image.load()
            with pytest.raises(InputError, match=r"^image: Pillow has cut its 16-bit colors to 8 bits; give the path"):
                pixels_of(image, grayscale=False)


def test_a_closed_pillow_image_is_an_error(tmp_path):
    Image.fromarray(COLORS).save(tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as image:
        pass
    with pytest.raises(InputError, match=r"^image: the file of a Pillow image is closed before its pixels are loaded"):
        pixels_of(image, grayscale=False)


@pytest.mark.parametrize("stack", [np.stack([DEEP[:, :, 0], DEEP[:, :, 1]]), np.stack([DEEP, DEEP[::-1]])])
def test_the_current_page_of_a_pillow_image_is_taken(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb" if stack.ndim == 4 else "minisblack")
    with Image.open(tmp_path / "a.tif") as image:
        image.seek(1)
        assert np.array_equal(pixels_of(image, grayscale=False), pixels_of(stack[1], grayscale=False))


def test_a_preview_is_taken_if_it_is_chosen(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLORS, photometric="rgb")
        for preview in (COLORS[:9, :9], COLORS[:5, :5]):
            file.write(preview.copy(), photometric="rgb", subfiletype=1)
    with Image.open(tmp_path / "a.tif") as image:
        image.seek(1)
        assert np.array_equal(pixels_of(image, grayscale=False), COLORS[:9, :9])


def test_a_preview_opened_by_pillow_is_an_error(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COLORS[:9, :9].copy(), photometric="rgb", subifds=1, subfiletype=1)
        file.write(COLORS, photometric="rgb")
    with Image.open(tmp_path / "a.tif") as image, pytest.raises(InputError, match=r"^image: a preview of the picture"):
        pixels_of(image, grayscale=False)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_tiff_file_opened_by_pillow_with_unsupported_pixels_is_an_error(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", COLORS[:, :, 0].astype(dtype), photometric="minisblack")
    with Image.open(tmp_path / "a.tif") as image:
        for _ in range(2):
            with pytest.raises(InputError, match=f"^image: TIFF with {np.dtype(dtype)} gray pixels is not supported"):
                pixels_of(image, grayscale=False)
            image.load()
