"""The command line: finds the command, runs it, and puts what goes wrong into one line."""

import io
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

from ssim_ae.arguments import Parser
from ssim_ae.commands import (
    INTERRUPTED,
    UNUSABLE,
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
    if not given or given[0] not in VERBS:
        return _overview(given)
    command = VERBS[given[0]]
    parser = Parser(prog=f"ssim-ae {given[0]}", description=command.__doc__, allow_abbrev=False)
    command.arguments(parser)
    try:
        return command.run(parser.parse_args(parser.spelt(given[1:])))
    except InputError as error:
        print(f"ssim-ae: {error}", file=sys.stderr)
        return UNUSABLE
    except ModuleNotFoundError as error:
        print(
            f"ssim-ae: needs {error.name}: pip install 'ssim-ae[{EXTRAS.get(str(error.name), 'train')}]'",
            file=sys.stderr,
        )
        return UNUSABLE
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0
    except OSError as error:
        print(f"ssim-ae: {f'{error.filename}: {error.strerror}' if error.filename else error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("\nssim-ae: interrupted; a training goes on with: ssim-ae train --resume RUN", file=sys.stderr)
        return INTERRUPTED


def _overview(given: Sequence[str]) -> int:
    if given and given[0] == "--version":
        from importlib.metadata import version

        print(version("ssim-ae"))
        return 0
    if given and given[0] not in ("-h", "--help"):
        print(
            f"ssim-ae: unknown command {given[0]!r}{nearest(given[0], VERBS)}; see ssim-ae -h",
            file=sys.stderr,
        )
        return UNUSABLE
    print("usage: ssim-ae COMMAND ... (each with -h)\n")
    for name, command in VERBS.items():
        print(f"  {name:10} {command.__doc__}")
    return 0 if given else UNUSABLE
