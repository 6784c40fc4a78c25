"""Calibrate a detector: thresholds from good images it has not learned from, and what they promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import progress
from ssim_ae.detection.detector import Detector, detector_path
from ssim_ae.detection.detector_file import DetectorFile, read_detector, write_detector
from ssim_ae.detection.residuals import Residuals, Thresholds, anomaly_map
from ssim_ae.detection.thresholds import estimate, few_images_notes
from ssim_ae.errors import InputError
from ssim_ae.images.folders import find_dataset

FOLDS = 5
Image = TypeVar("Image")  # a path or a name


class Calibration(NamedTuple):
    """Thresholds, how they came about, and what a person should know about them."""

    thresholds: Thresholds
    origin: dict[str, Any]
    notes: tuple[str, ...]


def calibrate(detector: Detector, paths: Sequence[Path], config: Config) -> Calibration:
    """Estimate thresholds as `config` says from the good images at `paths`."""
    maps = []
    with progress("estimating thresholds", len(paths)) as bar:
        for path in paths:
            maps.append(detector.residuals(path))
            bar.advance()
    thresholds = estimate(maps, config)
    origin = {
        "estimator": config.threshold,
        "percent": config.percent,
        "k_sigma": config.k_sigma,
        "min_area": config.min_area,
        "given": {"ssim": config.ssim_threshold, "l1": config.l1_threshold},
        "good_images": len(paths),
        "false_alarms": false_alarms(maps, config),
    }
    return Calibration(thresholds, origin, tuple(few_images_notes(maps, config.percent)))


def false_alarms(maps: Sequence[Residuals], config: Config, folds: int = FOLDS) -> float | None:
    """Return the share of good images called defective by thresholds estimated without them; None below 2 images."""
    if len(maps) < 2:
        return None
    order = np.random.default_rng([config.seed, 5]).permutation(len(maps))
    alarms = 0
    for fold in np.array_split(order, min(folds, len(maps))):
        thresholds = estimate([maps[i] for i in order if i not in set(fold.tolist())], config)
        for index in fold:
            opened = anomaly_map(maps[index], thresholds, min_area=config.smallest_region)
            alarms += bool(opened.max() > 1)
    return alarms / len(maps)


def recalibrate(
    detector: Path, folder: Path | None, changes: Mapping[str, Any], output: Path | None = None
) -> tuple[Path, Calibration]:
    """Write a new detector file with thresholds estimated anew; return its path and how it went.

    The good images are those in `folder`, or those held out of the training. The old file stays as it is.
    """
    source = detector_path(detector)
    file = read_detector(source)
    config = file.config.replace(**changes)
    target = output or source.with_name(f"{source.stem}-{config.threshold}.safetensors")
    if target.exists():
        raise InputError(f"{target}: exists already; name another file with --output")
    paths = _good_images(file, folder, source)
    calibration = calibrate(Detector.load(source), paths, config)
    provenance = file.provenance | {"thresholds": calibration.origin}
    write_detector(target, DetectorFile(config, calibration.thresholds, file.weights, provenance))
    return target, calibration


def _good_images(file: DetectorFile, folder: Path | None, source: Path) -> Sequence[Path]:
    dataset = find_dataset(folder or Path(file.config.dataset_path), img_suffix=file.config.img_suffix)
    if folder:
        return dataset.good
    names = set(threshold_images(file.provenance["held_out_images"], file.provenance["trained_images"]))
    found = tuple(path for path in dataset.good if path.name in names)
    if len(found) < len(names):
        gone = len(names) - len(found)
        raise InputError(f"{source}: {gone} of its held-out images are gone; name a folder of good images")
    return found


def threshold_images(held_out: Sequence[Image], trained: Sequence[Image]) -> Sequence[Image]:
    """Return the images that set thresholds: the held-out ones; without any the last fifth, as in the reference."""
    return held_out or trained[-max(1, len(trained) // 5) :]
