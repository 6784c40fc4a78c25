"""The table of image formats and everything that is derived from it."""

import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image

from ssim_ae.images.files import decode_image, read_image
from ssim_ae.images.formats import IMAGE_FORMATS, SUFFIXES, UNSUPPORTED_SUFFIXES, ImageFormat, listed_names
from ssim_ae.images.search import find_images

# A program that adds one line to the table, writes an image in the added format and passes it through every reader.
ADD_A_FORMAT = """
import sys
from importlib.util import find_spec, module_from_spec
from io import BytesIO
from pathlib import Path

from PIL import Image

spec = find_spec("ssim_ae.images.formats")
table = "IMAGE_FORMATS = (\\n"
line = '    ImageFormat("PPM", (".pnm",), "image/x-portable-anymap"),\\n'
source = Path(spec.origin).read_text()
assert source.count(table) == 1
sys.modules[spec.name] = module_from_spec(spec)
exec(source.replace(table, table + line), vars(sys.modules[spec.name]))

from ssim_ae.errors import InputError
from ssim_ae.images.files import decode_image, read_image
from ssim_ae.images.search import find_images
from ssim_ae.server.page import page_html
from ssim_ae.server.uploads import ACCEPTED_MEDIA_TYPES

path = Path(sys.argv[1]) / "image.pnm"
Image.new("RGB", (7, 5)).save(path, "PPM")
assert read_image(path).shape == (5, 7, 3)
assert find_images(path.parent) == (path,)
assert "image/x-portable-anymap" in ACCEPTED_MEDIA_TYPES
page = page_html({}, watching=False)
assert "image/x-portable-anymap" in page and ".pnm" in page
gif = BytesIO()
Image.new("RGB", (7, 5)).save(gif, "GIF")
try:
    decode_image(gif, "image.gif")
except InputError as error:
    assert "save it as PPM, PNG" in str(error)
else:
    raise AssertionError("a GIF was read")
"""


@pytest.mark.parametrize("image_format", IMAGE_FORMATS, ids=lambda image_format: image_format.name)
def test_every_format_is_written_found_and_read(tmp_path, image_format: ImageFormat):
    buffer = BytesIO()
    Image.new("RGB", (7, 5), (9, 99, 199)).save(buffer, image_format.name)
    assert decode_image(buffer, "image").shape == (5, 7, 3)
    paths = [tmp_path / f"image{suffix}" for suffix in image_format.suffixes]
    for path in paths:
        path.write_bytes(buffer.getvalue())
        assert read_image(path).shape == (5, 7, 3)
    assert find_images(tmp_path) == tuple(sorted(paths))
    assert Image.MIME[image_format.name.upper()] == image_format.media_type


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.Jpeg", "a.DIB", "a.TIFF", "a.WebP", "a.APNG"])
def test_suffixes_of_supported_formats_are_found_in_any_case(tmp_path, name):
    path = tmp_path / name
    path.touch()
    assert find_images(tmp_path) == (path,) and path.suffix.lower() in SUFFIXES


def test_every_format_is_accepted_by_the_server_and_its_page():
    pytest.importorskip("fastapi")
    from ssim_ae.server.page import page_html
    from ssim_ae.server.uploads import ACCEPTED_MEDIA_TYPES

    html = page_html({}, watching=False)
    for image_format in IMAGE_FORMATS:
        assert image_format.media_type in ACCEPTED_MEDIA_TYPES
        assert image_format.media_type in html and all(suffix in html for suffix in image_format.suffixes)


def test_a_format_is_added_by_one_line(tmp_path):
    pytest.importorskip("fastapi")
    subprocess.run([sys.executable, "-c", ADD_A_FORMAT, tmp_path], check=True)


def test_no_suffix_is_both_supported_and_unsupported():
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert not set(SUFFIXES) & set(UNSUPPORTED_SUFFIXES)


def test_messages_list_the_formats():
    assert listed_names() == "PNG, JPEG, BMP, TIFF or WebP"
