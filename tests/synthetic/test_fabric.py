"""The built-in data set of fabrics: reproducible images, exact masks, and good images that vary."""

import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ssim_ae.synthetic import data_set, fabric
from ssim_ae.synthetic.defects import SURFACE_DEFECTS

SEED = 11
SMALLEST_MASK = 14 * 9  # px
DETECTOR_OPENING = 9  # px, side of a square
NOISE_LEVELS = 2.0  # gray levels, standard deviation of the sensor noise


@cache
def clean_image(name: str) -> np.ndarray:
    """Return the image of a class without a defect, float (size, size, 3)."""
    return fabric.draw(name, seed=SEED)[0].astype(float)


@cache
def change_of(name: str, defect: str, *, difficulty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of the image by a defect, in gray levels (size, size), and the mask of the defect."""
    defective, mask = fabric.draw(name, seed=SEED, defect=defect, difficulty=difficulty)
    return np.abs(defective - clean_image(name)).max(axis=-1), mask


def opened(mask: np.ndarray, side: int) -> np.ndarray:
    """Open a mask with a square of `side` pixels."""
    image = Image.fromarray(np.uint8(255) * mask)
    return np.asarray(image.filter(ImageFilter.MinFilter(side)).filter(ImageFilter.MaxFilter(side))) > 0


def detail(image: np.ndarray) -> np.ndarray:
    """Return an image without its low frequencies, float (size, size, 3)."""
    lighting = Image.fromarray(image).filter(ImageFilter.GaussianBlur(6))
    return image - np.asarray(lighting, float)


@pytest.mark.parametrize("name", fabric.CLASSES)
def test_equal_seeds_draw_equal_images(name: str) -> None:
    first, first_mask = fabric.draw(name, seed=[3, 4], defect="hole", difficulty=0.4)
    second, second_mask = fabric.draw(name, seed=[3, 4], defect="hole", difficulty=0.4)
    assert first.tobytes() == second.tobytes()
    assert first_mask.tobytes() == second_mask.tobytes()


@pytest.mark.parametrize("name", fabric.CLASSES)
def test_different_seeds_draw_different_images(name: str) -> None:
    first, second = (fabric.draw(name, seed=seed)[0].astype(float) for seed in (1, 2))
    assert np.abs(first - second).mean() > 2 * NOISE_LEVELS


@pytest.mark.parametrize("size", [128, 256])
def test_image_and_mask_have_the_given_size(size: int) -> None:
    image, mask = fabric.draw("badge", seed=0, size=size)
    assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((size, size), np.bool_)
    assert not mask.any()


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
@pytest.mark.parametrize("defect", fabric.DEFECTS)
@pytest.mark.parametrize("name", fabric.CLASSES)
def test_the_mask_covers_the_change(name: str, defect: str, difficulty: float) -> None:
    change, mask = change_of(name, defect, difficulty=difficulty)
    assert change[mask].mean() > 15
    assert (change[mask] > 12).mean() > 0.5
    assert change[~mask].mean() < 0.3
    assert (change[~mask] > 60).sum() < 30


@pytest.mark.parametrize("defect", fabric.DEFECTS)
@pytest.mark.parametrize("name", fabric.CLASSES)
def test_the_most_difficult_defects_survive_the_opening_of_a_detector(name: str, defect: str) -> None:
    _, mask = change_of(name, defect, difficulty=1.0)
    rows, columns = np.nonzero(opened(mask, DETECTOR_OPENING))
    assert len(rows) >= SMALLEST_MASK
    assert max(np.ptp(rows), np.ptp(columns)) + 1 >= 14


@pytest.mark.parametrize("defect", fabric.DEFECTS)
def test_a_difficult_defect_is_smaller_than_an_easy_one(defect: str) -> None:
    easy, hard = (change_of("canvas", defect, difficulty=level)[1].sum() for level in (0.0, 1.0))
    assert hard < 0.6 * easy


@pytest.mark.parametrize(("name", "min_share"), [("twill", 0.8), ("canvas", 0.8), ("badge", 0.15)])
def test_the_mean_image_does_not_predict_the_details(name: str, min_share: float) -> None:
    details = np.stack([detail(fabric.draw(name, seed=[20, index], size=128)[0]) for index in range(8)])
    residual = np.abs(details - details.mean(axis=0)).mean()
    assert residual > 2 * NOISE_LEVELS
    assert residual > min_share * np.abs(details).mean()


@pytest.mark.parametrize(("name", "defect"), [("silk", None), ("twill", "moth")])
def test_unknown_names_are_rejected(name: str, defect: str | None) -> None:
    with pytest.raises(ValueError, match=defect or name):
        fabric.draw(name, seed=0, defect=defect)


def test_make_writes_the_complete_layout_with_masks(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "fabric"
    made = fabric.make(folder, classes=["canvas", "badge"], train=2, good=1, defective=2, size=64)
    assert made == [folder / "canvas", folder / "badge"]
    assert sorted(folder.iterdir()) == sorted(made)
    expected = {"train/good/000.png", "train/good/001.png", "test/good/000.png"}
    for defect in fabric.DEFECTS:
        for index in range(2):
            expected |= {f"test/{defect}/{index:03}.png", f"ground_truth/{defect}/{index:03}_mask.png"}
    for root in made:
        assert {path.relative_to(root).as_posix() for path in root.rglob("*.png")} == expected
        for path in root.glob("ground_truth/*/*.png"):
            with Image.open(path) as mask:
                assert (mask.mode, mask.size) == ("L", (64, 64))
                assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_all_images_of_a_data_set_differ(tmp_path: Path) -> None:
    (root,) = fabric.make(tmp_path, classes=["twill"], train=3, good=3, defective=1, size=64)
    contents = [path.read_bytes() for path in root.glob("t*/*/*.png")]
    assert len(set(contents)) == len(contents) == 12


def test_an_unknown_class_is_rejected_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="silk"):
        fabric.make(tmp_path, classes=["twill", "silk"], train=1, good=1, defective=1, size=64)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_class_folder_is_rejected_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / "badge").mkdir()
    with pytest.raises(FileExistsError, match="badge"):
        fabric.make(tmp_path, train=1, good=1, defective=1, size=64)
    assert [path.name for path in tmp_path.rglob("*")] == ["badge"]


def test_an_interruption_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data_set._ClassWriter, "write_defective", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fabric.make(tmp_path, classes=["twill"], train=1, good=1, size=64)
    assert list(tmp_path.iterdir()) == []


def test_every_defect_can_be_drawn() -> None:
    assert set(SURFACE_DEFECTS) | {"displaced"} == set(fabric.DEFECTS)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for processes")
def test_a_terminated_command_leaves_no_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ssim_ae", "draw", "fabric", str(tmp_path), "--train", "5000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        _, error = process.communicate(timeout=60)
    # With -m, CPython ends by SIGINT, which shells report as 130, if the interruption came while it executed a text.
    assert process.returncode in (130, -signal.SIGINT) and "interrupted" in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())
