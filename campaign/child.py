"""A command of the product in a process of its own, with something done to it.

Forked from one that has imported everything: no second is lost on a start, and the process is as real as any.
"""

import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

WRITING = os.O_CREAT | os.O_WRONLY | os.O_RDWR
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink"}
CRASHED = 70  # the exit status of an exception that nothing caught
SLOW_TO_IMPORT = (
    *("torch._dynamo", "matplotlib.backends.backend_agg", "onnx", "onnxruntime", "safetensors.numpy"),
    *("ssim_ae.cli", "ssim_ae.demo", "ssim_ae.export.onnx_files", "ssim_ae.report.report"),
    "ssim_ae.training.torch_engine",
)


class Outcome(NamedTuple):
    """How a command ended: its exit status, or minus the signal; all that it said; seconds; peak memory in bytes."""

    status: int
    said: str
    seconds: float
    memory: int

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL

    @property
    def clean(self) -> bool:
        """Whether it did its work, or said why not in lines of its own."""
        return 0 <= self.status < CRASHED and "Traceback" not in self.said


def import_all() -> None:
    """Import here what every process forked from this one would import. Nothing of it may start a thread."""
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)


def command(*arguments: object, first: Callable[[], None] = lambda: None, seconds: float = 120) -> Outcome:
    """Run `ssim-ae` with these arguments, after `first` in its process; kill it after so many seconds."""
    from ssim_ae.cli import main

    return call(lambda: main([str(argument) for argument in arguments]), first=first, seconds=seconds)


def call(work: Callable[[], int], *, first: Callable[[], None] = lambda: None, seconds: float = 120) -> Outcome:
    """Run a function in a forked process; what it returns is the exit status."""
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        process = start_call(work, said.fileno(), first)
        status, memory = _end_of(process, start + seconds)
        said.seek(0)
        return Outcome(status, said.read().decode(errors="replace"), time.monotonic() - start, memory)


def start_call(work: Callable[[], int], output: int, first: Callable[[], None] = lambda: None) -> int:
    """Start a function in a forked process, with both its streams into `output`; return the process's number."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    status = CRASHED
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        first()
        status = work()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _end_of(process: int, deadline: float) -> tuple[int, int]:
    pause = 0.001
    while True:
        ended, status, used = os.wait4(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def killed_at(number: int) -> Callable[[], None]:
    """Return what ends a process by SIGKILL right before its file operation of that number; from 0."""

    def install() -> None:
        done = 0

        def hook(event: str, arguments: Sequence[object]) -> None:
            nonlocal done
            if event not in FILE_EVENTS or (event == "open" and not _writes(arguments)):
                return
            if done == number:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1

        sys.addaudithook(hook)

    return install


def _writes(arguments: Sequence[object]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & WRITING) and not str(arguments[0]).startswith("/dev/")
