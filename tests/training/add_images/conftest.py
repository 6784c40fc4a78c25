"""A run on good images, and more images to add to it."""

import shutil
from pathlib import Path

import pytest

from ssim_ae import Config, train
from ssim_ae.detector.detector_file import DetectorFile, read_detector
from ssim_ae.synthetic import fabric

SETTINGS = {"method": "features", "im_resize": 64, "drawn_defects": 0}


@pytest.fixture(scope="module")
def first(fabric_folder: Path) -> Path:
    """A folder of 10 good images."""
    return fabric_folder / "train" / "good"


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 6 other good images, with the same names."""
    root = fabric.make(tmp_path_factory.mktemp("other"), classes=["twill"], train=6, size=64, seed=2)[0]
    return shutil.copytree(root / "train" / "good", tmp_path_factory.mktemp("later") / "more")


@pytest.fixture(scope="module")
def original(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on the first images."""
    return train(Config(dataset_path=str(first), **SETTINGS), runs=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """Return a copy of that run."""
    return shutil.copytree(original, tmp_path / "first-1")


def current(run: Path) -> DetectorFile:
    """Return the current detector file of a run."""
    return read_detector(run / "detector.safetensors")
