"""The command `draw`: any built-in data set by its name, and `fabric`, short for `draw fabric`."""

from pathlib import Path

import pytest
from PIL import Image

from ssim_ae.cli import main
from ssim_ae.images.folders import find_dataset

ONE_OF_EACH = ["--train", "1", "--good", "1", "--defective", "1"]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize(
    ("name", "size", "shape", "mode"), [("connector", 640, (640, 250), "RGB"), ("plate", 800, (800, 600), "L")]
)
def test_a_data_set_is_written_with_its_masks(tmp_path, capsys, name, size, shape, mode):
    assert main(["draw", name, str(tmp_path), *ONE_OF_EACH, "--size", str(size)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / name}\n"
    dataset = find_dataset(tmp_path / name)
    assert (len(dataset.good), len(dataset.test)) == (1, 4)
    for path in tmp_path.rglob("*.png"):
        with Image.open(path) as image:
            assert image.size == shape and image.mode == ("L" if "ground_truth" in path.parts else mode)
            assert not path.name.endswith("_mask.png") or image.getextrema() == (0, 255)


def test_fabric_is_short_for_draw_fabric(tmp_path):
    options = [*ONE_OF_EACH, "--size", "64", "--classes", "badge"]
    assert main(["fabric", str(tmp_path / "short"), *options]) == 0
    assert main(["draw", "fabric", str(tmp_path / "long"), *options]) == 0
    assert contents(tmp_path / "short") == contents(tmp_path / "long")
    assert len(contents(tmp_path / "short")) == 14


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["draw", "conector", "x"],
            "draw: unknown data set 'conector' (did you mean 'connector'?); choose from",
        ),
        (["draw", "x"], "the following arguments are required: FOLDER; see ssim-ae draw -h"),
        (["draw", "connector", "x", "--classes", "twill"], "--classes: unknown class 'twill'"),
        (["draw", "plate", "x", "--size", "256"], "--size: should be at least 800, not 256"),
        (["draw", "plate", "x", "--size", "40000"], "--size: should be at most 8000, not 40000"),
        (["fabric", "x", "--size", "63"], "--size: should be at least 64, not 63"),
        (["draw", "plate", "x", "--train", "0"], "--train: should be at least 1, not 0"),
    ],
)
def test_usage_errors_are_one_line_and_write_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
