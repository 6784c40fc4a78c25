"""The command line: finds the command, runs it and prints errors in one line."""

import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType

from ssim_ae import __version__
from ssim_ae.commands import (
    BROKEN_PIPE,
    INPUT_ERROR,
    INTERRUPTED,
    demo,
    draw,
    evaluate,
    export,
    import_reference,
    info,
    log,
    predict,
    report,
    review,
    runs,
    serve,
    threshold,
    train,
)
from ssim_ae.commands.parser import Parser
from ssim_ae.console import print_message
from ssim_ae.errors import InputError
from ssim_ae.frameworks import install_hint
from ssim_ae.spelling import did_you_mean

COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "runs": runs,
    "predict": predict,
    "info": info,
    "threshold": threshold,
    "import": import_reference,
    "export": export,
    "serve": serve,
    "log": log,
    "review": review,
    "draw": draw,
    "demo": demo,
}
SHORT_FORMS = {"fabric": ("draw", "fabric")}
AFTER_INTERRUPTION = {  # what there is to say when Ctrl-C or SIGTERM has ended a command
    "train": "; the run is kept: ssim-ae runs lists it, ssim-ae train --resume RUN continues it",
    "draw": "; classes that are complete are kept",
    "demo": "; start it again: it keeps its data set",
    "evaluate": "; no report is written",
    "report": "; the former report is kept",
    "threshold": "; the detector is not changed",
    "export": "; no file is written",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. `arguments` default to those of the process."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] in SHORT_FORMS:
        arguments[:1] = SHORT_FORMS[arguments[0]]
    _configure_output()
    try:
        with _sigterm_interrupts():
            is_command = bool(arguments) and arguments[0] in COMMANDS
            status = _run_command(*arguments) if is_command else _run_without_command(arguments)
            sys.stdout.flush()
            return status
    except InputError as error:
        print_message(f"ssim-ae: {error}")
    except ModuleNotFoundError as error:
        print_message(f"ssim-ae: {error.name} is not installed; {install_hint(str(error.name))}")
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        _discard_output()
        print_message(f"ssim-ae: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
    except MemoryError:
        print_message("ssim-ae: not enough memory")
    except KeyboardInterrupt as interruption:
        outcome = interruption.args[0] if interruption.args else AFTER_INTERRUPTION.get(arguments[0], "")
        print_message(f"\nssim-ae: interrupted{outcome}")
        return INTERRUPTED
    return INPUT_ERROR


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that it removes its temporary files."""
    in_main_thread = threading.current_thread() is threading.main_thread()  # Python allows handlers only there
    if not in_main_thread or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:  # who has set it wants another end
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _configure_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may not be valid text
    warnings.filterwarnings("ignore", module="PIL")  # images that cannot be used raise InputError


def _run_command(name: str, *arguments: str) -> int:
    command = COMMANDS[name]
    parser = Parser(prog=f"ssim-ae {name}", description=command.__doc__, allow_abbrev=False)
    command.arguments(parser)
    return command.run(parser.parse_args(parser.normalize_option_names(arguments)))


def _run_without_command(arguments: Sequence[str]) -> int:
    """Print the version or the list of commands; return the exit status."""
    first = arguments[0] if arguments else None
    if first == "--version":
        print(__version__)
        return 0
    if first not in (None, "-h", "--help"):
        print_message(f"ssim-ae: unknown command {first!r}{did_you_mean(first, COMMANDS)}; see ssim-ae -h")
        return INPUT_ERROR
    print("usage: ssim-ae COMMAND ... (-h after COMMAND shows its options)\n")
    for name, command in COMMANDS.items():
        print(f"  {name:10} {command.__doc__}")
    return 0 if arguments else INPUT_ERROR


def _discard_output() -> None:
    """Redirect standard output to the null device. Python flushes it at exit, which would fail again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
