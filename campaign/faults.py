"""Run commands with a full disk, no write permission, few open files, small files, or a clock that jumps."""

import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from campaign.child import Outcome, do_nothing
from campaign.intact import broken_files, leftovers
from campaign.kills import Arguments, commands, run_into
from campaign.products import Products
from campaign.row import Row
from ssim_ae.storage import remove_leftovers

GUARANTEE = (
    "The command completes, or ends with a status above 0 and an error message of one line. "
    "Every file is complete: the old one or the new one."
)
KIB = 1024
FREE_SPACE = (16, 64, 128, 256, 400, 512, 768, 1024, 2048)  # KiB
OPEN_FILES = (3, 4, 5, 6, 7, 8, 10, 16)
FILE_SIZES = (0, 1, 20, 50, 100)  # KiB
CLOCK_JUMPS = (-(10**9), -3600, 3600, 10**9)  # s


class Trial(NamedTuple):
    """The exit status of a command under a fault, and a line for each problem."""

    status: int
    problems: list[str]


def rows(products: Products, folder: Path, _times: int) -> Iterator[Row]:
    """Run all commands that write files under every fault."""
    folder.mkdir()
    every = commands(products)
    yield _row("full disk", every, lambda each: [_full_disk(products, folder, each, kib) for kib in FREE_SPACE])
    yield _row("read-only folder", every, lambda each: [_read_only(products, folder, each)])
    yield _row("few open files", every, lambda each: [_few_files(products, folder, each, n) for n in OPEN_FILES])
    yield _row("limited file size", every, lambda each: [_small_files(products, folder, each, n) for n in FILE_SIZES])
    yield _row("clock that jumps", every, lambda each: [_clock(products, folder, each, by) for by in CLOCK_JUMPS])


def _row(fault: str, every: dict[str, Arguments], run: Callable[[Arguments], list[Trial]]) -> Row:
    trials = [(name, trial) for name, arguments in every.items() for trial in run(arguments)]
    failures = [f"{name}: {problem}" for name, trial in trials for problem in trial.problems]
    done = sum(trial.status == 0 for _, trial in trials)
    outcome = f"passed: {done} completed, {len(trials) - done} ended with an error message of one line"
    return Row(f"{fault}, for each command", len(trials), outcome, GUARANTEE, failures)


def _full_disk(products: Products, folder: Path, arguments: Arguments, kib: int) -> Trial:
    size = kib * KIB + products.detector.stat().st_size + 64 * KIB
    with mounted(folder / "disk", "tmpfs", f"size={size}") as disk:
        return _trial(products, disk / "out", arguments)


def _read_only(products: Products, folder: Path, arguments: Arguments) -> Trial:
    out = _prepared(products, folder / "read-only")
    try:
        with mounted(out, "none", "bind", str(out)) as same:
            subprocess.run(["mount", "-o", "remount,ro,bind", same], check=True)
            return _checked(run_into(same, arguments), same, products)
    finally:
        shutil.rmtree(out)


def _few_files(products: Products, folder: Path, arguments: Arguments, count: int) -> Trial:
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    return _trial(products, folder / "files", arguments, limit_files)


def _small_files(products: Products, folder: Path, arguments: Arguments, kib: int) -> Trial:
    def limit_size() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib * KIB, kib * KIB))

    return _trial(products, folder / "sizes", arguments, limit_size, may_be_silent=True)


def _clock(products: Products, folder: Path, arguments: Arguments, by: int) -> Trial:
    def jump() -> None:
        real, start = time.time, time.time()
        time.time = lambda: real() + (by if real() > start + 0.2 else 0)

    return _trial(products, folder / "clock", arguments, jump, must_succeed=True)


def _trial(
    products: Products,
    out: Path,
    arguments: Arguments,
    prepare: Callable[[], None] = do_nothing,
    *,
    may_be_silent: bool = False,
    must_succeed: bool = False,
) -> Trial:
    _prepared(products, out)
    try:
        outcome = run_into(out, arguments, prepare)
        return _checked(outcome, out, products, may_be_silent=may_be_silent, must_succeed=must_succeed)
    finally:
        shutil.rmtree(out)


def _prepared(products: Products, out: Path) -> Path:
    (out / "tmp").mkdir(parents=True)
    shutil.copy(products.detector, out / "detector.safetensors")
    return out


def _checked(
    outcome: Outcome, out: Path, products: Products, *, may_be_silent: bool = False, must_succeed: bool = False
) -> Trial:
    """Check the outcome and the files of a command. `may_be_silent`: the fault can also truncate the error message."""
    remove_leftovers(out)  # as the next start does
    problems = broken_files(out) + [f"left over: {path}" for path in leftovers(out)]
    if not outcome.clean or (outcome.status and not outcome.output and not may_be_silent):
        problems.append(f"status {outcome.status}: {outcome.output[-300:]!r}")
    if must_succeed and outcome.status:
        problems.append(f"not done: {outcome.output[-300:]!r}")
    if (out / "detector.safetensors").read_bytes() != products.detector.read_bytes():
        problems.append("the detector changed")
    return Trial(outcome.status, problems)


@contextmanager
def mounted(path: Path, kind: str, options: str, source: str = "none") -> Iterator[Path]:
    """Mount a file system for the block. Requires root."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, source, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
