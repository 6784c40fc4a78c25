"""GenICam cameras, with a harvesters of the same interface in place of a real one: no camera is at hand."""

import sys
from threading import Event
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ssim_ae.sources.cameras import CameraError, pictures_of
from ssim_ae.sources.genicam import DEEP_FORMATS, FORMATS, GenicamError, image_of
from ssim_ae.sources.settings import source_settings

WIDTH, HEIGHT = 8, 6


class Closing:
    closed = False

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.closed = True


class Buffer(Closing):
    def __init__(self, level):
        part = SimpleNamespace(
            data_format="Mono8", data=np.full(WIDTH * HEIGHT, level, np.uint8), width=WIDTH, height=HEIGHT
        )
        self.payload = SimpleNamespace(components=[part])


class Camera(Closing):
    def __init__(self):
        self.buffers = [Buffer(10), None, Buffer(20)]
        self.fetched = []
        self.started = False

    def start(self):
        self.started = True

    def try_fetch(self, *, timeout):
        assert self.started and 0 < timeout < 1
        self.fetched.append(self.buffers[len(self.fetched)])
        return self.fetched[-1]


@pytest.fixture
def harvester(monkeypatch, tmp_path):
    """The harvester that a source creates; a GenTL producer is installed."""

    class Harvester(Closing):
        created = None

        def __init__(self):
            self.files, self.updated, self.camera = [], False, Camera()
            Harvester.created = self

        def add_file(self, path):
            self.files.append(path)

        def update(self):
            self.updated = True

        def create(self, search):
            assert self.updated and search == {"serial_number": "SN 42"}
            return self.camera

    core = ModuleType("harvesters.core")
    core.Harvester = Harvester
    monkeypatch.setitem(sys.modules, "harvesters", ModuleType("harvesters"))
    monkeypatch.setitem(sys.modules, "harvesters.core", core)
    (tmp_path / "maker.cti").write_bytes(b"")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(tmp_path))
    return Harvester


def genicam_source():
    return source_settings(["press1=genicam:SN 42"], [])[0]


def test_the_pictures_of_a_camera_are_read(harvester, tmp_path):
    stopped = Event()
    pictures = pictures_of(genicam_source(), stopped)
    images = [next(pictures).image.to_ndarray(format="rgb24") for _ in range(2)]
    stopped.set()
    assert list(pictures) == []
    assert [image.shape for image in images] == [(HEIGHT, WIDTH, 3)] * 2
    assert [int(image.mean()) for image in images] == [10, 20]
    camera = harvester.created.camera
    assert harvester.created.files == [str(tmp_path / "maker.cti")]
    assert camera.closed and harvester.created.closed and all(b.closed for b in camera.fetched if b)


def test_without_a_producer_the_camera_is_away(harvester, monkeypatch):
    monkeypatch.delenv("GENICAM_GENTL64_PATH")
    with pytest.raises(CameraError, match=r"^no GenTL producer; install that of the camera's maker"):
        next(pictures_of(genicam_source(), Event()))


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_each_pixel_format_is_an_image_with_its_brightness(pixel_format):
    samples = WIDTH * HEIGHT * (3 if pixel_format in ("RGB8", "BGR8") else 1)
    image = image_of(pixel_format, np.full(samples, 100, np.uint8), WIDTH, HEIGHT).to_ndarray(format="rgb24")
    assert image.shape == (HEIGHT, WIDTH, 3) and abs(int(image.mean()) - 100) <= 1


@pytest.mark.parametrize(("pixel_format", "bits"), DEEP_FORMATS.items())
def test_deep_pixels_are_reduced_to_eight_bits(pixel_format, bits):
    image = image_of(pixel_format, np.full(WIDTH * HEIGHT, 100 << bits - 8, np.uint16), WIDTH, HEIGHT)
    assert np.unique(image.to_ndarray()).tolist() == [100]


def test_colors_are_not_swapped():
    red_first = np.tile(np.array([200, 20, 20], np.uint8), WIDTH * HEIGHT)
    assert image_of("RGB8", red_first, WIDTH, HEIGHT).to_ndarray(format="rgb24")[0, 0].tolist() == [200, 20, 20]
    assert image_of("BGR8", red_first, WIDTH, HEIGHT).to_ndarray(format="rgb24")[0, 0].tolist() == [20, 20, 200]
    bayer = np.zeros((HEIGHT, WIDTH), np.uint8)
    bayer[::2, ::2] = 200  # RG8: the red pixels
    red, green, blue = (
        image_of("BayerRG8", bayer.ravel(), WIDTH, HEIGHT).to_ndarray(format="rgb24")[2:4, 2:4].mean((0, 1))
    )
    assert red > 100 and green < 50 and blue < 50


def test_an_unknown_pixel_format_is_named():
    with pytest.raises(
        GenicamError, match=r"^the pixel format YUV422_8 is not supported; set the camera to one of Mono8"
    ):
        image_of("YUV422_8", np.zeros(WIDTH * HEIGHT, np.uint8), WIDTH, HEIGHT)
