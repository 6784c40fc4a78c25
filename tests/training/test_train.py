"""What a training learns and writes."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssim_ae import Config, Detector, InputError, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.export.export import export
from ssim_ae.images.files import read_image
from ssim_ae.training import loop
from ssim_ae.training.checkpoints import CHECKPOINT_NAME
from ssim_ae.training.history import read_history

from .trainings import SMALL, equal, options, weights


def test_a_run_shows_itself_in_a_notebook(tiny_run):
    table = dataclasses.replace(tiny_run, folder=Path("runs/<a>"))._repr_html_()
    assert "runs/&lt;a&gt;" in table and f"{len(tiny_run.dataset.good)} of " in table and "finished" in table
    assert "--resume" in dataclasses.replace(tiny_run, finished=False)._repr_html_()


def test_a_run_writes_readable_files(tiny_run):
    files = {path.name for path in tiny_run.folder.iterdir()}
    assert files == {
        "config.yaml",
        "detector.safetensors",
        CHECKPOINT_NAME,
        "history.csv",
        "loss.png",
        "patches.png",
    }
    assert Config.read(tiny_run.folder / "config.yaml") == tiny_run.config
    rows = (tiny_run.folder / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + tiny_run.config.epochs and rows[0].startswith("epoch,steps,loss,held_out_loss")
    assert read_image(tiny_run.folder / "patches.png").shape == (8 * 32, 8 * 32, 3)


def test_the_held_out_loss_falls(tiny_config, tmp_path):
    run = train(tiny_config.replace(epochs=8, lr=1e-3), runs=tmp_path)
    losses = [float(row.split(",")[3]) for row in (run.folder / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_gives_the_same_weights(tiny_config, tiny_run, tmp_path):
    assert equal(weights(train(tiny_config, runs=tmp_path)), weights(tiny_run))
    other = train(tiny_config.replace(seed=5), runs=tmp_path)
    assert not equal(weights(other), weights(tiny_run))


def test_the_method_repair_trains_exports_and_inspects(tiny_config, tmp_path, fabric_folder):
    run = train(tiny_config.replace(method="repair", epochs=3), runs=tmp_path)
    losses = [epoch.held_out_loss for epoch in read_history(run.folder)]
    assert losses[-1] < losses[0] and read_image(run.folder / "patches.png").shape[2] == 3
    image = next((fabric_folder / "test" / "hole").iterdir())
    exported = export(run.folder, tmp_path / "repair.onnx").path
    detectors = {"onnxruntime": run.folder, "torch": run.folder, "auto": exported}
    scores = [Detector.load(path, runtime=runtime).inspect(image).score for runtime, path in detectors.items()]
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-4)


def test_load_ckpt_path_starts_from_weights(tiny_config, tiny_run, tmp_path):
    config = tiny_config.replace(load_ckpt_path=str(tiny_run.detector_path), lr=1e-12, epochs=1, schedule="constant")
    warm = weights(train(config, runs=tmp_path))
    assert max(np.abs(warm[name] - value).max() for name, value in weights(tiny_run).items()) < 1e-8
    with pytest.raises(InputError, match=r"detector.safetensors: weight .* this network needs"):
        train(config.replace(z_dim=9), runs=tmp_path)


def test_aug_dir_contains_the_patches_and_is_never_overwritten(tiny_config, tmp_path):
    target = tmp_path / "patches"
    config = tiny_config.replace(aug_dir=str(target))
    train(config, runs=tmp_path)
    assert len(list(target.iterdir())) == config.augment_num
    assert read_image(target / "00000.png").shape == (32, 32, 3)
    with pytest.raises(InputError, match="aug_dir is not empty"):
        train(config, runs=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_path": ""}, "no folder given"),
        ({"dataset_path": "/nowhere"}, "/nowhere: no such folder"),
        ({"distribute": True}, "torchrun"),
        ({"method": "repair", "engine": "mindspore"}, "engine mindspore does not support method repair"),
        ({"device_target": "Ascend"}, "use --device_target=CPU"),
        ({"load_ckpt_path": "none"}, "none: no such file"),
    ],
)
def test_invalid_settings_are_an_error_in_one_line(tiny_config, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        train(tiny_config.replace(**changes), runs=tmp_path)
    assert not list(tmp_path.glob("*/detector.safetensors"))


def test_a_loss_that_is_not_finite_is_an_error(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "learning_rate", lambda *_: float("inf"))
    with pytest.raises(InputError, match="training: collapsed and never recovered; set a lower lr"):
        train(tiny_config.replace(checkpoint_seconds=0), runs=tmp_path)


def test_without_holdout_a_training_recovers_from_a_collapse(tiny_config, tmp_path, monkeypatch, capsys):
    rates = iter([float("inf")] * 2)
    monkeypatch.setattr(loop, "learning_rate", lambda *_: next(rates, 1e-3))
    run = train(tiny_config.replace(holdout=0), runs=tmp_path)
    assert run.finished and "training: collapsed" in capsys.readouterr().err
    assert all(np.isfinite(array).all() for array in weights(run).values())


def test_the_loss_falls_in_bf16(tiny_config, tmp_path):
    run = train(tiny_config.replace(precision="bf16", epochs=6, lr=1e-3), runs=tmp_path)
    losses = [float(row.split(",")[2]) for row in (run.folder / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < 0.9 * losses[0]


def test_two_processes_give_the_weights_of_one(fabric_folder, tmp_path):
    settings = options([*SMALL, "epochs=2", "augment_num=64", "precision=fp32", "run_eval=False"])
    runs = {}
    for workers in (1, 2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(workers), "--standalone"]
        runs[workers] = tmp_path / str(workers)
        arguments = ["-m", "ssim_ae", "train", str(fabric_folder), "--runs", str(runs[workers]), *settings]
        done = subprocess.run([*torchrun, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    one, two = (read_detector(next(folder.iterdir()) / "detector.safetensors").weights for folder in runs.values())
    # Not all of them: where a gradient is nearly 0, Adam's step depends on rounding.
    assert np.quantile(np.concatenate([np.abs(one[name] - two[name]).ravel() for name in one]), 0.99) < 1e-5


def test_a_training_in_minutes_may_end_within_an_epoch(tiny_config, tmp_path):
    changes = {"minutes": 0.02, "augment_num": 100_000, "lr": 1e-3}
    run = train(tiny_config.replace(**changes), runs=tmp_path)
    (last,) = read_history(run.folder)
    provenance = read_detector(run.detector_path).provenance
    assert last.epoch == 1 and 0 < last.steps == provenance.steps < 100_000 // 16
    assert last.held_out_loss is not None
    resumed = train(run.config, resume=run.folder)
    assert resumed.finished and read_history(run.folder) == [last]
