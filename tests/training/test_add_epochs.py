"""Epochs or minutes that are added to a finished run."""

import shutil

import numpy as np
import pytest

from ssim_ae import InputError, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import version_paths
from ssim_ae.training.checkpoints import CHECKPOINT_NAME
from ssim_ae.training.history import read_history
from ssim_ae.training.learner import Addition
from ssim_ae.training.recalibrate import recalibrate

from .trainings import equal, stop_after, weights


def test_an_addition_continues_from_the_trained_weights_and_keeps_the_former_detector(tiny_config, tmp_path):
    config = tiny_config.replace(lr=1e-12, schedule="constant")
    run = train(config, runs=tmp_path)
    former = weights(run)
    added = train(config, resume=run.folder, add=Addition(epochs=3))
    assert added.finished and added.trained
    assert max(np.abs(weights(added)[name] - value).max() for name, value in former.items()) < 1e-8
    assert [epoch.epoch for epoch in read_history(run.folder)] == [1, 2, 3, 4, 5]
    assert equal(read_detector(version_paths(run.folder)[0]).weights, former)
    steps = [read_detector(path).provenance.steps for path in version_paths(run.folder)]
    assert steps == [8, 20] and read_detector(added.detector_path).provenance.steps == 20
    assert not train(config, resume=run.folder).trained
    train(config, resume=run.folder, add=Addition(epochs=1))
    assert len(version_paths(run.folder)) == 3


def test_thresholds_that_an_addition_replaces_are_noted(tiny_run, tmp_path, capsys):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    note = "thresholds: estimated by the settings of the run; those that were set later are in the former version"
    train(tiny_run.config, resume=folder, add=Addition(epochs=1))
    assert note not in capsys.readouterr().err
    recalibrate(folder, None, {"ssim_threshold": 9, "l1_threshold": 8})
    added = train(tiny_run.config, resume=folder, add=Addition(epochs=1))
    assert note in capsys.readouterr().err
    assert read_detector(version_paths(folder)[-2]).thresholds == {"ssim": 9, "l1": 8}
    assert read_detector(added.detector_path).provenance.thresholds.estimator == "false_alarm_rate"


def test_the_held_out_loss_falls_further_in_an_addition(tiny_config, tmp_path):
    run = train(tiny_config.replace(lr=1e-3, augment_num=256), runs=tmp_path)
    before = min(epoch.held_out_loss for epoch in read_history(run.folder))
    train(run.config, resume=run.folder, add=Addition(epochs=8))
    assert min(epoch.held_out_loss for epoch in read_history(run.folder)) < 0.95 * before


def test_an_addition_of_minutes(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    added = train(tiny_run.config, resume=folder, add=Addition(minutes=0.01))
    assert added.finished and read_detector(added.detector_path).provenance.steps > 8
    assert not train(tiny_run.config, resume=folder).trained


@pytest.mark.parametrize("steps", [1, 5])
def test_an_interrupted_addition_is_resumed(tiny_run, tmp_path, monkeypatch, steps):
    whole, part = (shutil.copytree(tiny_run.folder, tmp_path / name) for name in ("whole", "part"))
    expected = weights(train(tiny_run.config, resume=whole, add=Addition(epochs=2)))
    with monkeypatch.context() as patched:
        stop_after(patched, steps)
        assert not train(tiny_run.config, resume=part, add=Addition(epochs=2)).finished
    with pytest.raises(InputError, match="not finished; continue it first with: ssim-ae train --resume"):
        train(tiny_run.config, resume=part, add=Addition(epochs=2))
    assert equal(weights(train(tiny_run.config, resume=part)), expected)
    assert equal(read_detector(version_paths(part)[0]).weights, weights(tiny_run))


@pytest.mark.parametrize(
    ("add", "changes", "message"),
    [
        (Addition(), {}, "add epochs or minutes, a number above 0"),
        (Addition(epochs=-1), {}, "add epochs or minutes, a number above 0"),
        (Addition(minutes=float("nan")), {}, "add epochs or minutes, a number above 0"),
        (Addition(1, 1), {}, "add epochs or minutes, a number above 0"),
        (Addition(minutes=1), {"distribute": True}, "add epochs, not minutes"),
    ],
)
def test_what_cannot_be_added_is_an_error(tiny_run, tmp_path, add, changes, message):
    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    (folder / "config.yaml").write_text(tiny_run.config.replace(**changes).to_yaml())
    with pytest.raises(InputError, match=message):
        train(tiny_run.config, resume=folder, add=add)
    with pytest.raises(InputError, match="name it with --resume"):
        train(tiny_run.config, runs=tmp_path, add=Addition(epochs=1))
    (folder / "config.yaml").write_text(tiny_run.config.to_yaml())
    (folder / CHECKPOINT_NAME).unlink()
    with pytest.raises(InputError, match="its checkpoint is missing; start a new run with --load_ckpt_path"):
        train(tiny_run.config, resume=folder, add=Addition(epochs=1))
