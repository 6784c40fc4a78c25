"""Check what a release needs: python scripts/check_release.py [--python python3.11 python3.12 python3.13]

Checks the tree, the version, the changelog and the licenses of the base install; builds the wheel and the source
distribution and checks both; installs the wheel in a new environment of each Python and trains a first detector there.
The exit status is 1 if a check fails. A person then measures the installs of all extras (scripts/measure_installs.py),
lists the licenses (scripts/list_licenses.py), tags the commit and uploads dist/.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from list_licenses import packages_of, problems
from measure_installs import BASE, measure, table

ROOT = Path(__file__).parents[1]


def check_tree() -> Iterator[str]:
    """Yield what is wrong with the tree, the version and the changelog."""
    if _output("git", "status", "--porcelain"):
        yield "the tree has changes; commit them"
    version = re.search(r'__version__ = "(.+)"', (ROOT / "src/ssim_ae/__init__.py").read_text())
    assert version
    if "dev" in version[1]:
        yield f"src/ssim_ae/__init__.py: version {version[1]} is that of a development state; set it"
    if not re.search(
        rf"^## \[{re.escape(version[1])}\] - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M
    ):
        yield f"CHANGELOG.md: no heading '## [{version[1]}] - YYYY-MM-DD'"


def check_licenses() -> Iterator[str]:
    """Yield what is wrong with the licenses of the packages of the base install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield from problems(packages_of(project["dependencies"]), set())


def build(folder: Path) -> Path:
    """Build both distributions, check them, and return the wheel."""
    _run(sys.executable, "-m", "hatchling", "build", "-d", str(folder))
    files = sorted(map(str, folder.iterdir()))
    _run(sys.executable, "-m", "twine", "check", "--strict", *files)
    wheel = next(folder.glob("*.whl"))
    _run(sys.executable, "-m", "check_wheel_contents", "--toplevel", "ssim_ae", str(wheel))
    return wheel


def _run(*command: str, cwd: str | Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _output(*command: str, cwd: str | Path = ROOT) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Run the checks and print the table of installs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters to install with")
    options = parser.parse_args()
    found = [*check_tree(), *check_licenses()]
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build(Path(scratch) / "dist")
        installs = [measure(python, wheel, BASE) for python in options.python]
    print(table(installs))
    found += [f"Python {each.python}: {each.problem}" for each in installs if each.problem]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
