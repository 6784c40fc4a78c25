"""Which image of a TIFF file is read, and what is said about the others and about unsupported pixels."""

import struct

import numpy as np
import pytest
import tifffile

from ssim_ae.errors import InputError
from ssim_ae.images.files import read_image

SEVERAL_PAGES = "several pages in one file; save each page as a separate image"
OPTIONS = [{}, {"bigtiff": True}, {"byteorder": ">"}]


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)


@pytest.fixture
def preview(picture):
    return picture[:10, :12].copy()


def write(path, *pages, **options):
    """Write pages, each a pair of pixels and options."""
    with tifffile.TiffWriter(path, **options) as file:
        for pixels, page_options in pages:
            photometric = "mask" if pixels.dtype == bool else "rgb" if pixels.ndim == 3 else "minisblack"
            file.write(pixels, **{"photometric": photometric, "metadata": None, **page_options})
    return path


def reason(path):
    with pytest.raises(InputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("options", OPTIONS)
def test_the_picture_is_read_wherever_its_previews_are(tmp_path, picture, preview, options):
    middle, reduced = picture[:25, :30].copy(), {"subfiletype": 1}
    for pages in (
        [(preview, {"subifds": 1, **reduced}), (picture, {})],
        [(preview, {"subifds": 2, **reduced}), (middle, reduced), (picture, {"tile": (16, 16)})],
        [(preview, reduced), (picture, {})],
        [(preview[:, :, 0].astype(np.float32), {"subifds": 1, **reduced}), (picture, {})],
        [(picture, {"subifds": 2}), (middle, {}), (preview, {})],
        [(picture, {}), (middle, reduced)],
        [(picture, {}), (picture[:, :, 0] > 99, {"subfiletype": 4})],  # a mask
        [(picture, reduced)],
    ):
        assert np.array_equal(read_image(write(tmp_path / "pages.tif", *pages, **options)), picture)


def test_a_picture_of_16_bits_is_read_from_behind_its_preview(tmp_path, preview, rng):
    picture = rng.integers(0, 65_536, (50, 60, 3), dtype=np.uint16)
    path = write(tmp_path / "a.tif", (preview, {"subifds": 1, "subfiletype": 1}), (picture, {"compression": "zlib"}))
    assert np.array_equal(read_image(path), picture)


def test_an_older_mark_of_previews_counts(tmp_path, picture, preview):
    path = write(tmp_path / "a.tif", (preview, {"extratags": [(255, "H", 1, 2, True)]}), (picture, {}))
    assert np.array_equal(read_image(path), picture)


@pytest.mark.parametrize("options", OPTIONS)
def test_several_pictures_are_rejected(tmp_path, picture, preview, options):
    reduced = {"subfiletype": 1}
    for pages in (
        [(picture, {}), (picture, {})],
        [(preview, reduced), (picture, {}), (picture, {})],
        [(preview, {}), (picture, {})],
        [(picture, {"subifds": 1}), (picture, {})],
    ):
        assert reason(write(tmp_path / "pages.tif", *pages, **options)) == SEVERAL_PAGES


def test_pages_without_directories_are_rejected(tmp_path, rng):
    stack = rng.integers(0, 65_536, (16, 32, 32), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", truncate=True)
    assert reason(tmp_path / "a.tif") == SEVERAL_PAGES
    tifffile.imwrite(tmp_path / "b.tif", stack, photometric="minisblack", volumetric=True, tile=(16, 16, 16))
    assert reason(tmp_path / "b.tif") == SEVERAL_PAGES
    description = "ImageJ=1.54f\nimages=16\nslices=16\n"
    tifffile.imwrite(tmp_path / "c.tif", stack[0], photometric="minisblack", description=description, metadata=None)
    assert reason(tmp_path / "c.tif") == SEVERAL_PAGES
    tifffile.imwrite(tmp_path / "d.tif", stack[0], imagej=True)
    assert np.array_equal(read_image(tmp_path / "d.tif", grayscale=True)[:, :, 0], stack[0])


def test_an_unmarked_preview_is_named(tmp_path, picture, preview):
    path = write(tmp_path / "a.tif", (preview, {"subifds": 1}), (picture, {}))
    assert reason(path) == "a preview of 12 x 10 px stands before the picture of 60 x 50 px; save the picture alone"


def test_a_preview_is_not_read_if_the_picture_cannot_be_found(tmp_path, picture, preview):
    path = write(tmp_path / "a.tif", (preview, {"subifds": 1, "subfiletype": 1}), (picture, {}))
    with tifffile.TiffFile(path) as file:
        position = file.pages[0].tags["SubIFDs"].offset + 8
    content = bytearray(path.read_bytes())
    content[position : position + 4] = struct.pack("<I", len(content) - 3)
    path.write_bytes(content)
    assert reason(path) == "only a preview of the picture can be read; save the picture itself"


def test_raw_camera_images_are_rejected(tmp_path, picture, preview):
    sensor = picture[:, :, 0].astype(np.uint16)
    dng = [(preview, {"subifds": 1, "subfiletype": 1, "extratags": [(50_706, "B", 4, (1, 4, 0, 0), True)]})]
    for pages in (
        [*dng, (picture, {})],
        [(preview, {"subifds": 2, "subfiletype": 1}), (picture, {}), (sensor, {"photometric": "cfa"})],
        [(picture.astype(np.uint16), {"photometric": "linear_raw"})],
    ):
        path = write(tmp_path / "raw.tif", *pages)
        assert reason(path) == "raw camera images (DNG and others) are not supported; convert it to PNG or TIFF"


def test_raw_images_by_canon_are_rejected(tmp_path):
    path = tmp_path / "raw.tif"
    width_alone = struct.pack("<HHHLLL", 1, 256, 4, 1, 60, 0)
    path.write_bytes(struct.pack("<4sL4s4x", b"II*\0", 16, b"CR\2\0") + width_alone)
    assert reason(path).startswith("raw camera images (DNG and others) are not supported")


def test_compression_that_is_not_supported_is_named(tmp_path, picture):
    path = write(tmp_path / "a.tif", (picture, {}))
    for compression in (34_712, 50_001):
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages[0].tags["Compression"].overwrite(compression)
        assert reason(path).startswith(f"TIFF with uint8 RGB pixels, compression {compression}, is not supported")


@pytest.mark.parametrize(
    ("dtype", "channels", "options", "kind"),
    [
        (np.int8, 1, {}, "int8 gray pixels"),
        (np.int16, 1, {}, "int16 gray pixels"),
        (np.int16, 3, {}, "int16 RGB pixels"),
        (np.uint32, 1, {}, "uint32 gray pixels"),
        (np.float32, 1, {}, "float32 gray pixels"),
        (np.float32, 3, {}, "float32 RGB pixels"),
        (np.complex64, 1, {}, "complex64 gray pixels"),
        (np.uint16, 1, {"photometric": "miniswhite", "byteorder": ">"}, "uint16 white-is-zero gray pixels"),
        (
            np.uint16,
            2,
            {"extrasamples": ["unassalpha"], "planarconfig": "contig"},
            "uint16 gray pixels with 1 further channel",
        ),
        (np.uint16, 3, {"photometric": "cielab"}, "uint16 Lab pixels"),
        (np.uint16, 4, {"photometric": "separated"}, "uint16 CMYK pixels"),
        (np.uint16, 4, {"extrasamples": ["assocalpha"]}, "uint16 RGB pixels with premultiplied alpha"),
        (np.uint16, 5, {"extrasamples": ["unassalpha", "unspecified"]}, "uint16 RGB pixels with 2 further channels"),
    ],
)
def test_unsupported_pixels_are_named(tmp_path, dtype, channels, options, kind):
    values = np.arange(30 * channels).reshape(5, 6, channels).astype(dtype)
    photometric = "rgb" if channels > 2 else "minisblack"
    pixels = values[:, :, 0] if channels == 1 else values
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **{"photometric": photometric, "metadata": None, **options})
    assert reason(path) == f"TIFF with {kind} is not supported; save it as uint8 or uint16 gray or RGB"


def test_separate_planes_are_read_or_rejected(tmp_path, picture):
    planes = np.moveaxis(picture, 2, 0).copy()
    path = write(tmp_path / "a.tif", (planes, {"planarconfig": "separate"}))
    assert np.array_equal(read_image(path), picture)
    path = write(tmp_path / "b.tif", (planes.astype(np.uint16), {"planarconfig": "separate"}))
    assert reason(path).startswith("TIFF with uint16 RGB pixels in separate planes is not supported")


@pytest.mark.parametrize("channels", [1, 3])
def test_premultiplied_alpha_of_8_bits_is_undone(tmp_path, channels):
    alpha = np.linspace(100, 255, 60).astype(np.uint8).reshape(6, 10, 1)
    values = np.repeat(alpha // 2, channels, axis=2)  # half of white
    photometric = "rgb" if channels == 3 else "minisblack"
    options = {"photometric": photometric, "extrasamples": ["assocalpha"], "planarconfig": "contig"}
    path = write(tmp_path / "a.tif", (np.concatenate([values, alpha], axis=2), options))
    assert np.abs(read_image(path).astype(int) - 127).max() <= 2


def test_every_truncation_is_an_error_in_one_line(tmp_path, picture, preview):
    path = write(tmp_path / "a.tif", (preview, {"subifds": 1, "subfiletype": 1}), (picture, {}))
    content = path.read_bytes()
    for length in [*range(12), *range(12, len(content), 97)]:
        path.write_bytes(content[:length])
        assert reason(path)
