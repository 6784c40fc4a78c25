"""Check that every file in a folder is complete."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import yaml

from ssim_ae import Config
from ssim_ae.checked_files import read_tensors
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.files import read_image
from ssim_ae.storage import PARTIAL_SUFFIX
from ssim_ae.training.checkpoints import CHECKPOINT_NAME


def broken_files(folder: Path) -> list[str]:
    """Return a line for each incomplete or invalid file below a folder. Temporary files are not checked."""
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and PARTIAL_SUFFIX not in str(path) and (check := CHECKS.get(path.suffix)):
            try:
                check(path)
            except Exception as error:  # any exception of a reader means that the file is broken
                problems.append(f"{path.relative_to(folder)}: {str(error) or type(error).__name__}")
    return problems


def leftovers(folder: Path) -> list[str]:
    """Return the names of temporary files and folders below a folder."""
    return [path.name for path in folder.rglob("*") if PARTIAL_SUFFIX in path.name or path.parent.name == "tmp"]


def _tensors(path: Path) -> None:
    if path.name == CHECKPOINT_NAME:
        read_tensors(path, "checkpoint")
    else:
        read_detector(path)


def _json(path: Path) -> None:
    json.loads(path.read_text())


def _table(path: Path) -> None:
    text = path.read_text()
    rows = list(csv.reader(text.splitlines()))
    if not text.endswith("\n") or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("truncated")


def _settings(path: Path) -> None:
    Config.read(path)
    yaml.safe_load(path.read_text())


def _page(path: Path) -> None:
    if not path.read_text().rstrip().endswith("</html>"):
        raise ValueError("truncated")


def _image(path: Path) -> None:
    read_image(path)


CHECKS: dict[str, Callable[[Path], object]] = {
    ".safetensors": _tensors,
    ".onnx": read_detector,
    ".xml": read_detector,
    ".json": _json,
    ".csv": _table,
    ".yaml": _settings,
    ".html": _page,
    ".png": _image,
    ".jpg": _image,
}
