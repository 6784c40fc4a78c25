"""Recognize the folders and overlays that this program writes: they are no images to learn from or to inspect."""

import shlex
from pathlib import Path

from ssim_ae.errors import InputError

RUN = "the folder of a run"
RUN_CONFIG = "config.yaml"
RUN_FILES = ("detector.safetensors", "checkpoint.safetensors", "patches.png", "history.csv")
REPORT_METRICS = "metrics.json"
REPORT_FILES = ("metrics.csv", "contact_sheet.png", "index.html")
IMAGE_OF_REPORT, LEVELS_OF_REPORT = "_origin.png", "_levels.png"  # a report has both of an image
OVERLAY = "_overlay.png"
JOB, PICTURES_OF_JOB = "job.json", "pictures"  # a file in the place of a job, and a folder beside it
SOFTWARE_KEY, SOFTWARE = "Software", "ssim-ae"  # entry of the PNG file of an overlay
OVERLAY_MARK = f"{SOFTWARE_KEY}\0{SOFTWARE}".encode()  # how the file holds it
HEAD_BYTES = 1024  # of a file, in which its mark is


def kind_of_own_folder(folder: Path, suffix: str = "") -> str:
    """Return what a folder is that this program wrote, such as `the folder of a run`; empty for all other folders.

    Images with a `suffix` that the settings name are the user's own.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except PermissionError:
        return ""
    if RUN_CONFIG in names and not names.isdisjoint(RUN_FILES):
        return RUN
    if REPORT_METRICS in names and not names.isdisjoint(REPORT_FILES):
        return "the folder of a report"
    if folder.name == PICTURES_OF_JOB and (folder.parent / JOB).is_file():
        return "the pictures of a job"
    levels = (name.removesuffix(LEVELS_OF_REPORT) for name in names if name.endswith(LEVELS_OF_REPORT))
    if any(f"{stem}{IMAGE_OF_REPORT}" in names for stem in levels):
        return "the images of a report"
    images = [name for name in names if name.lower().endswith((".png", ".jpg", ".jpeg"))]
    if images and not suffix and all(name.endswith(OVERLAY) for name in images):
        return "the overlays of an inspection"
    return ""


def is_own_overlay(path: Path) -> bool:
    """Return whether a file is an overlay that this program wrote, by its name and its mark."""
    if not path.name.endswith(OVERLAY):
        return False
    try:
        with path.open("rb") as file:
            return OVERLAY_MARK in file.read(HEAD_BYTES)
    except OSError:  # reading the image reports the error
        return False


def refuse_own_folder(folder: Path, suffix: str = "") -> None:
    """Raise InputError for a folder that this program wrote."""
    kind = kind_of_own_folder(folder, suffix)
    if kind:
        resume = f"; to continue the run: ssim-ae train --resume {shlex.quote(str(folder))}" if kind == RUN else ""
        raise InputError(f"{folder}: {kind}, written by ssim-ae, not images of parts; name another folder{resume}")
