"""New thresholds for a detector that is trained already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ssim_ae.calibration.calibrate import GIVEN, Calibration, calibrate, threshold_images
from ssim_ae.console import note
from ssim_ae.detector.detector import Detector, detector_path
from ssim_ae.detector.detector_file import DetectorFile, read_detector, weights_in, write_detector
from ssim_ae.errors import InputError
from ssim_ae.images.folders import content_hash, find_dataset

ESTIMATED = {"ssim_threshold": -1.0, "l1_threshold": -1.0}  # unless they are given now


class KnownImages(NamedTuple):
    """The good images that set a detector's thresholds, and others, that it has learned from."""

    setting: list[Path]
    learned: list[Path]


def recalibrate(
    detector: Path, folder: Path | None, changes: Mapping[str, Any], output: Path | None = None
) -> tuple[Path, Calibration]:
    """Write a new detector file with thresholds estimated anew; return its path and how it went.

    The good images are those in `folder` that it has not learned from, or those held out of its training; `repair`
    looks at those it has learned from too. The old file stays as it is.
    """
    source = detector_path(detector)
    file = read_detector(source)
    weights = weights_in(file)
    config = file.config.replace(**ESTIMATED | dict(changes))
    given = min(config.ssim_threshold, config.l1_threshold) >= 0
    target = output or source.with_name(f"{source.stem}-{GIVEN if given else config.threshold}.safetensors")
    if target.exists():
        raise InputError(f"{target}: exists already; name another file with --output")
    paths, learned = KnownImages([], []) if given else _good_images(file, source, folder)
    calibration = calibrate(Detector.of(file), paths, config, learned)
    provenance = file.provenance | {"thresholds": calibration.origin}
    usual = calibration.usual or file.usual
    write_detector(target, DetectorFile(config, calibration.thresholds, weights, provenance, usual))
    return target, calibration


def _good_images(file: DetectorFile, source: Path, folder: Path | None) -> KnownImages:
    return _unseen_images(file, folder) if folder else known_images(file, source)


def _unseen_images(file: DetectorFile, folder: Path) -> KnownImages:
    """Return the images of a folder that a detector has not learned from, and those it has."""
    trained = set(file.provenance["trained_images"])
    hashes = {path: content_hash(path) for path in find_dataset(folder).good}
    unseen, learned = ([path for path in hashes if (hashes[path] in trained) is known] for known in (False, True))
    if learned:
        note(f"learned from {len(learned)} images there: the other {len(unseen)} say where the limit lies")
    if not unseen:
        raise InputError(f"{folder}: the detector has learned from every image there")
    return KnownImages(unseen, learned)


def known_images(file: DetectorFile, source: Path) -> KnownImages:
    """Return the good images held out of a detector's training, and those it learned from; without any, as there.

    InputError where the former are gone.
    """
    held_out, trained = (file.provenance.get(key, []) for key in ("held_out_images", "trained_images"))
    wanted = [set(hashes) for hashes in threshold_images(held_out, trained)]
    if not file.config.dataset_path or not wanted[0]:
        raise InputError(f"{source}: does not know of held-out images; name a folder of good images")
    good = find_dataset(file.config.dataset_path, img_suffix=file.config.img_suffix).good
    hashes = {path: content_hash(path) for path in good}
    found, learned = ([path for path in good if hashes[path] in group] for group in wanted)
    if not found:
        raise InputError(f"{source}: its held-out images are gone; name a folder of good images")
    return KnownImages(found, learned)
