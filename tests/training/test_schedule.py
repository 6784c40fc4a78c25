import pytest

from ssim_ae.config import Config
from ssim_ae.training.schedule import learning_rate, share_done


def rates(steps=1000, **options):
    return [learning_rate(Config(lr=2e-4, **options), step / steps) for step in range(steps)]


def test_constant_is_the_references():
    assert set(rates(schedule="constant")) == {2e-4}


def test_one_cycle_rises_and_falls_once():
    values = rates(schedule="one_cycle", lr_peak=5)
    top = values.index(max(values))
    assert values[0] == pytest.approx(1e-3 / 25)
    assert max(values) == pytest.approx(1e-3, rel=1e-3) and 290 <= top <= 310
    assert learning_rate(Config(lr=2e-4), 1) == pytest.approx(1e-7) and 1e-7 < values[-1] < 1e-6
    assert values[:top] == sorted(values[:top]) and values[top:] == sorted(values[top:], reverse=True)


def test_a_single_step_has_a_rate():
    assert learning_rate(Config(), 0) > 0


def test_epochs_are_done_step_by_step_and_minutes_second_by_second():
    epochs = Config(epochs=3, augment_num=160)
    assert share_done(epochs, 15, 1e9) == 0.5 and share_done(epochs, 30, 0) == 1
    minutes = epochs.replace(minutes=2)
    assert share_done(minutes, 1000, 30) == 0.25 and share_done(minutes, 0, 130) == 1
