"""Unusual data sets, through the commands: a correct result, or one line that says what is wrong."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.conftest import TINY

from ssim_ae import Config, find_dataset
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import DETECTOR_NAME
from ssim_ae.training.good_images import held_out_indices, load_good_images
from ssim_ae.training.recalibrate import known_images

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


@pytest.fixture(scope="module")
def suffix_run(fabric_folder, tmp_path_factory):
    """A folder with two images a part, and the run of a training on those whose names end with _rgb.png."""
    root = tmp_path_factory.mktemp("suffixes")
    for path in sorted((fabric_folder / "train" / "good").iterdir()):
        pixels = np.asarray(Image.open(path))
        write_image(root / "data" / f"{path.stem}_rgb.png", pixels)
        write_image(root / "data" / f"{path.stem}_depth.png", 255 - pixels)
    assert main(["train", str(root / "data"), "--runs", str(root), "--img_suffix", "_rgb.png", *KEYS]) == 0
    return root / "data", root / "data-1"


def test_the_suffix_of_the_training_holds_in_every_command(suffix_run, tmp_path, capsys):
    data, run = suffix_run
    skipped = "skipped: 10 images without the suffix _rgb.png (000_depth.png, 001_depth.png, 002_depth.png, ...)"
    capsys.readouterr()

    assert main(["threshold", str(run), str(data), "--output", str(tmp_path / "new.safetensors")]) == 0
    printed = capsys.readouterr()
    assert "from 2 held-out images" in printed.out and f"{data}: {skipped}" in printed.err
    before, after = (read_detector(path).thresholds for path in (run / DETECTOR_NAME, tmp_path / "new.safetensors"))
    assert after == pytest.approx(before, rel=1e-3)

    assert main(["predict", str(run), str(data)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 10 and "depth" not in printed.out and skipped in printed.err
    assert main(["predict", str(run), str(data / "000_depth.png"), str(data / "000_rgb.png")]) == 0
    assert "1 file without the suffix _rgb.png of the images that the detector" in capsys.readouterr().err

    for kind, inverted in (("good", False), ("bad", True)):
        for path in data.glob("00[0-3]_rgb.png"):
            pixels = np.asarray(Image.open(path))[::-1]
            write_image(tmp_path / "new" / kind / path.name, 255 - pixels if inverted else pixels)
            write_image(tmp_path / "new" / kind / path.name.replace("rgb", "depth"), pixels)
    assert main(["evaluate", str(run), str(tmp_path / "new"), f"--save_dir={tmp_path}/out"]) == 0
    assert set(metrics(tmp_path / "out")["images"]) == {
        f"{kind}/00{number}_rgb" for kind in ("good", "bad") for number in range(4)
    }
    assert main(["report", str(run), "--output", str(tmp_path / "report")]) == 0
    assert f"note: data: {skipped}" in capsys.readouterr().err
    held_out, training = known_images(read_detector(run / DETECTOR_NAME), run)
    assert len(held_out + training) == 10 and all(path.name.endswith("_rgb.png") for path in held_out + training)


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_labeled_folder_is_evaluated_with_all_images_that_were_not_learned(
    tiny_run, fabric_folder, tmp_path, capsys, command
):
    shutil.copytree(fabric_folder / "test" / "good", tmp_path / "data" / "OK")
    shutil.copytree(fabric_folder / "test" / "hole", tmp_path / "data" / "NG")
    training_image = min((fabric_folder / "train" / "good").iterdir())
    shutil.copy(training_image, tmp_path / "data" / "OK" / "learned.png")
    output = f"--{'save_dir' if command == 'evaluate' else 'output'}={tmp_path}/out"
    assert main([command, str(tiny_run.folder), str(tmp_path / "data"), output]) == 0
    total = metrics(tmp_path / "out")["metrics"]["all"]
    assert (total["good"], total["defective"]) == (4, 1)
    notes = capsys.readouterr().err
    assert "data: OK: counted as good" in notes
    assert "looked for ground_truth/NG/000_mask.png, set --mask_suffix if masks are named otherwise" in notes


def test_a_training_starts_with_a_line_about_its_images(fabric_folder, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(fabric_folder / "train" / "good", data / "good")
    shutil.copytree(fabric_folder / "test" / "hole", data / "bad")
    write_image(data / "good" / "small.png", np.zeros((40, 50)))
    write_image(data / "old" / "a" / "x.png", np.zeros((40, 50)))
    split = find_dataset(data)
    held_out, tested = len(held_out_indices(len(split.good), Config(**TINY))), len(split.test)
    assert main(["train", str(data), "--runs", str(tmp_path / "runs"), "--run_eval=False", *KEYS]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert notes[0].startswith("note: method reference: ")
    assert notes[1].startswith("note: good images show a texture: ")
    assert notes[2] == f"note: {data}: skipped: 1 image in 1 folder that is not read (old/a)"
    assert notes[3].startswith(f"note: {data}: {len(split.good)} good images of ")
    assert notes[3].endswith(
        f"resized to 64 x 64 px; {len(split.good) - held_out} for training, {held_out} held out to set the thresholds; "
        f"{tested} test images not learned from: {tested - 1} good, 1 defective"
    )


def test_sizes_of_good_images_are_given_as_a_range(tmp_path, capsys):
    for number, size in enumerate([(40, 50), (64, 64), (64, 64), (90, 30)]):
        write_image(tmp_path / "data" / f"{number}.png", np.full(size, 9))
    load_good_images(find_dataset(tmp_path / "data"), Config(**TINY))
    assert (
        "4 good images of 3 sizes from 50 x 40 px to 64 x 64 px, "
        "resized to 64 x 64 px (2 of them squeezed by more than 10 %)"
    ) in capsys.readouterr().err


def test_a_folder_that_a_command_wrote_is_refused_as_images(tiny_run, fabric_folder, tmp_path, capsys):
    overlays, report = tmp_path / "out", tmp_path / "report"
    assert (
        main(["predict", str(tiny_run.folder), str(fabric_folder / "test" / "hole"), "--overlays", str(overlays)]) == 0
    )
    assert main(["report", str(tiny_run.folder), "--output", str(report)]) == 0
    capsys.readouterr()
    for folder, kind in (
        (tiny_run.folder, "the folder of a run"),
        (report, "the folder of a report"),
        (report / "images" / "hole", "the images of a report"),
        (overlays, "the overlays of an inspection"),
    ):
        assert main(["train", str(folder), "--runs", str(tmp_path / "runs")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"ssim-ae: {folder}: {kind}, written by ssim-ae")
        assert (f"ssim-ae train --resume {tiny_run.folder}" in line) == (folder == tiny_run.folder)
    assert main(["train", str(tiny_run.folder.parent)]) == 2
    assert "skipped: 1 folder written by ssim-ae" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["defective", "none"])
def test_a_data_set_without_good_images_cannot_be_learned(tiny_run, fabric_folder, tmp_path, capsys, kind):
    (tmp_path / "data").mkdir()
    if kind == "defective":
        shutil.copytree(fabric_folder / "test" / "hole", tmp_path / "data" / "bad")
    for arguments in (["train", str(tmp_path / "data")], ["threshold", str(tiny_run.folder), str(tmp_path / "data")]):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{tmp_path / 'data'}: no {'good ' if kind == 'defective' else ''}images" in line


@pytest.mark.parametrize(
    "name", ["Line 1/Cam 2", "../x", ".", "..", "/x", "a/", "a\\b", "a\tb", "a:b", "nul.x", 250 * "n"]
)
def test_a_run_stays_in_its_folder_whatever_its_name(fabric_folder, tmp_path, capsys, name):
    assert main(["train", str(fabric_folder), "--runs", str(tmp_path / "runs"), "--dataset", name, *KEYS]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ssim-ae: dataset: ") and line.endswith("; give another name")
    assert not list(tmp_path.iterdir())
