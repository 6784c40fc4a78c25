"""A small data set and what is made of it, for every fault to work on."""

import shutil
from pathlib import Path
from typing import NamedTuple

from campaign.child import command

SETTINGS = {
    "im_resize": 64,
    "crop_size": 32,
    "z_dim": 8,
    "flc": 4,
    "augment_num": 64,
    "batch_size": 16,
    "epochs": 2,
    "stride": 16,
    "device_target": "CPU",
    "precision": "fp32",
    "checkpoint_seconds": 0,
    "run_eval": False,
}


class Products(NamedTuple):
    """Paths of a data set, of a run, and of two detectors that differ in their limits."""

    dataset: Path
    run: Path
    detector: Path
    other: Path


def training(dataset: Path) -> list[object]:
    """Return the arguments of a training of a second."""
    return ["train", dataset, *(word for key, value in SETTINGS.items() for word in (f"--{key}", value))]


def make(folder: Path) -> Products:
    """Draw the data set and train on it."""
    dataset, run = folder / "data" / "twill", folder / "runs" / "twill-1"
    detector, other = run / "detector.safetensors", folder / "other.safetensors"
    _do("fabric", folder / "data", "--classes", "twill", "--train", 10, "--good", 4, "--defective", 1, "--size", 64)
    for defect in ("cut", "displaced", "stain", "thread"):  # a type of defect is enough, and its figures take seconds
        shutil.rmtree(dataset / "test" / defect)
    _do(*training(dataset), "--runs", folder / "runs")
    _do("threshold", run, "--ssim_threshold", 0.5, "--l1_threshold", 0.5, "--output", other)
    return Products(dataset, run, detector, other)


def _do(*arguments: object) -> None:
    outcome = command(*arguments)
    if outcome.status:
        raise SystemExit(f"the campaign could not start: {outcome.said}")
