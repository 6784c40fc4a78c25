"""Messages and progress on standard error: a progress bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOG_INTERVAL = 15.0  # s between two progress lines when standard error is not a terminal
Report = Callable[[str, int, int], None]  # of a label, the units that are done, and their total


class ProgressBar(Protocol):
    """The progress of some work."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Report that `amount` more units are done, and show `note` beside the progress."""
        ...


def print_message(text: str) -> None:
    """Print a line to standard error. Errors are ignored: a closed standard error does not end the work."""
    with suppress(OSError, ValueError):
        print(escape_unprintable(without_credentials(text), keep="\n"), file=sys.stderr, flush=True)


def without_credentials(text: str) -> str:
    """Return `text` without the passwords of URLs, and without the queries of those of cameras, which can hold some."""
    text = re.sub(r"://([^\s:@/]*):\S*@", r"://\1:***@", text)
    return re.sub(r"((?:rtsps?|https?)://[^\s?]*\?)\S*", r"\1***", text)


def print_note(text: str) -> None:
    """Print a note to standard error, once in a distributed training."""
    if _is_main_process():
        print_message(f"note: {text}")


def escape_unprintable(text: str, keep: str = "") -> str:
    """Return `text` with its unprintable characters escaped, except those in `keep`.

    A file name can contain control characters, which a terminal would execute.
    """
    return "".join(c if c in keep or _is_printable(c) else ascii(c)[1:-1] for c in text)


def _is_printable(character: str) -> bool:
    # str.isprintable() rejects all spaces except " "; those beyond Latin-1, such as U+3000, are harmless in names.
    return character.isprintable() or (character.isspace() and ord(character) > 0xA0)


@contextmanager
def progress(label: str, total: int, *, done: int = 0, unit: str = "") -> Iterator[ProgressBar]:
    """Show the progress of `total` units of work, its rate in `unit` per second and the remaining time.

    `done` units are complete at the start. Nothing is shown for a `total` of 0.
    """
    if not total or not _is_main_process():
        yield _NoProgress()
    elif report := _report.get():
        yield _ReportedProgress(report, label, total, done)
    elif sys.stderr.isatty():
        with _terminal_progress(label, total, done, unit) as bar:
            yield bar
    else:
        yield _LogProgress(label, total, done, unit)


@contextmanager
def progress_reported_to(report: Report) -> Iterator[None]:
    """Call `report` with the progress of the block, in this thread, instead of showing it. It may raise to stop it."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


@contextmanager
def _terminal_progress(label: str, total: int, done: int, unit: str) -> Iterator[ProgressBar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[note]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done, note="", rate="")
        yield _TerminalProgress(bar, task, unit)


def _is_main_process() -> bool:
    """Return whether this process is the one of a distributed training that prints."""
    return os.environ.get("RANK", "0") == "0"


class _NoProgress:
    def advance(self, amount: int = 1, note: str = "") -> None:
        pass


class _ReportedProgress:
    def __init__(self, report: Report, label: str, total: int, done: int) -> None:
        self.report = report
        self.label = label
        self.total = total
        self.done = done
        report(label, done, total)

    def advance(self, amount: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.done += amount
        self.report(self.label, self.done, self.total)


class _TerminalProgress:
    def __init__(self, bar: Progress, task: TaskID, unit: str) -> None:
        self.bar = bar
        self.task = task
        self.rate = _Rate(unit)

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.rate.add(amount)
        self.bar.update(self.task, advance=amount, note=note, rate=str(self.rate))


class _LogProgress:
    def __init__(self, label: str, total: int, done: int, unit: str) -> None:
        self.label = label
        self.total = total
        self.done = done
        self.rate = _Rate(unit)
        self.last_printed = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        self.rate.add(amount)
        now = time.monotonic()
        if now - self.last_printed >= LOG_INTERVAL:
            self.last_printed = now
            seconds = round(self.rate.seconds_for(self.total - self.done))
            remaining = f"{seconds // 60}:{seconds % 60:02} left"
            parts = (f"{self.label} {self.done}/{self.total}", note, str(self.rate), remaining)
            print_message("  ".join(part for part in parts if part))


class _Rate:
    """Units of work per second since the start. `str(rate)` is empty if `unit` is."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.start = time.monotonic()
        self.amount = 0

    def __str__(self) -> str:
        return f"{self._per_second():,.0f} {self.unit}/s" if self.unit else ""

    def add(self, amount: int) -> None:
        self.amount += amount

    def seconds_for(self, amount: int) -> float:
        return amount / self._per_second()

    def _per_second(self) -> float:
        return max(self.amount, 1e-9) / max(time.monotonic() - self.start, 1e-9)


_report: ContextVar[Report | None] = ContextVar("report", default=None)
