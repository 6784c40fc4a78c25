"""Learning rates, and the completed fraction of a training."""

import pytest

from ssim_ae.config import Config
from ssim_ae.training.schedule import Cycle, completed_fraction, first_cycle, learning_rate


def rates(steps=1000, **options):
    return [learning_rate(Config(lr=2e-4, **options), step / steps) for step in range(steps)]


def test_constant_is_always_lr():
    assert set(rates(schedule="constant")) == {2e-4}


def test_one_cycle_rises_and_falls_once():
    values = rates(schedule="one_cycle", lr_peak_factor=5)
    peak = values.index(max(values))
    assert values[0] == pytest.approx(1e-3 / 25)
    assert max(values) == pytest.approx(1e-3, rel=1e-3) and 290 <= peak <= 310
    assert learning_rate(Config(lr=2e-4), 1) == pytest.approx(1e-7) and 1e-7 < values[-1] < 1e-6
    assert values[:peak] == sorted(values[:peak]) and values[peak:] == sorted(values[peak:], reverse=True)


def test_a_training_of_one_step_has_a_positive_learning_rate():
    assert learning_rate(Config(), 0) > 0


def test_the_completed_fraction_counts_steps_or_with_minutes_seconds():
    epochs = Config(epochs=3, augment_num=160, batch_size=16)
    cycle = first_cycle(epochs)
    assert completed_fraction(cycle, 15, 1e9) == 0.5 and completed_fraction(cycle, 30, 0) == 1
    cycle = first_cycle(epochs.replace(minutes=2))
    assert completed_fraction(cycle, 1000, 30) == 0.25 and completed_fraction(cycle, 0, 130) == 1


def test_an_added_cycle_counts_from_its_start():
    assert completed_fraction(Cycle(30, 60.0, 10), 35, 1e9) == 0.5
    assert completed_fraction(Cycle(30, 60.0, 10, 20.0), 1000, 65) == 0.25
    assert completed_fraction(Cycle(30, 60.0, 10), 30, 60) == 0
