"""The peers' virtual environments, made when first needed, and their scripts run in them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[1]
SOURCES = BENCH.parent / "src"  # peers read the layer table from there
INSTALL_SECONDS, RUN_SECONDS = 3600, 900  # until a peer is given up


class PeerError(Exception):
    """A peer that could not be installed or run: the reason, in one line that names no place on this machine."""


def answers(
    environment: str, module: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Run `peers.<module>` in an environment; return the JSON objects that it prints, one a line."""
    command = [str(python_of(environment)), "-W", "ignore", "-m", f"peers.{module}", *arguments]
    print(f"running {module} in .venv-{environment}", file=sys.stderr, flush=True)
    printed = _output(command, RUN_SECONDS, os.environ | {"PYTHONPATH": str(SOURCES)} | dict(variables or {}))
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def python_of(environment: str) -> Path:
    """Return the Python of an environment, made if it is not there or not what its requirements ask for now."""
    folder = BENCH / f".venv-{environment}"
    quietly = ["--quiet", "--disable-pip-version-check"]
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = {path: path.read_text() for path in _requirements(environment)}
    if not ready.exists() or ready.read_text() != "".join(wanted.values()):
        print(f"installing {folder.name}: minutes, once", file=sys.stderr, flush=True)
        _output([sys.executable, "-m", "venv", "--clear", str(folder)], INSTALL_SECONDS)
        for path in wanted:
            alone = ["--no-deps"] if path.stem.endswith("-no-deps") else []
            _output([str(python), "-m", "pip", "install", *quietly, *alone, "-r", str(path)], INSTALL_SECONDS)
        ready.write_text("".join(wanted.values()))
    return python


def _requirements(environment: str) -> list[Path]:
    folder = BENCH / "peers"
    return [folder / f"{environment}.txt", *folder.glob(f"{environment}-no-deps.txt")]


def _output(command: Sequence[str], seconds: float, variables: Mapping[str, str] | None = None) -> str:
    """Return what a command printed; PeerError with the last line of its complaint where it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=BENCH, env=variables, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise PeerError(f"took more than {seconds:.0f} s") from None
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit status {done.returncode}"]
        raise PeerError(without_places(complaint[-1]))
    return done.stdout


def without_places(text: str) -> str:
    """Return the text with the folders of paths, and the hosts of addresses, cut away."""
    return re.sub(r"\S*/", "", text)
