"""Images of 16 bits per channel keep their bits, or are refused."""

import numpy as np
import pytest
import tifffile

from ssim_ae.errors import InputError
from ssim_ae.images.colors import gray
from ssim_ae.images.files import read_image

ORIENTATION = 274  # tag of EXIF and TIFF


@pytest.fixture
def deep(rng):
    """(40, 60, 4) uint16: random values, with those that a byte order could hide."""
    values = rng.integers(0, 65_536, (40, 60, 4), dtype=np.uint16)
    values[0, 0] = (1, 256, 65_535, 255)
    return values


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_png_keeps_16_bit_colors(tmp_path, write_png16, deep, channels, interlaced):
    path = write_png16(tmp_path / "deep.png", deep[:, :, :channels], interlaced=interlaced)
    image = read_image(path)
    assert image.dtype == np.uint16 and np.array_equal(image, deep[:, :, :3])
    assert np.array_equal(read_image(path, grayscale=True), gray(deep[:, :, :3]))


@pytest.mark.parametrize("interlaced", [False, True])
def test_png_keeps_16_bit_gray_with_alpha(tmp_path, write_png16, deep, interlaced):
    path = write_png16(tmp_path / "deep.png", deep[:, :, :2], interlaced=interlaced)
    assert np.array_equal(read_image(path, grayscale=True), deep[:, :, :1])
    assert np.array_equal(read_image(path), np.repeat(deep[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_interlaced_png_files_are_read(tmp_path, write_png16, deep, size):
    values = deep[:size, :size, :3]
    assert np.array_equal(read_image(write_png16(tmp_path / "tiny.png", values, interlaced=True)), values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize("compression", [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_keeps_16_bit_colors(tmp_path, deep, channels, compression, layout, big, order):
    path = tmp_path / "deep.tif"
    values = deep[:, :, :channels]
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    options = {**compression, **layout, **extra, "bigtiff": big, "byteorder": order}
    tifffile.imwrite(path, values, photometric="rgb", **options)
    if big and order == ">":
        with pytest.raises(InputError, match=r"deep\.tif: big-endian BigTIFF is not supported"):
            read_image(path)
    else:
        assert np.array_equal(read_image(path), deep[:, :, :3])


def test_deep_colors_are_turned_upright(tmp_path, write_png16, deep):
    colors, upright = deep[:, :, :3], np.rot90(deep[:, :, :3], -1)
    tifffile.imwrite(tmp_path / "deep.tif", colors, photometric="rgb", extratags=[(ORIENTATION, "H", 1, 6, True)])
    assert np.array_equal(read_image(tmp_path / "deep.tif"), upright)
    assert np.array_equal(read_image(write_png16(tmp_path / "deep.png", colors, orientation=6)), upright)


def test_a_truncated_deep_image_is_rejected(tmp_path, write_png16, deep):
    path = write_png16(tmp_path / "deep.png", deep)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"deep\.png: corrupt \(image file is truncated"):
        read_image(path)
