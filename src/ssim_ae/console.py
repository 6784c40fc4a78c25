"""What a person sees while waiting: a bar on a terminal, a line now and then in a log."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

LOG_SECONDS = 15.0  # between two lines where there is no terminal


class Bar(Protocol):
    """A bar that is moved on."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Move on; `note` stands behind the bar from now on."""
        ...


def say(text: str) -> None:
    """Write a line for a person. That nobody can read it any more ends no work."""
    with suppress(OSError, ValueError):
        print(printable(text, keep="\n"), file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Say what a person should know, though the work goes on."""
    if _speaks():
        say(f"note: {text}")


def printable(text: str, keep: str = "") -> str:
    """Return a text in which what would steer a terminal is written out: a file may have any name."""
    return "".join(
        c if c.isprintable() or c in keep or (c.isspace() and ord(c) > 160) else ascii(c)[1:-1] for c in text
    )


@contextmanager
def progress(label: str, total: int, *, done: int = 0, unit: str = "") -> Iterator[Bar]:
    """Show how far the work of `total` units has come, how fast it goes and how long it will take."""
    if not _speaks():
        yield _Silent()
    elif sys.stderr.isatty():
        with _terminal_bar(label, total, done, unit) as bar:
            yield bar
    else:
        yield _Log(label, total, done, unit)


@contextmanager
def _terminal_bar(label: str, total: int, done: int, unit: str) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[note]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )

    class Terminal:
        def __init__(self, bar: Progress, task: TaskID) -> None:
            self.bar, self.task, self.rate = bar, task, _Rate(unit)

        def advance(self, amount: int = 1, note: str = "") -> None:
            self.bar.update(self.task, advance=amount, note=note, rate=self.rate.after(amount))

    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield Terminal(bar, bar.add_task(label, total=total, completed=done, note="", rate=""))


def _speaks() -> bool:
    """The first process of a distributed training speaks for all."""
    return os.environ.get("RANK", "0") == "0"


class _Silent:
    def advance(self, amount: int = 1, note: str = "") -> None:
        pass


class _Log:
    def __init__(self, label: str, total: int, done: int, unit: str) -> None:
        self.label, self.total, self.done = label, total, done
        self.rate = _Rate(unit)
        self.shown = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        rate = self.rate.after(amount)
        now = time.monotonic()
        if now - self.shown >= LOG_SECONDS:
            self.shown = now
            left = self.rate.seconds(self.total - self.done)
            parts = (
                f"{self.label} {self.done}/{self.total}",
                note,
                rate,
                f"{left // 60:.0f}:{left % 60:02.0f} left",
            )
            say("  ".join(part for part in parts if part))


class _Rate:
    def __init__(self, unit: str) -> None:
        self.unit, self.start, self.amount = unit, time.monotonic(), 0

    def after(self, amount: int) -> str:
        self.amount += amount
        return f"{self._speed():,.0f} {self.unit}/s" if self.unit else ""

    def seconds(self, amount: int) -> float:
        return amount / self._speed()

    def _speed(self) -> float:
        return max(self.amount, 1e-9) / max(time.monotonic() - self.start, 1e-9)
