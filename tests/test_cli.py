import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import TINY

from ssim_ae.cli import COMMANDS, main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.files import read_image

ROOT = Path(__file__).parents[1]


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_help_says_what_a_command_does_and_imports_no_framework():
    """So it is fast."""
    code = (
        f"import sys; from ssim_ae.cli import main\nfor command in {[*COMMANDS]}:\n"
        "    try: main([command, '-h'])\n    except SystemExit as end: assert not end.code\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'PIL', 'rich', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(module.__doc__ in done.stdout for module in COMMANDS.values())


def test_every_setting_is_an_option(capsys):
    from ssim_ae import Config

    with pytest.raises(SystemExit):
        main(["train", "-h"])
    printed = capsys.readouterr().out
    assert all(f"--{key}" in printed for key in Config.model_fields)
    assert "--require '90% at 14px'" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian' (did you mean 'train'?)"),
        (["train", "x", "--epoch", "5"], "(did you mean '--epochs'?)"),
        (["train", "x", "--epochs", "many"], "command line: epochs: "),
        (["train", "/nowhere"], "/nowhere: no such folder"),
        (["train", "x", "--percent", "98"], "--percent: no effect with the other settings; add --threshold percent"),
        (["train", "x", "--k-sigma", "3", "--threshold", "max"], "--k_sigma: no effect with the other settings"),
        (["train", "x", "--min_area", "9"], "add --threshold max_area"),
        (["train", "x", "--threshold", "max", "--false_alarm_rate", "0.1"], "add --threshold false_alarm_rate"),
        (["train", "x", "--minutes", "3", "--epochs", "5"], "--epochs: no effect with the other settings; minutes"),
        (["train", "x", "--schedule", "constant", "--lr_peak_factor", "3"], "add --schedule one_cycle"),
        (["train", "x", "--aug_dir", "p", "--online_aug", "True"], "add --online_aug False"),
        (
            ["train", "x", "--do_aug", "False", "--p_rotate", ".5", "--crop_size", "128", "--im_resize", "128"],
            "--p_rotate: no effect",
        ),
        (["train", "x", "--p_rotate", "0", "--rotate_angle", "5"], "--rotate_angle: no effect"),
        (["train", "x", "--dataset_path", "y"], "--dataset_path: given twice, also as x; give one of them"),
        (["evaluate", "x", "--checkpoint_path", "y"], "--checkpoint_path: given twice, also as x; give one of them"),
        (["evaluate", "x", "y", "--dataset_path", "z"], "--dataset_path: given twice, also as y"),
        (["import", "x", "--percent", "98"], "add --threshold percent"),
        (["train", "--config_path=none.yaml"], "none.yaml: cannot be read"),
        (["train", "--resume", "/nowhere"], "/nowhere: no such run"),
        (["train", "--resume", str(ROOT / "docs")], "docs: a folder of images, not a run"),
        (["train", "--resume", "/nowhere", "--epochs", "3"], "give no other settings"),
        (["train", "--resume", "/nowhere", "--epochs", "+3", "--lr", ".1"], "give no other settings"),
        (["train", "--resume", "/nowhere", "--epochs", "+many"], "--epochs: should be + and a whole number, not +many"),
        (
            ["train", "--resume", "/nowhere", "--epochs", "+5", "--minutes", "+x"],
            "--minutes: should be + and a number, not +x",
        ),
        (["train", "--resume", "/nowhere", "--minutes", "+"], "--minutes: should be + and a number, not +"),
        (["threshold", "none", "--rollback"], "none: no such file or run"),
        (["threshold", "none", "--rollback", "--force"], "--rollback: takes the run alone"),
        (["threshold", "s3://bucket/a.safetensors", "x", "--rollback"], "--rollback: takes the run alone"),
        (["info", "a", ""], "unrecognized arguments: ; see ssim-ae info -h"),
        (["runs"], "runs: no runs"),
        (["runs", "--output", "x"], "--output: no effect without --compare"),
        (["runs", "--compare", "a", "b"], "a: no such file or run"),
        (["evaluate", "none"], "none: no such file"),
        (["evaluate"], "detector"),
        (["predict", "none", "also-none.png"], "none: no such file"),
        (["threshold", "none"], "none: no such file"),
        (["report", "none"], "none: no such file"),
        (["report", "s3://bucket/run"], "--output: required for a detector in an object store"),
        (
            ["serve", "none", "--watch", "s3://bucket/in"],
            "--watch: should be a folder on this machine, not s3://bucket/in",
        ),
        (["serve", "none", "--timeout", "inf"], "--timeout: should be a finite number above 0, not inf"),
        (["serve", "none", "--max_megapixels", "200"], "--max_megapixels: should be from 1 to 89, not 200"),
        (["report", "none", "--format", "pdf"], "--format: should be png or svg, not 'pdf'"),
        (["fabric", "x", "--classes", "twil"], "(did you mean 'twill'?)"),
        (["fabric", "x", "--size", "large"], "--size"),
    ],
)
def test_usage_error_is_one_line_with_exit_status_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert status == 2 and out == ""
    assert err.startswith("ssim-ae: ") and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_train_evaluate_and_predict(capsys, fabric_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = "--method reference --im-resize=64 --crop_size 32 --z_dim 8 --flc 4 --stride 16 --batch_size 16"
    settings += " --augment_num 64"
    status, out, _ = run(capsys, "train", fabric_folder, "--epochs", 1, "--device_target", "CPU", *settings.split())
    assert status == 0
    assert "AUROC" in out and "detector: runs/twill-1/detector.safetensors" in out
    assert (tmp_path / "runs/twill-1/report/contact_sheet.png").exists()
    assert "report: runs/twill-1/report/index.html" in out

    status, out, _ = run(capsys, "evaluate", "runs/twill-1", "--image_level", "False")
    assert status == 0 and out.splitlines()[-1].startswith("AUC: 0.")
    assert (tmp_path / "output/twill-1/images/hole/000_visual.png").exists()

    status, out, _ = run(capsys, "report", "runs/twill-1", "--output", "page", "--format", "svg")
    assert status == 0 and "report: page/index.html" in out and "figure: page/roc.svg" in out
    assert (tmp_path / "page/index.html").exists() and (tmp_path / "page/loss.svg").exists()

    status, out, _ = run(
        capsys, "predict", "runs/twill-1", fabric_folder / "test" / "hole", fabric_folder / "test" / "cut",
        "--csv", "p.csv", "--json", "p.json", "--overlays", "overlays",
    )  # fmt: skip
    rows = json.loads((tmp_path / "p.json").read_text())
    assert status == 0 and len(out.splitlines()) == len(rows) == 2
    assert (tmp_path / "p.csv").read_text().startswith("path,verdict,score,defect_share,error,")
    names = sorted(path.name for path in (tmp_path / "overlays").iterdir())
    assert names == ["cut_000_overlay.png", "hole_000_overlay.png"]
    assert read_image(tmp_path / "overlays" / "hole_000_overlay.png").shape[1:] == (64, 3)


def test_predict_continues_after_a_corrupt_image(capsys, tiny_run, fabric_folder, tmp_path):
    good = next((fabric_folder / "test" / "good").iterdir())
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    status, out, err = run(capsys, "predict", tiny_run.folder, bad, good, "--csv", tmp_path / "p.csv")
    assert status == 2
    assert len(out.splitlines()) == 1 and str(good) in out
    assert err == f"error  {bad}: an empty file\n"
    assert (tmp_path / "p.csv").read_text().splitlines()[1].startswith(f"{bad},error,,,{bad}: an empty file,1.0,[],")


def test_fail_on_nok_sets_the_exit_status(capsys, tiny_run, fabric_folder, tmp_path):
    strict, lenient = tmp_path / "strict.safetensors", tmp_path / "lenient.safetensors"
    for target, value in ((strict, 0), (lenient, 99)):
        options = ["--ssim_threshold", value, "--l1_threshold", value, "--output", target, "--force"]
        assert run(capsys, "threshold", tiny_run.folder, *options)[0] == 0
    image = next((fabric_folder / "test" / "good").iterdir())
    assert run(capsys, "predict", strict, image, "--fail-on-nok")[0] == 1
    assert run(capsys, "predict", strict, image)[0] == 0
    assert run(capsys, "predict", lenient, image, "--fail-on-nok")[0] == 0


def test_threshold_writes_a_new_file_and_keeps_the_old_one(capsys, tiny_run, fabric_folder, tmp_path):
    before = tiny_run.detector_path.read_bytes()
    target = tmp_path / "new.safetensors"
    arguments = ["threshold", tiny_run.folder, "--threshold", "percent", "--percent", 90, "--output", target]
    status, out, _ = run(capsys, *arguments)
    assert status == 0 and "Thresholds by percent, from 2 held-out images. Cross-validation: 0 of 2 rejected." in out
    old, new = read_detector(tiny_run.detector_path), read_detector(target)
    assert new.provenance.thresholds.estimator == "percent" and new.config.percent == 90
    assert new.thresholds != old.thresholds
    assert all(np.array_equal(new.weights[name], old.weights[name]) for name in old.weights)
    assert tiny_run.detector_path.read_bytes() == before
    status, _, err = run(capsys, *arguments)
    assert status == 2 and "exists already" in err
    folder = fabric_folder / "test" / "good"
    status, out, _ = run(capsys, "threshold", tiny_run.folder, folder, "--output", tmp_path / "other.safetensors")
    assert status == 0 and "from 4 held-out images" in out


def test_corrupt_images_are_named_and_skipped_on_request(capsys, fabric_folder, hollow_png, tmp_path, monkeypatch):
    """Six kinds of unusual files among 50 good images; five of them are unusable."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "good images"
    folder.mkdir()
    source = sorted((fabric_folder / "train" / "good").iterdir())
    for number in range(50):
        (folder / f"{number:03}.png").write_bytes(source[number % len(source)].read_bytes())
    image = Image.open(source[0])
    image.save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:900])
    (folder / "text.png").write_text("not an image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "bomb.png").write_bytes(hollow_png(60_000))
    image.convert("P").save(folder / "palette.gif")
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(folder / "deep.tif")
    before = {path: path.read_bytes() for path in folder.iterdir()}

    settings = "--method reference --im_resize 64 --crop_size 32 --z_dim 8 --flc 4 --stride 16 --batch_size 16"
    settings += " --augment_num 64 --epochs 1"
    status, _, err = run(capsys, "train", folder, *settings.split())
    assert status == 2 and "5 images cannot be read; remove them, or skip them with --skip-bad" in err
    for name in ("cut.jpg", "text.png", "empty.png", "bomb.png", "palette.gif"):
        assert sum(f"{name}: " in line for line in err.splitlines()) == 1
    assert "Traceback" not in err and not (tmp_path / "runs").exists()

    status, out, err = run(capsys, "train", folder, *settings.split(), "--skip-bad", "--device_target", "CPU")
    assert status == 0 and "detector: runs/good images-1/detector.safetensors" in out
    assert all(f"{name}: " in err for name in ("cut.jpg", "text.png", "empty.png", "bomb.png", "palette.gif"))
    assert "deep.tif: 16 bits among 8-bit images" in err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_scripts_of_the_reference_implementation(script, tiny_run, tiny_config, tmp_path):
    settings = tiny_config.replace(checkpoint_path=str(tiny_run.detector_path), epochs=1, save_dir="pictures")
    (tmp_path / "config.yaml").write_text(settings.to_yaml())
    command = [sys.executable, ROOT / script, "--config_path=config.yaml", "--device_target=CPU"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = [line for line in done.stdout.splitlines() if line.startswith("ok: ")]
    assert len(summary) == 1 and ", nok: " in summary[0] and ", avg: " in summary[0]
    output = "runs" if script == "train.py" else "pictures"
    assert (tmp_path / output / "twill-1").is_dir()


@pytest.mark.parametrize(("engine", "method"), [("auto", "features"), ("torch", "segment"), ("mindspore", "reference")])
def test_default_method_depends_on_the_engine(fabric_folder, monkeypatch, engine, method):
    configs = []
    monkeypatch.setattr("ssim_ae.training.train.train", lambda config, **_: configs.append(config) or sys.exit(3))
    with pytest.raises(SystemExit, match="3"):
        main(["train", str(fabric_folder), "--engine", engine])
    assert configs[0].method == method


@pytest.mark.parametrize("command", ["train --engine torch", "predict --runtime torch"])
def test_missing_framework_is_named_with_its_extra(capsys, fabric_folder, tiny_run, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("runtimes.torch_runtime", "training.torch_engine"):
        monkeypatch.delitem(sys.modules, f"ssim_ae.{module}", raising=False)
    image = next((fabric_folder / "test" / "good").iterdir())
    status, _, err = run(
        capsys, *command.split(), *([fabric_folder] if command.startswith("train") else [tiny_run.folder, image])
    )
    assert (status, err.splitlines()[-1]) == (2, "ssim-ae: torch is not installed; pip install torch matplotlib")


def test_version_and_list_of_commands(capsys):
    status, out, _ = run(capsys, "--version")
    assert status == 0 and out[0].isdigit()
    status, out, _ = run(capsys, "-h")
    assert status == 0 and all(command in out for command in COMMANDS)


def test_file_names_are_escaped_for_terminals_and_spreadsheets(capsys, tiny_run, fabric_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = next((fabric_folder / "test" / "good").iterdir()).read_bytes()
    for name in ("=1+1.png", "\x1b[2Jgone\nok 0.png"):
        (tmp_path / name).write_bytes(image)
    assert main(["predict", str(tiny_run.folder), "*.png", "--csv", "table.csv"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and out.count("\n") == 2 and r"\x1b[2Jgone\nok 0.png" in out
    with (tmp_path / "table.csv").open(newline="") as table:
        assert {row["path"] for row in csv.DictReader(table)} == {"'=1+1.png", "\x1b[2Jgone\nok 0.png"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_output_device_is_a_one_line_error(tiny_run, fabric_folder):
    images = sorted((fabric_folder / "test" / "good").iterdir())
    program = [sys.executable, "-m", "ssim_ae"]
    for command in (["predict", str(tiny_run.folder), *map(str, images)], ["--version"], []):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run([*program, *command], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2 and done.stderr == "ssim-ae: No space left on device\n", done.stderr


def test_training_continues_when_standard_error_is_closed(tiny_config, tmp_path):
    program = [sys.executable, "-m", "ssim_ae", "train", tiny_config.dataset_path]
    keys = [f"--{key}={value}" for key, value in TINY.items()]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*program, *keys, "--run_eval=False"], cwd=tmp_path, stderr=writer, stdout=subprocess.DEVNULL)
    os.close(writer)
    assert done.returncode == 0
    assert list(tmp_path.glob("runs/*/detector.safetensors"))


def test_closed_pipe_sets_the_exit_status(tiny_run, fabric_folder):
    images = sorted((fabric_folder / "test" / "good").iterdir())
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "ssim_ae", "predict", str(tiny_run.folder), *map(str, images)]
    done = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == 141 and done.stderr == ""


def test_thresholds_of_a_run_are_set_and_rolled_back(capsys, tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "twill-1")
    (folder / "detector.onnx").touch()
    given = ["--ssim_threshold", 9, "--l1_threshold", 9]
    status, out, err = run(capsys, "threshold", folder, *given)
    assert status == 0 and f"version 2; back to the former one with: ssim-ae threshold {folder} --rollback" in out
    assert f"{folder}/detector.onnx: exported from a former version; export again, with --output" in err
    assert read_detector(folder / "detector.safetensors").thresholds == {"ssim": 9, "l1": 9}
    strict = ["--ssim_threshold", 1e-6, "--l1_threshold", 1e-6]
    status, out, err = run(capsys, "threshold", folder / "detector.safetensors", *strict)
    assert (status, out) == (2, "") and "not changed: the new detector rejects 2 of 2 good images" in err
    status, out, _ = run(capsys, "threshold", folder, *strict, "--force")
    assert status == 0 and out.startswith("UNUSABLE: the detector rejects 2 of 2 good images; give higher thresholds\n")
    status, out, _ = run(capsys, "threshold", folder, "--rollback")
    first, second = out.splitlines()[:2]
    assert status == 0 and first == f"version 2 of 3 is the current one again; all are in {folder / 'versions'}"
    assert second.startswith("thresholds: ssim 9, l1 9.")
    shutil.copy(folder / "detector.safetensors", tmp_path / "line3.safetensors")
    status, _, err = run(capsys, "threshold", tmp_path / "line3.safetensors", "--rollback")
    assert status == 2 and "line3.safetensors: not a run" in err


def test_a_finished_run_is_added_to(capsys, tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "twill-1")
    status, out, err = run(capsys, "train", "--resume", folder)
    assert status == 0 and "finished; add to its training" in err and (folder / "report" / "index.html").exists()
    page = (folder / "report" / "index.html").stat().st_mtime_ns
    assert run(capsys, "train", "--resume", folder)[0] == 0
    assert (folder / "report" / "index.html").stat().st_mtime_ns == page, "it has a report"
    status, out, _ = run(capsys, "train", "--resume", folder, "--epochs", "+1")
    assert status == 0 and "version 2; back to the former one with: ssim-ae threshold" in out
    assert (folder / "report" / "index.html").stat().st_mtime_ns > page


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["predict", "RUN", "IMAGES"], "ssim-ae: interrupted\n"),
        (["evaluate", "RUN", "--save_dir", "OUT"], "ssim-ae: interrupted; no report is written\n"),
        (["report", "RUN", "--output", "OUT/report"], "ssim-ae: interrupted; the former report is kept\n"),
        (["threshold", "RUN", "--output", "OUT/x"], "ssim-ae: interrupted; the detector is not changed\n"),
    ],
)
def test_an_interruption_says_what_has_become_of_the_output(
    capsys, tiny_run, fabric_folder, tmp_path, monkeypatch, arguments, advice
):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssim_ae.detector.detector.Detector._measure", interrupt)
    places = {"RUN": str(tiny_run.folder), "IMAGES": str(fabric_folder / "test"), "OUT": str(tmp_path / "out")}
    for name, path in places.items():
        arguments = [argument.replace(name, path) for argument in arguments]
    status, _, err = run(capsys, *arguments)
    assert status == 130 and err.endswith(advice)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
