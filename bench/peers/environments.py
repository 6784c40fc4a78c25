"""Virtual environments of the peers, created at their first use, and the scripts that run in them.

A peer is another framework that the benchmarks compare this project with.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[1]
SOURCES = BENCH.parent / "src"  # the peers' scripts import the layer table from here
INSTALL_TIMEOUT = 3600  # seconds
RUN_TIMEOUT = 900  # seconds


class PeerError(Exception):
    """A peer cannot be installed or run. The message is one line without paths of this machine."""


def run_peer(
    environment: str, module: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Run `peers.<module>` in an environment and return the JSON objects that it prints, one per line."""
    command = [str(peer_python(environment)), "-W", "ignore", "-m", f"peers.{module}", *arguments]
    print(f"running {module} in .venv-{environment}", file=sys.stderr, flush=True)
    output = _output(command, RUN_TIMEOUT, os.environ | {"PYTHONPATH": str(SOURCES)} | dict(variables or {}))
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def peer_python(environment: str) -> Path:
    """Return the Python of an environment; create it if it is missing or its requirements have changed."""
    folder = BENCH / f".venv-{environment}"
    quiet = ["--quiet", "--disable-pip-version-check"]
    python, marker = folder / "bin" / "python", folder / "ready"
    requirements = {path: path.read_text() for path in _requirement_files(environment)}
    if not marker.exists() or marker.read_text() != "".join(requirements.values()):
        print(f"installing {folder.name}: takes minutes, only once", file=sys.stderr, flush=True)
        _output([sys.executable, "-m", "venv", "--clear", str(folder)], INSTALL_TIMEOUT)
        for path in requirements:
            no_deps = ["--no-deps"] if path.stem.endswith("-no-deps") else []
            _output([str(python), "-m", "pip", "install", *quiet, *no_deps, "-r", str(path)], INSTALL_TIMEOUT)
        marker.write_text("".join(requirements.values()))
    return python


def _requirement_files(environment: str) -> list[Path]:
    folder = BENCH / "peers"
    return [folder / f"{environment}.txt", *folder.glob(f"{environment}-no-deps.txt")]


def _output(command: Sequence[str], timeout: float, variables: Mapping[str, str] | None = None) -> str:
    """Return what a command prints. Raises PeerError with the last line of its error output if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=BENCH, env=variables, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise PeerError(f"took more than {timeout:.0f} s") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit status {done.returncode}"]
        raise PeerError(without_paths(lines[-1]))
    return done.stdout


def without_paths(text: str) -> str:
    """Return the text with the folders of paths and the hosts of URLs removed."""
    return re.sub(r"\S*/", "", text)
