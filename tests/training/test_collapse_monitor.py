"""The best weights kept, and a collapse left behind: with an engine that loses as told, and with a real one."""

import numpy as np
import pytest

from ssim_ae import Config, InputError, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.training.checkpoints import Position, read_checkpoint
from ssim_ae.training.collapse_monitor import SETTLED, CollapseMonitor
from ssim_ae.training.history import read_history

CONFIG = Config(im_resize=32, crop_size=32, grayscale=True)


class Told:
    """An engine whose losses are told, whose weights are the number of looks, and that lets patches through."""

    def __init__(self, *losses, contrast=1.0):
        self.losses, self.number, self.loaded, self.contrast = list(losses), 0, None, contrast

    def held_out_loss(self, picks):
        self.number += 1
        return self.losses.pop(0)

    def runtime(self):
        return self

    def reconstruct(self, patches):
        return patches * self.contrast

    def weights(self):
        return {"code": np.array(self.number)}

    def state(self):
        return self.weights() | {"code/step": np.array(0)}

    def load_state(self, arrays, source):
        self.loaded = arrays


@pytest.fixture
def held_out(rng):
    return (rng.random((4, 1, 32, 32)) * 255).astype(np.uint8)


def test_the_best_weights_are_kept(held_out):
    watch = CollapseMonitor(Told(0.5, 0.3, 0.4), CONFIG, held_out)
    assert [watch.look(SETTLED) for _ in range(3)] == [0.5, 0.3, 0.4]
    assert watch.loss == 0.3 and watch.weights["code"] == 2 and watch.slower == 1


@pytest.mark.parametrize("loss", [1.1, float("nan")])
def test_from_a_loss_that_explodes_it_goes_back_to_where_it_was_best_and_slower(held_out, capsys, loss):
    engine = Told(0.5, loss, 0.4)
    watch = CollapseMonitor(engine, CONFIG, held_out)
    for _ in range(3):
        watch.look(1)
    assert engine.loaded == {"code": 1, "code/step": 0} and watch.slower == 0.25 and watch.loss == 0.4
    assert "collapsed (the held-out loss " in capsys.readouterr().err


def test_a_constant_picture_is_left_behind_once_the_training_has_settled(held_out, capsys):
    engine = Told(0.5, 0.4, contrast=0.09)
    watch = CollapseMonitor(engine, CONFIG, held_out)
    watch.look(SETTLED - 1)
    assert engine.loaded is None
    watch.look(SETTLED)
    assert engine.loaded["code"] == 1 and "all reconstructions are alike" in capsys.readouterr().err


def test_images_that_are_all_alike_may_be_reconstructed_so():
    engine = Told(0.1)
    CollapseMonitor(engine, CONFIG, np.full((4, 1, 32, 32), 77, np.uint8)).look(SETTLED)
    assert engine.loaded is None


def test_it_gives_up_in_the_end(held_out):
    watch = CollapseMonitor(Told(0.5, *[3.0] * 4), CONFIG, held_out)
    with pytest.raises(InputError, match=r"collapsed again .*: lower lr"):
        for _ in range(5):
            watch.look(1)
    assert watch.collapses == 3 and watch.weights["code"] == 1


def test_without_held_out_images_there_is_nothing_to_see():
    watch = CollapseMonitor(Told(), CONFIG, np.zeros((0, 1, 1, 1), np.uint8))
    assert watch.look(SETTLED) is None and watch.kept() == {}


def test_it_resumes_from_what_a_checkpoint_keeps(held_out):
    watch = CollapseMonitor(Told(0.5), CONFIG, held_out)
    watch.look(1)
    resumed = CollapseMonitor(Told(), CONFIG, held_out)
    resumed.resume(watch.kept() | {"code": np.array(9)}, Position(best_loss=watch.loss, collapses=2))
    assert resumed.weights == watch.weights and resumed.loss == 0.5 and resumed.slower == 1 / 16


def test_a_real_training_with_much_too_high_a_rate_recovers(tiny_config, tmp_path, capsys):
    config = tiny_config.replace(lr=0.2, schedule="constant", augment_num=8192, epochs=4)
    run = train(config, runs=tmp_path)
    assert "the training collapsed" in capsys.readouterr().err
    losses = [epoch.held_out_loss for epoch in read_history(run.folder)]
    _, position = read_checkpoint(run.folder, read_detector(run.detector_path).provenance["fingerprint"], run.config)
    assert position.collapses and position.best_loss == pytest.approx(min(losses), rel=1e-4)
    assert min(losses) < 0.9 * losses[0]
