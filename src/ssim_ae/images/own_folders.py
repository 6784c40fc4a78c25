"""Recognize the folders that this program writes: their images are no images to learn from or to inspect."""

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
    levels = (name.removesuffix(LEVELS_OF_REPORT) for name in names if name.endswith(LEVELS_OF_REPORT))
    if any(f"{stem}{IMAGE_OF_REPORT}" in names for stem in levels):
        return "the images of a report"
    images = [name for name in names if name.lower().endswith((".png", ".jpg", ".jpeg"))]
    if images and not suffix and all(name.endswith(OVERLAY) for name in images):
        return "the overlays of an inspection"
    return ""


def refuse_own_folder(folder: Path, suffix: str = "") -> None:
    """Raise InputError for a folder that this program wrote."""
    kind = kind_of_own_folder(folder, suffix)
    if kind:
        resume = f"; to continue the run: ssim-ae train --resume {shlex.quote(str(folder))}" if kind == RUN else ""
        raise InputError(f"{folder}: {kind}, written by ssim-ae, not images of parts; name another folder{resume}")
