"""The command line: finds the command, runs it, and puts what goes wrong into one line."""

import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType

from ssim_ae.commands import (
    BROKEN_PIPE,
    INPUT_ERROR,
    INTERRUPTED,
    demo,
    evaluate,
    export,
    fabric,
    import_reference,
    predict,
    report,
    serve,
    threshold,
    train,
)
from ssim_ae.commands.parser import Parser
from ssim_ae.console import say
from ssim_ae.errors import InputError
from ssim_ae.spelling import nearest

EXTRAS = {  # the others: train
    **{"s3fs": "buckets", "openvino": "openvino", "nncf": "int8", "mindspore": "mindspore"},
    **{"fastapi": "serve", "uvicorn": "serve", "prometheus_client": "serve"},
}
VERBS: dict[str, ModuleType] = {
    "train": train,
    "evaluate": evaluate,
    "report": report,
    "predict": predict,
    "threshold": threshold,
    "import": import_reference,
    "export": export,
    "serve": serve,
    "fabric": fabric,
    "demo": demo,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text
    warnings.filterwarnings("ignore", module="PIL")  # what matters of it is an InputError
    try:
        status = _run(*given) if given and given[0] in VERBS else _overview(given)
        sys.stdout.flush()
        return status
    except InputError as error:
        say(f"ssim-ae: {error}")
    except ModuleNotFoundError as error:
        say(f"ssim-ae: needs {error.name}: pip install 'ssim-ae[{EXTRAS.get(str(error.name), 'train')}]'")
    except BrokenPipeError:  # `| head`
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        _discard_output()
        say(f"ssim-ae: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}")
    except MemoryError:
        say("ssim-ae: not enough memory")
    except KeyboardInterrupt:
        say("\nssim-ae: interrupted; a training goes on with: ssim-ae train --resume RUN")
        return INTERRUPTED
    return INPUT_ERROR


def _run(verb: str, *given: str) -> int:
    command = VERBS[verb]
    parser = Parser(prog=f"ssim-ae {verb}", description=command.__doc__, allow_abbrev=False)
    command.arguments(parser)
    return command.run(parser.parse_args(parser.spelt(list(given))))


def _discard_output() -> None:
    """Let what is left to be printed go nowhere: at its end Python would try again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _overview(given: Sequence[str]) -> int:
    if given and given[0] == "--version":
        from importlib.metadata import version

        print(version("ssim-ae"))
        return 0
    if given and given[0] not in ("-h", "--help"):
        say(f"ssim-ae: unknown command {given[0]!r}{nearest(given[0], VERBS)}; see ssim-ae -h")
        return INPUT_ERROR
    print("usage: ssim-ae COMMAND ... (each with -h)\n")
    for name, command in VERBS.items():
        print(f"  {name:10} {command.__doc__}")
    return 0 if given else INPUT_ERROR
