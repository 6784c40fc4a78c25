"""Data and detectors that several tests share: made once, small, in seconds."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and PyTorch start threads, which small arrays wait for

import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssim_ae import Config, Detector, train
from ssim_ae.synthetic import fabric
from ssim_ae.training.train import Run

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"

TINY = {
    "method": "reference",
    "im_resize": 64,
    "crop_size": 32,
    "z_dim": 8,
    "flc": 4,
    "augment_num": 64,
    "batch_size": 16,
    "epochs": 2,
    "stride": 16,
    "drawn_defects": 0,
    "device_target": "CPU",
    "precision": "fp32",
}


@pytest.fixture(scope="session")
def fabric_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small twill data set of 64 px in MVTec AD's layout."""
    root = tmp_path_factory.mktemp("fabric")
    return fabric.make(root, classes=["twill"], train=10, good=4, defective=1, size=64, seed=1)[0]


@pytest.fixture(scope="session")
def tiny_config(fabric_folder: Path) -> Config:
    """Settings of a training that takes a second, of images that are taken for those of a part."""
    return Config(dataset_path=str(fabric_folder), texture=False, **TINY)


@pytest.fixture(scope="session")
def tiny_run(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run trained with them."""
    return train(tiny_config, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def cloth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A twill data set of 128 px, large enough to find most of its defects."""
    root = tmp_path_factory.mktemp("cloth")
    return fabric.make(root, classes=["twill"], train=30, good=8, defective=2, size=128, seed=1)[0]


@pytest.fixture(scope="session")
def features_run(cloth_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the method `features` on it."""
    config = Config(method="features", dataset_path=str(cloth_folder), resolution=128, drawn_defects=0)
    return train(config, runs=tmp_path_factory.mktemp("features"))


@pytest.fixture
def detector(tiny_run: Run) -> Detector:
    """The detector of that run."""
    return Detector.load(tiny_run.folder, device_target="CPU")


@pytest.fixture
def rng() -> np.random.Generator:
    """Numbers that are the same in every run."""
    return np.random.default_rng(7)


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """Return a context manager in which a command is killed when it replaces a file, after so many others."""

    @contextmanager
    def killed(writes: int) -> Iterator[None]:
        left = iter(range(writes))

        def replace(source: str, target: str, replace: Callable[..., None] = os.replace) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replace)
            patched.setattr(Path, "replace", replace)
            yield

    return killed


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium. Skips where there is none, but fails where the tests decide on a change."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not path:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium: install one, or name it in CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def bottle() -> Path:
    """Real images, where they are at hand."""
    folder = REAL_DATA / "mvtec" / "bottle"
    if not folder.is_dir():
        pytest.skip("no MVTec AD images at ../shared/data")
    return folder


@pytest.fixture(scope="session")
def hollow_png() -> Callable[[int], bytes]:
    """Return a function that makes a PNG of a few hundred bytes whose header states side x side px."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(side: int) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")

    return png


@pytest.fixture
def good_folder(tmp_path):
    """A folder of 40 good images."""
    fabric.make(tmp_path, classes=["twill"], train=40, good=1, defective=1, size=64, seed=5)
    return tmp_path / "twill" / "train" / "good"
