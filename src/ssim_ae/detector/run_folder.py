"""The folder of a run: its current detector and the versions of it.

`detector.safetensors` is the current detector, the one that the folder's name stands for. `versions/1.safetensors`,
`versions/2.safetensors`, ... are all that have been current, in this order; the folder is created by the first change.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ssim_ae.detector.detector_file import CONFIG_NAME, DetectorFile, write_detector
from ssim_ae.errors import InputError
from ssim_ae.images.formats import SUFFIXES
from ssim_ae.storage import read_file, write_atomic

DETECTOR_NAME = "detector.safetensors"
RUNS_NAME = "runs"  # the default folder of all runs
VERSIONS_NAME = "versions"
MAX_NAMED_RUNS = 5


class Version(NamedTuple):
    """The number of the current version, and the number of versions."""

    number: int
    total: int


def detector_path(path: Path) -> Path:
    """Return the detector file that a path names: the file itself, or the current one of a run.

    Raises InputError, which says what the path is and which runs there are, if it names none.
    """
    if path.is_dir() and not (path / DETECTOR_NAME).exists():
        raise InputError(_without_detector(path))
    if not path.exists():
        raise InputError(f"{path}: no such file or run{_named_runs(path)}")
    return path / DETECTOR_NAME if path.is_dir() else path


def config_path(run: Path) -> Path:
    """Return the file with the settings of a run. Raises InputError, which says what it is, if it is no run."""
    if not (run / CONFIG_NAME).exists():
        if run.is_dir() and (run / DETECTOR_NAME).exists():
            raise InputError(f"{run}: its {CONFIG_NAME} is missing")
        raise InputError(_without_detector(run) if run.is_dir() else f"{run}: no such run{_named_runs(run)}")
    return run / CONFIG_NAME


def run_of(path: Path) -> Path | None:
    """Return the folder of the run whose current detector a path names, or None if it names another detector file."""
    if path.is_dir():
        return path
    return path.parent if path.name == DETECTOR_NAME and (path.parent / CONFIG_NAME).exists() else None


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of the runs in a folder, the newest first."""
    started = {path.parent: path.stat().st_mtime for path in folder.glob(f"*/{CONFIG_NAME}")}
    return sorted(started, key=lambda run: started[run], reverse=True)


def version_paths(run: Path) -> list[Path]:
    """Return the files of all versions in their order."""
    paths = (run / VERSIONS_NAME).glob("*.safetensors")
    return sorted((path for path in paths if path.stem.isdecimal()), key=lambda path: int(path.stem))


def current_version(path: Path) -> int | None:
    """Return the number of the current version of the run that a path names, or None if it names another file."""
    run = run_of(path)
    if run is None:
        return None
    current = read_file(detector_path(run))
    paths = version_paths(run)
    equal = (int(version.stem) for version in reversed(paths) if read_file(version) == current)
    return next(equal, int(paths[-1].stem) + 1 if paths else 1)


def set_current(run: Path, detector: DetectorFile) -> Version:
    """Make a detector the current one of a run and keep the former one. The caller holds the lock of the folder.

    A process that is killed in between leaves the former one current; no version is ever removed.
    """
    _keep_current(run)
    path = _next_path(run)
    write_detector(path, detector)
    write_atomic(run / DETECTOR_NAME, read_file(path))
    return Version(int(path.stem), int(path.stem))


def roll_back(run: Path) -> Version:
    """Make the version before the current one current. The caller holds the lock of the folder.

    Raises InputError if there is none.
    """
    current = read_file(detector_path(run))
    paths = version_paths(run)
    if paths and not any(read_file(path) == current for path in paths):
        _keep_current(run)
        paths = version_paths(run)
    index = max((index for index, path in enumerate(paths) if read_file(path) == current), default=0)
    former = [path for path in paths[:index] if read_file(path) != current]  # equal settings make equal versions
    if not former:
        raise InputError(f"{run}: no former version to go back to")
    write_atomic(run / DETECTOR_NAME, read_file(former[-1]))
    return Version(int(former[-1].stem), int(paths[-1].stem))


def _keep_current(run: Path) -> None:
    """Make the current detector the last version, unless it is."""
    paths = version_paths(run)
    current = read_file(run / DETECTOR_NAME)
    if not paths or read_file(paths[-1]) != current:
        write_atomic(_next_path(run), current)


def _next_path(run: Path) -> Path:
    """Return the path of the next version, in a folder that exists."""
    folder = run / VERSIONS_NAME
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    return folder / f"{max((int(path.stem) for path in version_paths(run)), default=0) + 1}.safetensors"


def _without_detector(folder: Path) -> str:
    """Say what a folder without a detector is, and what to do."""
    if (folder / CONFIG_NAME).exists():
        resume = f"ssim-ae train --resume {shlex.quote(str(folder))}"
        return f"{folder}: a run whose training has not finished; continue it with: {resume}"
    if runs := find_runs(folder):
        return f"{folder}: a folder of runs; name one of them: {_listed(runs)}"
    images = any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))
    kind = "a folder of images, not a run" if images else "not a run: it has no detector"
    return f"{folder}: {kind}{_named_runs(folder)}"


def _named_runs(path: Path) -> str:
    """Return the runs beside a path and in the default folder, as the end of a message."""
    runs = [run for folder in {Path(RUNS_NAME), path.parent} if folder.is_dir() for run in find_runs(folder)]
    return f"; runs: {_listed(runs)}" if runs else ""


def _listed(runs: Iterable[Path]) -> str:
    *named, last = [*map(str, runs)][: MAX_NAMED_RUNS + 1]
    return ", ".join([*named, "..." if len(named) == MAX_NAMED_RUNS else last])
