"""The collapse monitor, with an engine that returns given losses and with a real engine."""

import numpy as np
import pytest

from ssim_ae import Config, InputError, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.training import collapse_monitor
from ssim_ae.training.checkpoints import TrainingState, read_checkpoint
from ssim_ae.training.collapse_monitor import LEARNING_STEPS, MIN_PATIENCE, CollapseMonitor
from ssim_ae.training.history import read_history

CONFIG = Config(method="reference", im_resize=32, crop_size=32, grayscale=True)


class FakeEngine:
    """An engine that returns the given losses.

    Its weights are the number of evaluations, and it reconstructs patches with the given contrast.
    """

    def __init__(self, *losses, contrast=1.0):
        self.losses = list(losses)
        self.evaluations = 0
        self.loaded = None
        self.contrast = contrast

    def held_out_loss(self, _patches):
        self.evaluations += 1
        return self.losses.pop(0)

    def runtime(self):
        return self

    def run(self, patches):
        return patches * self.contrast

    def weights(self):
        return {"code": np.array(self.evaluations)}

    def state(self):
        return self.weights() | {"code/step": np.array(0)}

    def load_state(self, arrays, _source):
        self.loaded = arrays


@pytest.fixture
def held_out(rng):
    return (rng.random((4, 1, 32, 32)) * 255).astype(np.uint8)


def test_keeps_the_best_weights(held_out):
    monitor = CollapseMonitor(FakeEngine(0.5, 0.3, 0.4), CONFIG, held_out)
    assert [monitor.evaluate(1, 2) for _ in range(3)] == [0.5, 0.3, 0.4]
    assert monitor.best_loss == 0.3 and monitor.best_weights["code"] == 2 and monitor.lr_scale == 1


@pytest.mark.parametrize("loss", [1.1, float("nan")])
def test_rolls_back_to_the_best_weights_at_a_lower_lr_if_the_loss_explodes(held_out, capsys, loss):
    engine = FakeEngine(0.5, loss, 0.4)
    monitor = CollapseMonitor(engine, CONFIG, held_out)
    for _ in range(3):
        monitor.evaluate(1, 2)
    assert engine.loaded == {"code": 1, "code/step": 0} and monitor.lr_scale == 0.25 and monitor.best_loss == 0.4
    assert "collapsed (the held-out loss " in capsys.readouterr().err


def test_a_high_loss_is_overfitting_while_the_training_loss_falls(held_out, capsys):
    engine = FakeEngine(0.5, 1.1, 1.2, 0.4, contrast=0.0)
    monitor = CollapseMonitor(engine, CONFIG, held_out)
    assert monitor.evaluate(1, 1.2) == 0.5 and not monitor.learned
    engine.contrast = 1.0
    assert [monitor.evaluate(1, 1.2) for _ in range(2)] == [1.1, 1.2]
    assert engine.loaded is None and monitor.learned and monitor.lr_scale == 1 and monitor.best_weights["code"] == 1
    assert capsys.readouterr().err.count("overfits (the held-out loss rose from 0.500 to 1.100)") == 1
    monitor.evaluate(1, 1)
    assert monitor.best_loss == 0.4 and monitor.best_weights["code"] == 4


def test_rolls_back_if_outputs_that_differed_are_all_equal(held_out, capsys):
    engine = FakeEngine(0.5, 0.4)
    monitor = CollapseMonitor(engine, CONFIG, held_out)
    monitor.evaluate(1, 2)
    assert engine.loaded is None
    engine.contrast = 0.09
    monitor.evaluate(1, 2)
    assert engine.loaded["code"] == 1 and "all outputs are equal" in capsys.readouterr().err


def test_equal_outputs_at_the_start_are_not_a_collapse(held_out):
    engine = FakeEngine(0.98, 0.97, 0.96, 0.5, contrast=0.0)
    monitor = CollapseMonitor(engine, CONFIG, held_out)
    for step in (1, LEARNING_STEPS, CONFIG.steps // 4 - 1):
        monitor.evaluate(step, 2)
    assert engine.loaded is None and not monitor.learned and monitor.best_weights["code"] == 3
    engine.contrast = 1.0
    monitor.evaluate(1, 2)
    assert monitor.learned and monitor.lr_scale == 1
    monitor.check_end(LEARNING_STEPS)


def test_outputs_that_stay_equal_restart_at_a_lower_lr_every_quarter_of_the_training(held_out):
    engine = FakeEngine(*[0.98] * 7, contrast=0.0)
    monitor = CollapseMonitor(engine, CONFIG, held_out)
    for eighths in range(1, 8):
        monitor.evaluate(CONFIG.steps * eighths // 8, 2)
        assert monitor.collapses == eighths // 2


def test_short_trainings_are_as_patient(held_out):
    config = CONFIG.replace(epochs=1)
    monitor = CollapseMonitor(FakeEngine(0.98, 0.98, contrast=0.0), config, held_out)
    monitor.evaluate(MIN_PATIENCE - 1, 2)
    assert not monitor.collapses
    monitor.evaluate(MIN_PATIENCE, 2)
    assert monitor.collapses == 1


def test_a_training_whose_outputs_never_differ_is_an_error(held_out):
    monitor = CollapseMonitor(FakeEngine(0.98, contrast=0.0), CONFIG, held_out)
    monitor.evaluate(1, 2)
    monitor.check_end(LEARNING_STEPS - 1)
    with pytest.raises(InputError, match=r"^training: all outputs are equal after 500 steps; train longer, "):
        monitor.check_end(LEARNING_STEPS)


def test_outputs_of_equal_images_may_be_equal():
    engine = FakeEngine(0.1)
    CollapseMonitor(engine, CONFIG, np.full((4, 1, 32, 32), 77, np.uint8)).evaluate(1, 1)
    assert engine.loaded is None


def test_raises_after_three_rollbacks(held_out):
    monitor = CollapseMonitor(FakeEngine(0.5, *[3.0] * 4), CONFIG, held_out)
    with pytest.raises(InputError, match=r"^training: collapsed 4 times \(.*\); set a lower lr$"):
        for _ in range(5):
            monitor.evaluate(1, 2)
    assert monitor.collapses == 3 and monitor.best_weights["code"] == 1


def test_without_held_out_images_there_is_no_held_out_loss():
    monitor = CollapseMonitor(FakeEngine(), CONFIG, np.zeros((0, 1, 1, 1), np.uint8))
    assert monitor.evaluate(1, 2) is None and monitor.best_loss is None


def test_without_held_out_images_a_rollback_restores_the_last_epoch(capsys):
    engine = FakeEngine()
    monitor = CollapseMonitor(engine, CONFIG, np.zeros((0, 1, 1, 1), np.uint8))
    for weights in (5, 6, np.nan):
        engine.evaluations = weights
        monitor.evaluate(1, 2)
    monitor.rollback("the loss is nan")
    monitor.check_end(LEARNING_STEPS)
    assert engine.loaded["code"] == 6, "weights that are not finite are not kept"
    assert monitor.checkpoint_arrays()["best/code"] == 6 and "collapsed (the loss is nan)" in capsys.readouterr().err


def test_is_restored_from_a_checkpoint(held_out):
    monitor = CollapseMonitor(FakeEngine(0.5), CONFIG, held_out)
    monitor.evaluate(1, 2)
    restored = CollapseMonitor(FakeEngine(), CONFIG, held_out)
    arrays = monitor.checkpoint_arrays() | {"code": np.array(9)}
    restored.restore(arrays, TrainingState(best_loss=monitor.best_loss, learned=monitor.learned, collapses=2))
    assert restored.best_weights == monitor.best_weights
    assert restored.best_loss == 0.5 and restored.learned and restored.lr_scale == 1 / 16


@pytest.mark.parametrize(
    ("lr", "patience", "patches"), [(0.05, 100, 2048), pytest.param(0.2, 500, 8192, marks=pytest.mark.long)]
)
def test_a_training_with_a_much_too_high_lr_recovers(tiny_config, tmp_path, capsys, monkeypatch, lr, patience, patches):
    monkeypatch.setattr(collapse_monitor, "MIN_PATIENCE", patience)
    config = tiny_config.replace(lr=lr, schedule="constant", augment_num=patches, epochs=4)
    run = train(config, runs=tmp_path)
    assert "training: collapsed" in capsys.readouterr().err
    losses = [record.held_out_loss for record in read_history(run.folder)]
    _, state = read_checkpoint(run.folder, read_detector(run.detector_path).provenance.fingerprint, run.config)
    assert state.collapses and state.best_loss == pytest.approx(min(losses), rel=1e-4)
    assert min(losses) < 0.9 * losses[0]
