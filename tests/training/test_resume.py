"""Runs that are interrupted, killed and resumed."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssim_ae import Detector, InputError, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.files import read_image
from ssim_ae.storage import lock_folder
from ssim_ae.training.checkpoints import CHECKPOINT_NAME
from ssim_ae.training.recalibrate import recalibrate

from .trainings import SMALL, command, equal, options, stop_after, weights


@pytest.mark.parametrize("steps", [1, 3, 4, 6])
@pytest.mark.parametrize(
    "changes",
    [{"online_aug": False}, {"online_aug": True}, {"method": "repair", "optimizer": "muon", "illumination_std": 0.08}],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tiny_config, tmp_path, monkeypatch, steps, changes):
    config = tiny_config.replace(**changes)
    whole = train(config, runs=tmp_path / "whole")
    with monkeypatch.context() as patched:
        stop_after(patched, steps)
        part = train(config, runs=tmp_path / "part")
    assert not part.finished and part.detector_path.exists()
    resumed = train(config, resume=part.folder)
    assert resumed.finished and resumed.folder == part.folder
    assert equal(weights(resumed), weights(whole))

    def losses(run):
        return [row.split(",")[:5] for row in (run.folder / "history.csv").read_text().splitlines()]

    assert losses(resumed) == losses(whole)


def test_an_interrupted_run_has_a_usable_detector(tiny_config, tmp_path, monkeypatch, fabric_folder):
    stop_after(monkeypatch, 2)
    run = train(tiny_config, runs=tmp_path)
    image = next((fabric_folder / "test" / "good").iterdir())
    assert Detector.load(run.folder).inspect(image).score > 0


def test_resuming_with_other_images_is_an_error(tiny_run, tiny_config, tmp_path, fabric_folder):
    copy = tmp_path / "data"
    (copy / "good").mkdir(parents=True)
    for path in (fabric_folder / "train" / "good").iterdir():
        image = read_image(path).copy()
        image[0, 0] ^= 1
        Image.fromarray(image).save(copy / "good" / path.name)
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", CHECKPOINT_NAME):
        (run / name).write_bytes((tiny_run.folder / name).read_bytes())
    (run / "config.yaml").write_text(tiny_config.replace(dataset_path=str(copy)).to_yaml())
    with pytest.raises(InputError, match="the training images have changed"):
        train(tiny_config, resume=run)


def test_resuming_with_other_settings_is_an_error(tiny_run, tmp_path):
    for name in ("config.yaml", CHECKPOINT_NAME):
        (tmp_path / name).write_bytes((tiny_run.folder / name).read_bytes())
    (tmp_path / "config.yaml").write_text(tiny_run.config.replace(epochs=9).to_yaml())
    with pytest.raises(InputError, match=r"written with epochs 2, not 9"):
        train(tiny_run.config, resume=tmp_path)


def test_temporary_files_of_a_killed_run_are_removed_on_resume(tiny_run, tmp_path):
    for name in ("config.yaml", CHECKPOINT_NAME):
        (tmp_path / name).write_bytes((tiny_run.folder / name).read_bytes())
    (tmp_path / ".checkpoint.safetensors.abc.ssim-ae.part").write_bytes(b"half")
    assert equal(weights(train(tiny_run.config, resume=tmp_path)), weights(tiny_run))
    assert not list(tmp_path.glob(".*"))


def test_two_trainings_in_one_folder_do_not_mix(tiny_run):
    with lock_folder(tiny_run.folder), pytest.raises(InputError, match="another process is writing into it"):
        train(tiny_run.config, resume=tiny_run.folder)


def test_a_finished_run_is_not_trained_again(tiny_run, tmp_path, capsys):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / ".abc.ssim-ae.part").touch()
    run = train(tiny_run.config, resume=folder)
    assert run.finished and not run.trained
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert f"{folder}: finished; add to its training with --epochs +5" in capsys.readouterr().err
    recalibrate(folder, None, {"threshold": "max"})
    (folder / CHECKPOINT_NAME).unlink()
    assert not train(tiny_run.config, resume=folder).trained, "without its checkpoint, it is finished all the same"


def test_a_finished_run_without_its_detector_gets_one(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    (folder / "detector.safetensors").unlink()
    run = train(tiny_run.config, resume=folder)
    assert run.trained and equal(weights(run), weights(tiny_run))


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_and_resumed_run_has_equal_weights(fabric_folder, tmp_path, kills):
    """SIGKILL at random times, with a checkpoint after every step."""
    settings = options([*SMALL, "epochs=6", "augment_num=256", "checkpoint_seconds=0", "run_eval=False"])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.monotonic()
    subprocess.run(command(str(fabric_folder), "--runs", str(tmp_path / "whole"), *settings), check=True, **quiet)
    duration = time.monotonic() - start
    whole = read_detector(next((tmp_path / "whole").iterdir()) / "detector.safetensors").weights

    rng = np.random.default_rng(kills)
    arguments = command(str(fabric_folder), "--runs", str(tmp_path / "killed"), *settings)
    steps_seen = []
    for _ in range(kills):
        process = subprocess.Popen(arguments, **quiet)
        try:
            process.wait(timeout=rng.uniform(0.3, 1.0) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folders = list((tmp_path / "killed").glob("*/config.yaml"))
        if folders:
            arguments = command("--resume", str(folders[0].parent))
            checkpoint = folders[0].parent / CHECKPOINT_NAME
            steps_seen.append(checkpoint.exists())
    subprocess.run(arguments, check=True, **quiet)
    assert any(steps_seen), "no kill came after the first checkpoint"
    folder = folders[0].parent
    assert equal(read_detector(folder / "detector.safetensors").weights, whole)


def test_ctrl_c_stops_cleanly(fabric_folder, tmp_path):
    arguments = command(str(fabric_folder), "--runs", str(tmp_path), *options([*SMALL, "epochs=1000"]))
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/patches.png")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue with: ssim-ae train --resume" in output and "Traceback" not in errors
    folder = next(tmp_path.iterdir())
    assert Path(folder / "detector.safetensors").exists()
