"""The best weights kept, and a collapse left behind: with an engine that loses as told, and with a real one."""

import numpy as np
import pytest

from ssim_ae import Config, train
from ssim_ae.training.checkpoints import Position, read_checkpoint
from ssim_ae.training.history import read_history
from ssim_ae.training.patches import monitor_picks
from ssim_ae.training.watch import SETTLED, Watch, mean_image_loss


class Told:
    """An engine whose weights are the number of looks at it."""

    def __init__(self, *losses):
        self.losses, self.number, self.loaded = list(losses), 0, None

    def held_out_loss(self, picks):
        self.number += 1
        return self.losses.pop(0)

    def weights(self):
        return {"code": np.array(self.number)}

    def state(self):
        return self.weights() | {"code/step": np.array(0)}

    def load_state(self, arrays, source):
        self.loaded = arrays


@pytest.fixture
def held_out(rng):
    return (rng.random((4, 1, 32, 32)) * 255).astype(np.uint8)


CONFIG = Config(im_resize=32, crop_size=32, grayscale=True)


def test_the_best_weights_are_kept(held_out):
    watch = Watch(Told(0.5, 0.3, 0.4), CONFIG, held_out)
    assert [watch.look(step) for step in (1, 2, 3)] == [0.5, 0.3, 0.4]
    assert watch.loss == 0.3 and watch.weights["code"] == 2 and watch.slower == 1


@pytest.mark.parametrize("loss", [3.0, float("nan")])
def test_from_a_collapse_it_goes_back_to_where_it_was_best_and_slower(held_out, capsys, loss):
    engine = Told(0.5, loss, 0.4)
    watch = Watch(engine, CONFIG, held_out)
    for step in (SETTLED, SETTLED + 1, SETTLED + 2):
        watch.look(step)
    assert engine.loaded == {"code": 1, "code/step": 0} and watch.slower == 0.25 and watch.loss == 0.4
    assert "the training collapsed" in capsys.readouterr().err


def test_a_training_that_has_just_begun_is_not_judged(held_out):
    engine = Told(3.0)
    Watch(engine, CONFIG, held_out).look(SETTLED - 1)
    assert engine.loaded is None


def test_images_that_are_all_alike_are_not_to_be_beaten():
    engine = Told(0.1)
    watch = Watch(engine, CONFIG, np.full((4, 1, 32, 32), 77, np.uint8))
    watch.look(SETTLED)
    assert watch.mean_image < 1e-6 and engine.loaded is None


def test_it_gives_up_in_the_end(held_out):
    watch = Watch(Told(*[3.0] * 5), CONFIG, held_out)
    for step in range(5):
        watch.look(SETTLED + step)
    assert watch.collapses == 3 and watch.weights["code"] == 4


def test_without_held_out_images_there_is_nothing_to_see():
    watch = Watch(Told(), CONFIG, np.zeros((0, 1, 1, 1), np.uint8))
    assert watch.look(SETTLED) is None and watch.kept() == {}


def test_it_resumes_from_what_a_checkpoint_keeps(held_out):
    watch = Watch(Told(0.5), CONFIG, held_out)
    watch.look(1)
    resumed = Watch(Told(), CONFIG, held_out)
    resumed.resume(watch.kept() | {"code": np.array(9)}, Position(best_loss=watch.loss, collapses=2))
    assert resumed.weights == watch.weights and resumed.loss == 0.5 and resumed.slower == 1 / 16


def test_noise_is_no_better_reconstructed_by_its_mean(held_out):
    picks = monitor_picks(CONFIG, 4, 16)
    assert mean_image_loss(held_out, picks, 32) > 0.4
    assert mean_image_loss(held_out[:1], monitor_picks(CONFIG, 1, 16), 32) == pytest.approx(0, abs=1e-6)


def test_a_real_training_with_much_too_high_a_rate_recovers(tiny_config, tmp_path, capsys):
    config = tiny_config.replace(lr=0.2, schedule="constant", augment_num=8192, epochs=4)
    run = train(config, runs=tmp_path)
    assert "the training collapsed" in capsys.readouterr().err
    losses = [epoch.held_out_loss for epoch in read_history(run.folder)]
    _, position = read_checkpoint(run.folder, *_origin(run))
    assert position.collapses and position.best_loss == pytest.approx(min(losses), rel=1e-4)
    assert min(losses) < 0.9 * losses[0]


def _origin(run):
    from ssim_ae.detection.detector_file import read_detector

    return read_detector(run.detector_path).provenance["fingerprint"], run.config
