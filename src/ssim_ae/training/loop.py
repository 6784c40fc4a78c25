"""The training loop. It knows no framework: an engine takes the steps."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any, Protocol

import numpy as np

from ssim_ae.augmentation.patches import PatchBatch
from ssim_ae.config import Config
from ssim_ae.console import progress, say
from ssim_ae.runtimes.runtime import Runtime
from ssim_ae.training.checkpoints import Position
from ssim_ae.training.collapse_monitor import CollapseMonitor
from ssim_ae.training.history import Epoch
from ssim_ae.training.patch_sampling import epoch_patches
from ssim_ae.training.schedule import learning_rate, share_done

CHECKED_STEPS = 50  # between two looks whether the loss is a number, in all workers at the same step
SHOWN_SECONDS = 0.5  # between two readings of the loss, which wait for the device


class Engine(Protocol):
    """What the loop needs of a framework. `rank` is 0 in the process that writes files."""

    rank: int

    def describe(self) -> str: ...
    def step(self, picks: PatchBatch, rate: float) -> Any: ...
    def held_out_loss(self, picks: PatchBatch) -> float: ...
    def any_worker(self, flag: bool) -> bool: ...
    def patches(self, picks: PatchBatch) -> np.ndarray: ...
    def runtime(self) -> Runtime: ...
    def weights(self) -> dict[str, np.ndarray]: ...
    def load_weights(self, weights: dict[str, np.ndarray], source: str) -> None: ...
    def state(self) -> dict[str, np.ndarray]: ...
    def load_state(self, arrays: dict[str, np.ndarray], source: str) -> None: ...
    def close(self) -> None: ...


def fit(
    engine: Engine,
    config: Config,
    images: int,
    watch: CollapseMonitor,
    start: Position,
    save: Callable[[Position], None],
) -> Position:
    """Train on so many images from `start` until all is done, or until interrupted; return where it ended.

    `save` is called at the end and every `checkpoint_seconds` between.
    """
    epoch_steps = config.epoch_steps
    history = list(start.history)
    meter = _Meter(start.loss_sum, start.step % epoch_steps)
    began = time.monotonic() - start.seconds
    saved = shown = time.monotonic()
    step = start.step
    total, unit = (60 * config.minutes, "") if config.minutes else (config.steps * config.batch_size, "patches")

    def position() -> Position:
        elapsed = time.monotonic() - began
        loss_sum = meter.total() if isfinite(meter.total()) else 0.0
        return Position(step, loss_sum, elapsed, tuple(history), watch.loss, watch.collapses)

    def end_epoch() -> None:
        elapsed, before = time.monotonic() - began, history[-1].seconds if history else 0.0
        speed = meter.count * config.batch_size / max(elapsed - before, 1e-9)
        loss, held_out_loss = meter.mean(), watch.look(step)
        history.append(Epoch(-(-step // epoch_steps), step, loss, held_out_loss, rate, speed, elapsed))

    def done() -> float:
        return share_done(config, step, time.monotonic() - began)

    label, shown_done = f"training on {engine.describe()}", round(done() * total)
    with _interruption() as interrupted, progress(label, round(total), done=shown_done, unit=unit) as bar:
        while not engine.any_worker(interrupted.is_set()) and (share := done()) < 1:
            epoch, in_epoch = divmod(step, epoch_steps)
            if in_epoch == 0 or step == start.step:
                picks = epoch_patches(config, images, epoch)
            batch = picks.take(slice(in_epoch * config.batch_size, (in_epoch + 1) * config.batch_size))
            rate = learning_rate(config, share) * watch.slower
            meter.add(engine.step(batch, rate))
            step += 1
            last = in_epoch + 1 == epoch_steps
            if (last or step % CHECKED_STEPS == 0) and not isfinite(meter.total()):
                watch.leave(f"the loss became {meter.last}")
                meter = _Meter()
            now = time.monotonic()
            if last and meter.count:
                end_epoch()
                meter = _Meter()
            if now - shown > SHOWN_SECONDS:
                shown = now
                bar.advance(round(share * total) - shown_done, f"epoch {epoch + 1}  loss {meter.latest():.4f}")
                shown_done = round(share * total)
            if now - saved > config.checkpoint_seconds:
                save(position())
                saved = time.monotonic()
        if done() >= 1 and step % epoch_steps and step > start.step and meter.count:  # minutes end within an epoch
            end_epoch()
        bar.advance(round(done() * total) - shown_done)
    save(position())
    return position()


class _Meter:
    """Adds up losses that may still be on their way on the device."""

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self.read, self.pending, self.last, self.count = total, [], 0.0, count  # type: float, list[Any], float, int

    def add(self, loss: Any) -> None:
        self.pending.append(loss)
        self.count += 1

    def mean(self) -> float:
        return self.total() / self.count

    def total(self) -> float:
        for loss in self.pending:
            self.last = float(loss)
            self.read += self.last
        self.pending.clear()
        return self.read

    def latest(self) -> float:
        self.total()
        return self.last


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C or SIGTERM sets; a second one interrupts at once, as ever."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def ask(number: int, _frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        say("\nstopping after this step; once more to stop at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
