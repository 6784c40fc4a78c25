"""New thresholds for a trained detector."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ssim_ae.calibration.calibrate import Calibration, calibrate, threshold_images
from ssim_ae.calibration.thresholds import given_thresholds
from ssim_ae.console import print_note
from ssim_ae.detectability.measure import measure_detectability
from ssim_ae.detector.detector import Detector, detector_path
from ssim_ae.detector.detector_file import DetectorFile, read_detector, weights_in, write_detector
from ssim_ae.detector.provenance import GIVEN
from ssim_ae.errors import InputError
from ssim_ae.images.folders import find_dataset
from ssim_ae.spelling import counted

ESTIMATE_BOTH = {"ssim_threshold": None, "l1_threshold": None}  # unless they are given


class KnownImages(NamedTuple):
    """The good images that set a detector's thresholds, and other images that it was trained on."""

    held_out: list[Path]
    training: list[Path]


def recalibrate(
    detector: Path, folder: Path | None, changes: Mapping[str, Any], output: Path | None = None
) -> tuple[Path, Calibration]:
    """Write a new detector file with newly estimated thresholds; return its path and the calibration.

    The good images are those in `folder` that the detector was not trained on, or those held out of its training. The
    old file is not changed. Raises InputError if the new file exists or there are no such images.
    """
    source = detector_path(detector)
    file = read_detector(source)
    weights = weights_in(file)
    config = file.config.replace(**ESTIMATE_BOTH | dict(changes))
    given = given_thresholds(config)
    target = output or source.with_name(f"{source.stem}-{GIVEN if given else config.threshold}.safetensors")
    if target.exists():
        raise InputError(f"{target}: exists already; name another file with --output")
    images = KnownImages([], []) if given else _images_to_calibrate_on(file, source, folder)
    calibration = calibrate(Detector.from_file(file), images.held_out, config, images.training)
    provenance = file.provenance.model_copy(update={"thresholds": calibration.origin})
    statistics = calibration.normal_statistics or file.normal_statistics
    changed = DetectorFile(config, calibration.thresholds, weights, provenance, statistics)
    chart = measure_detectability(Detector.from_file(changed), calibration.accepted(images.held_out))
    write_detector(target, changed._replace(detectability=chart))
    return target, calibration


def known_images(file: DetectorFile, source: Path) -> KnownImages:
    """Return the held-out and training images of a detector, found in its data set.

    Raises InputError if the images that set its thresholds are missing.
    """
    if not file.config.dataset_path or not (file.provenance.held_out_images or file.provenance.training_images):
        raise InputError(f"{source}: its held-out images are not recorded; name a folder of good images")
    good = find_dataset(file.config.dataset_path, img_suffix=file.config.img_suffix).good
    split = file.provenance.split(good)
    if file.provenance.held_out_images:
        known = KnownImages(split.held_out, split.training)
    else:
        known = KnownImages(*map(list, threshold_images([], split.training)))
    if not known.held_out:
        raise InputError(f"{source}: its held-out images are missing; name a folder of good images")
    return known


def _images_to_calibrate_on(file: DetectorFile, source: Path, folder: Path | None) -> KnownImages:
    return _images_in(file, folder) if folder else known_images(file, source)


def _images_in(file: DetectorFile, folder: Path) -> KnownImages:
    """Return the images of a folder that a detector was not trained on, and those that it was trained on."""
    # A held-out image may be a duplicate of a training image: it must not set the thresholds.
    provenance = file.provenance.model_copy(update={"held_out_images": []})
    dataset = find_dataset(folder, img_suffix=file.config.img_suffix)
    for note in dataset.notes:
        print_note(f"{folder}: {note}")
    if not dataset.good:
        raise InputError(f"{folder}: no good images; name a folder of good images")
    split = provenance.split(dataset.good)
    training, others = split.training, split.unseen
    if training:
        excluded = counted(len(training), "training image")
        print_note(f"{folder}: {excluded} left out; {counted(len(others), 'other image')} to set the thresholds")
    if not others:
        raise InputError(f"{folder}: the detector was trained on every image; name another folder")
    return KnownImages(others, training)
