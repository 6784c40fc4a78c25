"""Check what a release needs, and measure its installs: python scripts/check_release.py [--python python3.12 ...]

Builds the wheel and the source distribution, checks both, and installs the wheel in a new environment of each Python,
with the base install and with each extra. Without --installs-only the tree, the version and the changelog are checked
first. The exit status is 1 if a check fails. A person then tags the commit and uploads dist/.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("", "serve,line", "parquet", "openvino", "train")


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


def build(folder: Path) -> Path:
    """Build both distributions, check them, and return the wheel."""
    _run(sys.executable, "-m", "hatchling", "build", "-d", str(folder))
    files = sorted(map(str, folder.iterdir()))
    _run(sys.executable, "-m", "twine", "check", "--strict", *files)
    wheel = next(folder.glob("*.whl"))
    _run(sys.executable, "-m", "check_wheel_contents", "--toplevel", "ssim_ae", str(wheel))
    return wheel


def install(python: str, wheel: Path, extra: str, folder: Path) -> str:
    """Install the wheel in a new environment and train a first detector; return a row of the table."""
    _run(python, "-m", "venv", str(folder))
    start = time.monotonic()
    _run(str(folder / "bin/pip"), "install", "--quiet", f"{wheel}[{extra}]" if extra else str(wheel))
    seconds = time.monotonic() - start
    megabytes = sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6
    with tempfile.TemporaryDirectory() as scratch:
        command = str(folder / "bin/ssim-ae")
        _run(command, "draw", "fabric", "data", "--classes", "twill", "--train", "20", "--good", "1", cwd=scratch)
        start = time.monotonic()
        _run(command, "train", "data/twill", "--drawn_defects", "0", "--run_eval=False", cwd=scratch)
        verdict = _output(command, "predict", "runs/twill-1", "data/twill/test/good/000.png", cwd=scratch).split()[0]
        first = time.monotonic() - start
    version = _output(str(folder / "bin/python"), "-c", "import platform; print(platform.python_version())")
    return f"| {version} | {extra or 'base'} | {megabytes:.0f} MB | {seconds:.0f} s | {verdict}, after {first:.0f} s |"


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
    parser.add_argument("--extras", nargs="+", default=EXTRAS, help="'' is the base install")
    parser.add_argument("--installs-only", action="store_true", help="do not check tree, version and changelog")
    options = parser.parse_args()
    problems = [] if options.installs_only else list(check_tree())
    for problem in problems:
        print(problem, file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build(Path(scratch) / "dist")
        print("| Python | extra | environment | installation | first verdict, with training |\n|---|---|---|---|---|")
        for number, (python, extra) in enumerate((p, e) for p in options.python for e in options.extras):
            print(install(python, wheel, extra, Path(scratch) / str(number)), flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
