"""Pages that MkDocs generates from the code: commands, settings, the HTTP API and the example programs."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from ssim_ae.cli import COMMANDS
from ssim_ae.commands.parser import Parser
from ssim_ae.config.descriptions import default_of, description, main_user, sections
from ssim_ae.config.yaml_files import to_yaml_value
from ssim_ae.line.drift import DriftWatch
from ssim_ae.line.history import history_of
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.served_runs import ServedRuns
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.server.app import create_app
from ssim_ae.server.inspector import Inspector
from ssim_ae.sources.extension import sources_of

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "C++": ("cpp/inspect_onnxruntime.cpp", "cpp/inspect_openvino.cpp", "cpp/program.h", "cpp/CMakeLists.txt"),
    "C#": ("csharp/Inspect.cs", "csharp/Inspect.csproj"),
    "JavaScript": ("node/inspect.mjs", "node/package.json"),
}
FENCES = {".cpp": "cpp", ".h": "cpp", ".txt": "cmake", ".cs": "csharp", ".csproj": "xml", ".mjs": "js", ".json": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, page in PAGES.items():
        files.append(File.generated(config, path, content="\n".join(page()) + "\n"))
    return files


def commands() -> Iterator[str]:
    """Yield the lines of the page of all commands."""
    yield "# Commands\n"
    yield "`ssim-ae COMMAND -h` prints the same. In names of options, `-` and `_` are equal. Options that are"
    yield "settings are on the page [Settings](settings.md).\n"
    for name, command in COMMANDS.items():
        parser = Parser(prog=f"ssim-ae {name}", add_help=False)
        command.arguments(parser)
        yield f"## {name}\n"
        yield f"{command.__doc__}\n"
        actions = [action for action in parser._actions if not action.dest.startswith("config.")]
        has_settings = len(actions) < len(parser._actions)
        arguments = " ".join(usage(action) for action in actions if not action.option_strings)
        yield f"```text\nssim-ae {name} {arguments} [options]\n```\n" if arguments else ""
        yield from table(("argument", "meaning"), [(invocation(action), str(action.help or "")) for action in actions])
        yield "\nAnd [settings](settings.md).\n" if has_settings else ""


def usage(action: argparse.Action) -> str:
    """Return a positional argument as in a usage line."""
    name = str(action.metavar or action.dest)
    return f"[{name} ...]" if action.nargs == "*" else f"[{name}]" if action.nargs == "?" else name


def invocation(action: argparse.Action) -> str:
    """Return an argument as it is written on the command line."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or '|'.join(action.choices or ()) or action.dest.upper()}"
    return f"`{action.option_strings[-1]}{value}`"


def settings() -> Iterator[str]:
    """Yield the lines of the page of all settings."""
    yield "# Settings\n"
    yield "Options of `ssim-ae train` (`--epochs 5`), keys of a YAML file (`--config_path`), and arguments of `Config`."
    yield "The default is that of the first method that has the setting; where other methods have another one, the"
    yield "meaning says so.\n"
    for title, fields in sections():
        yield f"## {title}\n"
        rows = []
        for key, _ in fields:
            method = main_user(key)
            rows.append((f"`{key}`", f"`{to_yaml_value(key, default_of(key, method))!r}`", description(key, method)))
        yield from table(("setting", "default", "meaning"), rows)
        yield ""


def http() -> Iterator[str]:
    """Yield the lines of the page of the HTTP API."""
    yield "# HTTP\n"
    yield "The routes of `ssim-ae serve`. A running server has the same at `/openapi.json`."
    yield "[Run as a service](../how-to/serve.md) has examples, limits and errors.\n"
    for path, operations in openapi()["paths"].items():
        for method, operation in operations.items():
            yield f"## {method.upper()} {path}\n"
            yield f"{operation['description']}\n"
            rows = [
                (f"`{parameter['name']}`", parameter["in"], parameter.get("description", ""))
                for parameter in operation.get("parameters", [])
            ]
            yield from table(("parameter", "in", "meaning"), rows) if rows else ()
            yield ""


def openapi() -> dict[str, Any]:
    """Return the description of the HTTP API, with the routes of a log, of sinks and of sources."""
    log, runs = cast(InspectionLog, Mock()), cast(ServedRuns, Mock())  # they are not used before a request
    line = history_of(log, runs, [cast(DriftWatch, Mock())], cast(Deliveries, Mock()))
    return create_app(Inspector({}), extensions=[line, sources_of([])]).openapi()


def examples() -> Iterator[str]:
    """Yield the lines of the page of the example programs."""
    yield "# Example programs\n"
    yield "Programs that inspect images with an exported detector, from the folder `examples/` of the repository."
    yield "[Export to an edge device](../how-to/export.md#read-the-score) says how to build and run them.\n"
    for language, names in EXAMPLES.items():
        yield f"## {language}\n"
        for name in names:
            path = ROOT / "examples" / name
            yield f"`examples/{name}`:\n"
            yield f"```{FENCES.get(path.suffix, '')}\n{path.read_text(encoding='utf-8').rstrip()}\n```\n"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "reference/commands.md": commands,
    "reference/settings.md": settings,
    "reference/http.md": http,
    "reference/examples.md": examples,
}


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |"
