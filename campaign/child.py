"""Run a command of `ssim-ae` in a child process.

The child is forked from this process after all imports, so it starts within milliseconds.
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

WRITE_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_RDWR
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink"}
CRASHED = 70  # exit status of an uncaught exception
SLOW_TO_IMPORT = (
    "torch._dynamo",
    "matplotlib.backends.backend_agg",
    "onnx",
    "onnxruntime",
    "safetensors.numpy",
    "ssim_ae.cli",
    "ssim_ae.demo",
    "ssim_ae.export.onnx_files",
    "ssim_ae.report.report",
    "ssim_ae.training.torch_engine",
)


class Outcome(NamedTuple):
    """How a child process ended.

    `status` is its exit status, or minus the number of the signal; `output` is its standard output and standard error;
    `seconds` is its duration and `memory` its peak memory in bytes.
    """

    status: int
    output: str
    seconds: float
    memory: int

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended the process."""
        return self.status == -signal.SIGKILL

    @property
    def clean(self) -> bool:
        """Whether the process ended without a signal and without a traceback."""
        return 0 <= self.status < CRASHED and "Traceback" not in self.output


def do_nothing() -> None:
    """Do nothing."""


def import_all() -> None:
    """Import what child processes need. These modules must not start threads, because threads do not survive a fork."""
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)


def run_command(*arguments: object, prepare: Callable[[], None] = do_nothing, timeout: float = 120) -> Outcome:
    """Run `ssim-ae` with `arguments` in a child process; see `run_function`."""
    from ssim_ae.cli import main

    return run_function(lambda: main([str(argument) for argument in arguments]), prepare=prepare, timeout=timeout)


def run_function(
    function: Callable[[], int], *, prepare: Callable[[], None] = do_nothing, timeout: float = 120
) -> Outcome:
    """Run a function in a child process, after `prepare`; its result is the exit status.

    The process is killed after `timeout` seconds.
    """
    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        process = start_process(function, output.fileno(), prepare)
        status, memory = _wait(process, start + timeout)
        output.seek(0)
        return Outcome(status, output.read().decode(errors="replace"), time.monotonic() - start, memory)


def start_process(function: Callable[[], int], output: int, prepare: Callable[[], None] = do_nothing) -> int:
    """Start a function in a child process; return its process ID.

    `output` is the file descriptor for its standard output and standard error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    status = CRASHED
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        prepare()
        status = function()
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


def _wait(process: int, deadline: float) -> tuple[int, int]:
    """Wait for a process and kill it at the deadline; return its status and its peak memory in bytes."""
    pause = 0.001
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def kill_before(operation: int) -> Callable[[], None]:
    """Return a function that makes a process kill itself before its file operation of that number, from 0."""

    def install_hook() -> None:
        count = 0

        def hook(event: str, arguments: Sequence[object]) -> None:
            nonlocal count
            if event not in FILE_EVENTS or (event == "open" and not _opens_for_writing(arguments)):
                return
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        sys.addaudithook(hook)

    return install_hook


def _opens_for_writing(arguments: Sequence[object]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & WRITE_FLAGS) and not str(arguments[0]).startswith("/dev/")
