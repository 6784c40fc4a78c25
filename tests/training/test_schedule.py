import pytest

from ssim_ae.config import Config
from ssim_ae.training.schedule import learning_rate


def rates(steps=1000, **options):
    return [learning_rate(Config(lr=2e-4, **options), step, steps) for step in range(steps)]


def test_constant_is_the_references():
    assert set(rates(schedule="constant")) == {2e-4}


def test_one_cycle_rises_and_falls_once():
    values = rates(schedule="one_cycle", lr_peak=5)
    top = values.index(max(values))
    assert values[0] == pytest.approx(1e-3 / 25)
    assert max(values) == pytest.approx(1e-3, rel=1e-3) and 290 <= top <= 310
    assert values[-1] == pytest.approx(1e-7)
    assert values[:top] == sorted(values[:top]) and values[top:] == sorted(values[top:], reverse=True)


def test_a_single_step_has_a_rate():
    assert learning_rate(Config(), 0, 1) > 0
