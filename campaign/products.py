"""A small data set, a run and three detectors that all robustness tests use."""

import shutil
from pathlib import Path
from typing import NamedTuple

from campaign.child import run_command

SETTINGS = {
    "method": "reference",
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
    """Paths of a data set, of a run on it, of its detector, and of the same detector with other thresholds.

    `features` is a detector of the method of this name.
    """

    dataset: Path
    run: Path
    detector: Path
    other: Path
    features: Path


def train_arguments(dataset: Path) -> list[object]:
    """Return the arguments of a training that takes a second."""
    return ["train", dataset, *(word for key, value in SETTINGS.items() for word in (f"--{key}", value))]


def make(folder: Path) -> Products:
    """Draw the data set and train on it."""
    dataset, run = folder / "data" / "twill", folder / "runs" / "twill-1"
    detector, other = run / "detector.safetensors", folder / "other.safetensors"
    _run("fabric", folder / "data", "--classes", "twill", "--train", 10, "--good", 4, "--defective", 1, "--size", 64)
    for defect in ("cut", "displaced", "stain", "thread"):  # one defect type is enough and saves seconds
        shutil.rmtree(dataset / "test" / defect)
    _run(*train_arguments(dataset), "--runs", folder / "runs")
    _run("threshold", run, "--ssim_threshold", 0.5, "--l1_threshold", 0.5, "--force", "--output", other)
    quick = ("--resolution", 64, "--drawn_defects", 0, "--run_eval", False)
    _run("train", dataset, "--method", "features", *quick, "--runs", folder / "features")
    return Products(dataset, run, detector, other, folder / "features" / "twill-1" / "detector.safetensors")


def _run(*arguments: object) -> None:
    outcome = run_command(*arguments)
    if outcome.status:
        raise SystemExit(f"{arguments[0]}: failed before the first test: {outcome.output}")
