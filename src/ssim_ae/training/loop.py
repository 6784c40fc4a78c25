"""The training loop. It is independent of the framework: an engine runs the training steps."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any, Self

from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.config import Config
from ssim_ae.console import ProgressBar, print_message, print_note, progress
from ssim_ae.training.checkpoints import TrainingState
from ssim_ae.training.collapse_monitor import CollapseMonitor
from ssim_ae.training.engine import Engine
from ssim_ae.training.history import EpochRecord
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.schedule import Cycle, completed_fraction, first_cycle, learning_rate

LOSS_CHECK_STEPS = 50  # steps between checks for a finite loss; all workers count the same steps, so all roll back
MEASURED_SECONDS = 5.0  # seconds of training from which its duration is estimated
LONG_TRAINING = 90.0  # seconds; shorter durations are not printed
DISPLAY_SECONDS = 0.5  # seconds between updates of the progress bar: reading the loss waits for the device


class TrainingLoop:
    """Trains an engine on `image_count` images, starting from a state.

    The loop ends when the cycle is completed, or when Ctrl-C or SIGTERM interrupts it. It calls `save`
    with its state every `checkpoint_seconds` and at the end.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        image_count: int,
        monitor: CollapseMonitor,
        initial: TrainingState,
        save: Callable[[TrainingState], None],
    ) -> None:
        self.engine = engine
        self.config = config
        self.image_count = image_count
        self.monitor = monitor
        self.save = save
        self.cycle = initial.cycle or first_cycle(config)
        self.first_step = initial.step
        self.step = initial.step
        self.history = list(initial.history)
        self.losses = LossMeter(initial.loss_sum, initial.loss_count)
        self.lr = 0.0  # of the last step
        self.patches: PatchBatch | None = None  # of the current epoch
        self.start_time = time.monotonic() - initial.seconds  # as if the training had never been interrupted
        self.save_time = time.monotonic()

    def run(self) -> TrainingState:
        """Train, save a checkpoint, and return the state at the end."""
        label = f"training on {self.engine.describe()}"
        with _Interruption() as interruption, _display(label, self.config, self.cycle, self._completed()) as display:
            while not self.engine.any_worker(interruption.requested) and (completed := self._completed()) < 1:
                self._train_step(completed)
                self._roll_back_if_not_finite()
                if self._at_epoch_end():
                    self._record_epoch()
                    self.losses.reset()
                if display.is_due():
                    display.update(completed, f"epoch {self._epoch()}  loss {self.losses.last():.4f}")
                self._save_if_due()
            if self._minutes_ended_within_epoch():
                self._record_epoch()
            display.update(self._completed())
        state = self._state()
        self.save(state)
        return state

    def _train_step(self, completed: float) -> None:
        """Train on the next batch, at the learning rate for the completed fraction of the training."""
        batch = self._next_batch()
        self.lr = learning_rate(self.config, completed) * self.monitor.lr_scale
        self.losses.add(self.engine.step(batch, self.lr))
        self.step += 1

    def _next_batch(self) -> PatchBatch:
        epoch_index, batch_index = divmod(self.step, self.config.epoch_steps)
        if batch_index == 0 or self.patches is None:
            self.patches = epoch_patches(self.config, self.image_count, epoch_index)
        start = batch_index * self.config.batch_size
        return self.patches.take(slice(start, start + self.config.batch_size))

    def _roll_back_if_not_finite(self) -> None:
        """Check the loss every LOSS_CHECK_STEPS steps; reading it more often would wait for the device each time."""
        if not (self._at_epoch_end() or self.step % LOSS_CHECK_STEPS == 0):
            return
        if not isfinite(self.losses.total()):
            self.monitor.rollback(f"the loss is {self.losses.last()}")
            self.losses.reset()

    def _record_epoch(self) -> None:
        """Evaluate the monitor patches and append a row to the history."""
        if not self.losses.count:  # a rollback has just discarded them
            return
        seconds = self._seconds()
        epoch_seconds = seconds - (self.history[-1].seconds if self.history else 0.0)
        loss = self.losses.mean()
        lowest = min([loss, *(record.loss for record in self.history)])
        record = EpochRecord(
            epoch=self._epoch(),
            steps=self.step,
            loss=loss,
            held_out_loss=self.monitor.evaluate(self.step, loss / lowest if lowest else 1.0),
            lr=self.lr,
            patches_per_second=self.losses.count * self.config.batch_size / max(epoch_seconds, 1e-9),
            seconds=seconds,
        )
        self.history.append(record)

    def _save_if_due(self) -> None:
        if time.monotonic() - self.save_time > self.config.checkpoint_seconds:
            self.save(self._state())
            self.save_time = time.monotonic()

    def _state(self) -> TrainingState:
        loss_sum = self.losses.total()
        is_sound = isfinite(loss_sum)
        return TrainingState(
            step=self.step,
            loss_sum=loss_sum if is_sound else 0.0,
            loss_count=self.losses.count if is_sound else 0,
            seconds=self._seconds(),
            history=tuple(self.history),
            best_loss=self.monitor.best_loss,
            learned=self.monitor.learned,
            collapses=self.monitor.collapses,
            cycle=self.cycle,
        )

    def _seconds(self) -> float:
        """Return the duration of the training, including the time before it was resumed."""
        return time.monotonic() - self.start_time

    def _completed(self) -> float:
        return completed_fraction(self.cycle, self.step, self._seconds())

    def _epoch(self) -> int:
        """Return the epoch of the last step, counted from 1."""
        return (self.step - 1) // self.config.epoch_steps + 1

    def _at_epoch_end(self) -> bool:
        return self.step % self.config.epoch_steps == 0

    def _minutes_ended_within_epoch(self) -> bool:
        return self._completed() >= 1 and not self._at_epoch_end() and self.step > self.first_step


class LossMeter:
    """Sums losses. It converts them to floats as late as possible, because that waits for the device."""

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self.count = count
        self._total = total
        self._last = 0.0
        self._pending: list[Any] = []

    def add(self, loss: Any) -> None:
        """Add the loss of one step: a float, or a scalar on the device."""
        self._pending.append(loss)
        self.count += 1

    def total(self) -> float:
        """Return the sum of the losses."""
        for loss in self._pending:
            self._last = float(loss)
            self._total += self._last
        self._pending.clear()
        return self._total

    def mean(self) -> float:
        """Return the mean of the losses."""
        return self.total() / self.count

    def last(self) -> float:
        """Return the loss that was added last, even before a reset."""
        self.total()
        return self._last

    def reset(self) -> None:
        """Start a new sum."""
        self.total()
        self._total = 0.0
        self.count = 0


class _Display:
    """A progress bar that shows the completed fraction of the training, and a note that says how long it will take."""

    def __init__(self, bar: ProgressBar, total: float, done: int) -> None:
        self.bar = bar
        self.total = total
        self.done = done
        self.update_time = time.monotonic()
        self.first_update: tuple[float, float] | None = None  # time and completed fraction; the first steps are slow
        self.has_duration = False

    def is_due(self) -> bool:
        return time.monotonic() - self.update_time > DISPLAY_SECONDS

    def update(self, completed: float, note: str = "") -> None:
        done = round(completed * self.total)
        self.bar.advance(done - self.done, note)
        self.done = done
        self.update_time = time.monotonic()
        if not self.has_duration:
            self._note_duration(completed)

    def _note_duration(self, completed: float) -> None:
        """Print how long the training will take, once enough steps have been measured, if it is long."""
        if self.first_update is None:
            self.first_update = self.update_time, completed
            return
        seconds = self.update_time - self.first_update[0]
        fraction = completed - self.first_update[1]
        if seconds < MEASURED_SECONDS or fraction <= 0:
            return
        self.has_duration = True
        if (remaining := seconds / fraction * (1 - completed)) > LONG_TRAINING:
            duration = f"{remaining / 60:.0f} minutes" if remaining < 5400 else f"{remaining / 3600:.1f} hours"
            print_note(f"training: about {duration}, at the speed of the first {seconds:.0f} seconds")


@contextmanager
def _display(label: str, config: Config, cycle: Cycle, completed: float) -> Iterator[_Display]:
    """Show a progress bar that counts patches, or seconds if the cycle is limited in seconds."""
    total, unit = (cycle.seconds, "") if cycle.seconds else (cycle.steps * config.batch_size, "patches")
    done = round(completed * total)
    with progress(label, round(total), done=done, unit=unit) as bar:
        yield _Display(bar, total, done)


class _Interruption:
    """Catches Ctrl-C and SIGTERM in the main thread; the second signal raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.requested = False
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print_message("\ntraining: interrupted, stops after this step; interrupt again to stop at once")
