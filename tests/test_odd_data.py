"""Unusual data sets, through the commands: a correct result, or one line that says what is wrong."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.conftest import TINY

from ssim_ae.cli import main

KEYS = [f"--{key}={value}" for key, value in TINY.items()]


def metrics(folder):
    (path,) = folder.rglob("metrics.json")
    return json.loads(path.read_text())


def write_image(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def test_names_with_spaces_and_letters_of_any_language(fabric_folder, tmp_path, capsys):
    copy = shutil.copytree(fabric_folder, tmp_path / "Größe 1" / "部品 <b>")
    (copy / "test" / "hole").rename(copy / "test" / "Löcher & Risse")
    (copy / "ground_truth" / "hole").rename(copy / "ground_truth" / "Löcher & Risse")
    assert main(["train", str(copy), "--runs", str(tmp_path / "runs"), *KEYS]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert main(["report", str(run), str(copy)]) == 0
    assert "Löcher & Risse" in capsys.readouterr().out
    page = (run / "report" / "index.html").read_text()
    assert "部品" in page and "<b>" not in page


@pytest.mark.parametrize("kept", ["good", "hole"])
def test_a_test_set_of_one_kind_has_no_auroc(tiny_run, fabric_folder, tmp_path, capsys, kept):
    shutil.copytree(fabric_folder / "train", tmp_path / "d" / "train")
    shutil.copytree(fabric_folder / "test" / kept, tmp_path / "d" / "test" / kept)
    shutil.copytree(fabric_folder / "ground_truth", tmp_path / "d" / "ground_truth")
    assert main(["evaluate", str(tiny_run.folder), str(tmp_path / "d"), f"--save_dir={tmp_path}/out"]) == 0
    assert f"{'nok' if kept == 'good' else 'ok'}: nan" in capsys.readouterr().out
    assert json.dumps(metrics(tmp_path / "out"), allow_nan=False)
    assert metrics(tmp_path / "out")["metrics"]["all"]["image_auroc"]["value"] is None


@pytest.mark.parametrize("count", [1, 2])
def test_few_good_images_are_a_note_with_the_false_alarms_to_expect(fabric_folder, tmp_path, capsys, count):
    (tmp_path / "good").mkdir()
    for path in sorted((fabric_folder / "train" / "good").iterdir())[:count]:
        shutil.copy(path, tmp_path / "good")
    assert main(["train", str(tmp_path / "good"), "--runs", str(tmp_path / "runs"), *KEYS]) == 0
    notes = capsys.readouterr().err
    assert "thresholds: estimated from only 1 good image; up to 95.0 % of new good images may be rejected" in notes
    assert ("thresholds: estimated from training images (none is held out)" in notes) == (count == 1)


def test_good_images_without_any_structure(tmp_path, capsys):
    for number in range(10):
        write_image(tmp_path / "gray" / f"{number}.png", np.full((64, 64), 100 + number % 2))
    write_image(tmp_path / "other.png", np.full((64, 64), 230))
    assert main(["train", str(tmp_path / "gray"), "--runs", str(tmp_path / "runs"), *KEYS]) == 0
    capsys.readouterr()
    assert main(["predict", str(next((tmp_path / "runs").iterdir())), str(tmp_path / "other.png")]) == 0
    assert capsys.readouterr().out.startswith("nok")


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (64, 1)])
@pytest.mark.parametrize("value", [0, 255])
def test_an_image_of_one_pixel(tiny_run, tmp_path, capsys, size, value):
    write_image(tmp_path / "small.png", np.full(size, value))
    assert main(["predict", str(tiny_run.folder), str(tmp_path / "small.png")]) == 0
    verdict, score, _ = capsys.readouterr().out.split(maxsplit=2)
    assert verdict in ("ok", "nok") and (float(score) > 1) == (verdict == "nok")
