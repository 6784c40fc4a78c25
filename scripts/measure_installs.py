"""Install the wheel with each extra in new environments: scripts/measure_installs.py WHEEL --python python3.12 ...

Of each Python and extra: the size of the environment, whether what the extra is for works in a folder outside the
source, and the seconds of a core until `ssim-ae -h` is printed and from 20 images to a first verdict (training and
prediction; seconds of a core do not depend on what else runs). Prints a line for each and then the table of
docs/reference/installation.md. The exit status is 1 if one failed.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BASE = "base"
GOOD, RUN = "data/twill/test/good", "runs/twill-1"
BRIEF = "--epochs 1 --im_resize 64 --crop_size 64 --augment_num 64 --drawn_defects 0 --run_eval=False --runs trained"
# A command that needs the extra, by extra; those whose other end is a device or a server are imported only
USES = {
    BASE: f"ssim-ae export {RUN}",
    "train": f"ssim-ae train data/twill --method repair {BRIEF}",
    "openvino": f"ssim-ae export {RUN} --format openvino",
    "int8": "python -c 'import nncf, openvino'",
    "mindspore": f"ssim-ae train data/twill --method reference --engine mindspore {BRIEF}",
    "buckets": "python -c 'import s3fs'",
    "serve": "python -c 'import ssim_ae.server.app'",
    "line": f"ssim-ae predict {RUN} {GOOD} --log log.db",
    "postgresql": "python -c 'import psycopg'",
    "camera": "python -c 'import ssim_ae.sources.cameras, av'",
    "genicam": "python -c 'import ssim_ae.sources.genicam, harvesters'",
    "mqtt": "python -c 'import paho.mqtt.client'",
    "opcua": "python -c 'import asyncua'",
    "parquet": f"ssim-ae predict {RUN} {GOOD} --output results.parquet",
    "ray": f"ssim-ae predict {RUN} {GOOD} --output results --ray local",
}


class Install(NamedTuple):
    """What was measured of an environment; `problem` is empty if all of it worked."""

    python: str
    extra: str
    megabytes: float = 0
    seconds_to_start: float = 0
    seconds_to_verdict: float = 0
    problem: str = ""

    def __str__(self) -> str:
        figures = f"{self.megabytes:.0f} MB, {self.seconds_to_verdict:.0f} s"
        return f"**fails**: {self.problem}" if self.problem else figures


class CommandError(Exception):
    """A command failed; the message is the last line that it printed."""


def processor_seconds() -> float:
    """Return the seconds that all cores have worked for commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(python: str, wheel: Path, extra: str) -> Install:
    """Install the wheel in a new environment, which is removed again, and use it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "environment"
        work = Path(scratch) / "work"
        work.mkdir()
        environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        environment.pop("PYTHONPATH", None)

        def run(command: str) -> float:
            start = processor_seconds()
            done = subprocess.run(command, shell=True, cwd=work, env=environment, capture_output=True, text=True)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
                raise CommandError(f"`{command}`: {lines[-1]}")
            return processor_seconds() - start

        version = python
        try:
            run(f"{shutil.which(python)} -m venv {folder}")
            code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
            version = subprocess.run([folder / "bin/python", "-c", code], capture_output=True, text=True).stdout.strip()
            run(f"pip install --quiet '{wheel}{'' if extra == BASE else f'[{extra}]'}'")
            megabytes = sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6
            run("ssim-ae draw fabric data --classes twill --train 20 --good 2")
            start = run("ssim-ae -h")
            verdict = run(
                f"ssim-ae train data/twill --drawn_defects 0 --run_eval=False && ssim-ae predict {RUN} {GOOD}"
            )
            run(USES[extra])
            return Install(version, extra, megabytes, start, verdict)
        except CommandError as error:
            return Install(version, extra, problem=str(error))


def table(installs: Sequence[Install]) -> str:
    """Return the table of all installs: a row per extra, a column per Python."""
    by_place = {(each.extra, each.python): each for each in installs}
    pythons = list(dict.fromkeys(each.python for each in installs))
    lines = [f"| extra | {' | '.join(pythons)} |", "|---" * (len(pythons) + 1) + "|"]
    for extra in dict.fromkeys(each.extra for each in installs):
        cells = (str(by_place.get((extra, python), "")) for python in pythons)
        lines += [f"| {extra} | {' | '.join(cells)} |"]
    return "\n".join(lines)


def main() -> int:
    """Measure every combination and print the table."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if unknown := extras.keys() ^ (USES.keys() - {BASE}):
        raise SystemExit(f"scripts/measure_installs.py: USES and pyproject.toml differ: {', '.join(sorted(unknown))}")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters to install with")
    parser.add_argument("--extras", nargs="+", default=list(USES), choices=list(USES))
    options = parser.parse_args()
    installs = []
    for python in options.python:
        for extra in options.extras:
            installs.append(measure(python, options.wheel.resolve(), extra))
            each = installs[-1]
            print(f"{each.python} {extra}: {each}, `ssim-ae -h` in {each.seconds_to_start:.1f} s", flush=True)
    print(f"\n{table(installs)}")
    return int(any(each.problem for each in installs))


if __name__ == "__main__":
    sys.exit(main())
