"""The training loop, with an engine that returns given losses: its order, its checkpoints, its interruption."""

import os
import signal
from math import inf, nan

import numpy as np
import pytest

from ssim_ae import Config
from ssim_ae.training import loop
from ssim_ae.training.checkpoints import TrainingState
from ssim_ae.training.loop import LossMeter, TrainingLoop
from ssim_ae.training.schedule import Cycle

EPOCH_STEPS = 4
CONFIG = Config(
    method="reference",
    im_resize=32,
    crop_size=32,
    augment_num=4 * EPOCH_STEPS,
    batch_size=4,
    epochs=2,
    checkpoint_seconds=1e9,
)


class FakeEngine:
    """An engine that returns given losses and records the learning rates and the images of the batches."""

    def __init__(self, losses=None):
        self.losses = losses or [1.0] * 2 * EPOCH_STEPS
        self.lrs = []
        self.images = []

    def describe(self):
        return "nothing"

    def any_worker(self, flag):
        return flag

    def step(self, batch, lr):
        self.lrs.append(lr)
        self.images.append(batch.image.tolist())
        return self.losses[len(self.lrs) - 1]


class FakeMonitor:
    """A collapse monitor that records its calls."""

    best_loss = 0.5
    learned = True

    def __init__(self):
        self.evaluated = []
        self.ratios = []
        self.reasons = []

    @property
    def collapses(self):
        return len(self.reasons)

    @property
    def lr_scale(self):
        return 0.5**self.collapses

    def evaluate(self, step, training_loss_ratio):
        self.evaluated.append(step)
        self.ratios.append(training_loss_ratio)
        return 0.1 * step

    def rollback(self, reason):
        self.reasons.append(reason)


def run(engine, config=CONFIG, monitor=None, start=None):
    """Run a loop; return the states that it saved. The last one is also the state that it returned."""
    saved = []
    start = start or TrainingState()
    end = TrainingLoop(engine, config, 5, monitor or FakeMonitor(), start, saved.append).run()
    assert saved[-1] == end
    return saved


def test_records_every_epoch():
    monitor = FakeMonitor()
    (end,) = run(FakeEngine([1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 9.0]), monitor=monitor)
    assert [record[:4] for record in end.history] == [(1, 4, 2.5, 0.4), (2, 8, 6.0, 0.8)]
    assert monitor.evaluated == [4, 8] and monitor.ratios == [1, 6.0 / 2.5] and not monitor.reasons
    assert (end.step, end.loss_sum, end.best_loss, end.collapses) == (8, 0.0, 0.5, 0)


def test_a_state_in_the_middle_of_an_epoch_continues_the_training():
    whole = FakeEngine([float(step) for step in range(8)])
    states = run(whole, CONFIG.replace(checkpoint_seconds=0))
    assert [state.step for state in states] == [*range(1, 9), 8]
    assert [state.loss_sum for state in states] == [0, 1, 3, 0, 4, 9, 15, 0, 0]
    resumed = FakeEngine(whole.losses[6:])
    (end,) = run(resumed, start=states[5])
    assert resumed.lrs == whole.lrs[6:] and resumed.images == whole.images[6:]
    assert [record[:5] for record in end.history] == [record[:5] for record in states[-1].history]


def test_a_state_after_a_rollback_within_an_epoch_continues_its_mean(monkeypatch):
    monkeypatch.setattr(loop, "LOSS_CHECK_STEPS", 2)
    losses = [1.0, nan, 3.0, 5.0, 1.0, 1.0, 1.0, 1.0]
    states = run(FakeEngine(losses), CONFIG.replace(checkpoint_seconds=0))
    assert [(state.loss_sum, state.loss_count) for state in states[:4]] == [(1, 1), (0, 0), (3, 1), (0, 0)]
    (end,) = run(FakeEngine(losses[3:]), start=states[2])
    assert [record.loss for record in end.history] == [4, 1]


def test_an_added_cycle_continues_steps_epochs_and_history():
    (end,) = run(FakeEngine())
    added = FakeEngine()
    start = end._replace(cycle=Cycle(end.step, end.seconds, EPOCH_STEPS))
    (further,) = run(added, start=start)
    assert len(added.lrs) == EPOCH_STEPS and max(added.lrs) > CONFIG.lr > added.lrs[0], "the rate rises again"
    assert [record.epoch for record in further.history] == [1, 2, 3] and further.step == 3 * EPOCH_STEPS
    assert further.cycle == start.cycle and further.completed(CONFIG) == 1


def test_a_long_training_says_how_long_it_takes(monkeypatch, capsys):
    monkeypatch.setattr(loop, "DISPLAY_SECONDS", -1)
    monkeypatch.setattr(loop, "MEASURED_SECONDS", 20)
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(clock)))
    run(FakeEngine([1.0] * 400), CONFIG.replace(epochs=100))
    errors = capsys.readouterr().err
    assert errors.count("note: training: about ") == 1 and "at the speed of the first" in errors


@pytest.mark.parametrize("loss", [inf, nan])
def test_a_loss_that_is_not_finite_starts_a_rollback_at_the_end_of_the_epoch(loss):
    engine, monitor = FakeEngine([1.0, loss, 1.0, 1.0, 1.0, 2.0, 1.0, 2.0]), FakeMonitor()
    (end,) = run(engine, CONFIG.replace(schedule="constant"), monitor)
    assert len(monitor.reasons) == 1 and monitor.evaluated == [8]
    assert [(record.epoch, record.loss) for record in end.history] == [(2, 1.5)]
    assert engine.lrs == [CONFIG.lr] * 4 + [CONFIG.lr / 2] * 4


def test_a_loss_that_is_not_finite_starts_a_rollback_within_a_long_epoch(monkeypatch):
    monkeypatch.setattr(loop, "LOSS_CHECK_STEPS", 2)
    monitor = FakeMonitor()
    (end,) = run(FakeEngine([1.0, nan, 3.0, 5.0]), CONFIG.replace(epochs=1), monitor)
    assert monitor.reasons == ["the loss is nan"] and end.history[0].loss == 4


def test_minutes_may_end_within_an_epoch(monkeypatch):
    completed = iter([0.0, 0.0, 0.5, 1.0, 1.0, 1.0])
    monkeypatch.setattr(loop, "completed_fraction", lambda *_: next(completed))
    (end,) = run(FakeEngine([1.0, 2.0]))
    assert [(record.epoch, record.steps, record.loss) for record in end.history] == [(1, 2, 1.5)]


def test_an_interruption_stops_after_the_step(capsys):
    class InterruptedEngine(FakeEngine):
        def step(self, batch, lr):
            if len(self.lrs) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(batch, lr)

    before = signal.getsignal(signal.SIGINT)
    (end,) = run(InterruptedEngine())
    assert end.step == 3 and end.loss_sum == 3 and not end.history
    assert signal.getsignal(signal.SIGINT) is before
    assert "training: interrupted, stops after this step" in capsys.readouterr().err


def test_a_second_interruption_stops_at_once():
    class InterruptedEngine(FakeEngine):
        def step(self, batch, lr):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            return super().step(batch, lr)

    engine = InterruptedEngine()
    with pytest.raises(KeyboardInterrupt):
        run(engine)
    assert not engine.lrs


def test_the_loss_meter_reads_losses_late_and_keeps_the_last_one_after_a_reset():
    class DeviceScalar:
        reads = 0

        def __float__(self):
            self.reads += 1
            return 3.0

    meter, scalar = LossMeter(total=1.0, count=1), DeviceScalar()
    meter.add(scalar)
    assert scalar.reads == 0
    assert (meter.mean(), meter.total(), meter.last()) == (2.0, 4.0, 3.0) and scalar.reads == 1
    meter.reset()
    assert (meter.total(), meter.count, meter.last()) == (0.0, 0, 3.0)
    meter.add(np.float32(2.0))
    assert meter.mean() == 2.0
