"""New thresholds for a trained detector."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from ssim_ae.calibration.calibrate import Calibration, calibrate, threshold_images
from ssim_ae.calibration.thresholds import given_thresholds
from ssim_ae.config import Config
from ssim_ae.config.effects import ESTIMATOR_OF
from ssim_ae.config.settings import THRESHOLD_SETTINGS
from ssim_ae.console import print_note
from ssim_ae.detectability.measure import measure_detectability
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile, frame_of, read_detector, weights_in, write_detector
from ssim_ae.detector.look import UsualImages
from ssim_ae.detector.provenance import GIVEN, CrossValidation, ThresholdOrigin
from ssim_ae.detector.regions import Regions
from ssim_ae.detector.regions_file import NONE as NO_REGIONS
from ssim_ae.detector.regions_file import read_regions
from ssim_ae.detector.run_folder import detector_path, run_of, set_current
from ssim_ae.errors import InputError
from ssim_ae.images.files import image_size
from ssim_ae.images.folders import find_dataset
from ssim_ae.locations import dataset_of
from ssim_ae.maps.residuals import Thresholds
from ssim_ae.maps.verdict import is_defective
from ssim_ae.methods import method_of
from ssim_ae.spelling import counted, significant
from ssim_ae.storage import lock_folder, unused_path
from ssim_ae.training.cross_fitting import calibrate_fitted
from ssim_ae.training.feature_fitter import FeatureFitter

THRESHOLD_KEYS = ("threshold", "outliers", *ESTIMATOR_OF, *THRESHOLD_SETTINGS)  # the settings that set thresholds
MAX_CHANGE = 3.0  # new threshold / former one, or its inverse; above it a note is printed
MAX_TESTED_IMAGES = 100  # good images that given thresholds are tested on


class KnownImages(NamedTuple):
    """The good images that set a detector's thresholds, and other images that it was trained on."""

    held_out: list[Path]
    training: list[Path]


def recalibrate(
    detector: Path, folder: Path | None, changes: Mapping[str, Any], output: Path | None = None, *, force: bool = False
) -> tuple[Path, Calibration]:
    """Estimate new thresholds for a detector; return the path of the detector file with them and the calibration.

    The good images are those in `folder` that the detector was not trained on, or those that set its thresholds in its
    training. The new detector becomes the current one of its run, which keeps the former one. For another detector
    file, or with `output`, it is written to a file of its own. Raises InputError if that file exists, if there are no
    such images, and, unless `force`, if the new thresholds reject most of them.
    """
    source = detector_path(detector)
    file = read_detector(source)
    weights_in(file)  # raises an InputError if the file has no weights by name
    _check_have_effect(changes, file.config)
    config = file.config.replace(**dict.fromkeys(file.config.threshold_settings) | dict(changes))
    if output and output.exists():
        raise InputError(f"{output}: exists already; name another file with --output")
    given = given_thresholds(config) is not None
    found = _images_if_found(file, source, folder) if given else _images_to_calibrate_on(file, source, folder)
    images = KnownImages(*map(list, threshold_images(*found)))
    file = file._replace(regions=_regions(file, changes.get("regions"), images))
    if given:
        calibration = calibrate(Detector.from_file(file), [], config)
    elif method_of(config).engines or folder:
        calibration = calibrate(Detector.from_file(file), images.held_out, config, images.training)
    else:
        calibration = _calibrate_as_in_training(file, found, run_of(detector), source, config)
    file = file._replace(config=config, usual=_usual(file, images, calibration, config))
    if given and images.held_out:
        tested = _test_on_good_images(calibration.applied_to(file), images.held_out)
        calibration = calibration._replace(origin=ThresholdOrigin(cross_validation=tested))
    if (problem := calibration.origin.problem()) and not force:
        raise InputError(f"thresholds: not changed: the new detector {problem}; --force keeps it nevertheless")
    new = calibration.applied_to(file)
    chart = measure_detectability(Detector.from_file(new), calibration.accepted(images.held_out))
    new = new._replace(detectability=chart)
    _note_jump(file.thresholds, new.thresholds)
    return _write(new, detector, source, output), calibration


def _calibrate_as_in_training(
    file: DetectorFile, found: KnownImages, run: Path | None, source: Path, config: Config
) -> Calibration:
    """Estimate the thresholds of a fitted detector from its held-out and training images, as far as they are found."""
    detector, hashes = Detector.from_file(file), file.provenance.training_images
    if missing := len(hashes) - len(found.training):
        print_note(
            f"thresholds: from held-out images alone: {missing} of {counted(len(hashes), 'training image')} missing"
        )
        held_out, training = threshold_images(*found)
        return calibrate(detector, held_out, config, training)
    fitter = FeatureFitter.of_detector(file, found.training)
    if not (run and fitter.restore(run, hashes)):
        print_note(
            f"{source}: the moments of its fit are missing; its {counted(len(hashes), 'training image')} are measured"
        )
        fitter.learn(source.parent, "", resume=True, add=None)
    return calibrate_fitted(fitter, detector, found.held_out, found.training, config)


def _regions(file: DetectorFile, changed: str | None, images: KnownImages) -> Regions | None:
    """Return the regions of a detector: those of a file, if one is given, none, or those that it has."""
    if not changed:
        return file.regions
    if changed == NO_REGIONS:
        return None
    good = [*images.held_out, *images.training]
    return read_regions(Path(changed), frame_of(file.config, file.alignment), image_size(good[0]) if good else None)


def _usual(file: DetectorFile, images: KnownImages, calibration: Calibration, config: Config) -> UsualImages | None:
    """Return how the good images look and score; as before, but without scores, if thresholds were given."""
    good = calibration.accepted([*images.held_out, *images.training])
    if calibration.scores:
        return UsualImages.of(good, calibration.scores, config)
    return file.usual and file.usual.model_copy(update={"scores": []})


def _write(new: DetectorFile, detector: Path, source: Path, output: Path | None) -> Path:
    """Write the detector with new thresholds to `output`, into the run that `detector` names, or beside `source`."""
    run = run_of(detector)
    if run and not output:
        with lock_folder(run):
            set_current(run, new)
        return source
    estimator = new.provenance.thresholds.estimator
    target = output or unused_path(source.with_name(f"{source.stem}-{estimator}.safetensors"))
    write_detector(target, new)
    return target


def _check_have_effect(changes: Mapping[str, Any], config: Config) -> None:
    """Raise InputError for a setting of another estimator than the one that sets the thresholds."""
    given = all(changes.get(key) is not None for key in config.threshold_settings)
    estimator = GIVEN if given else changes.get("threshold", config.threshold)
    for key in changes:
        if key in ESTIMATOR_OF and estimator != ESTIMATOR_OF[key]:
            advice = "leave it out" if given else f"add --threshold {ESTIMATOR_OF[key]}"
            raise InputError(f"--{key}: no effect on thresholds by {estimator}; {advice}")


def _test_on_good_images(new: DetectorFile, paths: Sequence[Path]) -> CrossValidation:
    """Count the good images that a detector with given thresholds rejects."""
    tested = paths[:: ceil(len(paths) / MAX_TESTED_IMAGES)]
    found = [item for item in Detector.from_file(new).inspect_all(tested) if not isinstance(item, InputError)]
    return CrossValidation(images=len(found), rejected=sum(is_defective(inspection.score) for inspection in found))


def _note_jump(former: Thresholds, new: Thresholds) -> None:
    """Print a note if a threshold is several times the former one, or a fraction of it."""
    for name, before in former.items():
        after = new[name]
        low, high = sorted((before, after))
        if high > MAX_CHANGE * low:
            factor = f"{significant(high / low, 3)} times" if low else "far"
            side = "above" if after > before else "below"
            print_note(
                f"thresholds: {name} {significant(after, 4)} is {factor} {side} the former {significant(before, 4)}"
            )


def known_images(file: DetectorFile, source: Path) -> KnownImages:
    """Return the images that set a detector's thresholds and its other training images, found in its data set.

    Raises InputError if the images that set its thresholds are missing.
    """
    return KnownImages(*map(list, threshold_images(*_found_images(file, source))))


def _found_images(file: DetectorFile, source: Path) -> KnownImages:
    """Return the held-out and the training images of a detector, found in its data set."""
    if not file.config.dataset_path or not (file.provenance.held_out_images or file.provenance.training_images):
        raise InputError(f"{source}: its held-out images are not recorded; name a folder of good images")
    split = file.provenance.split(dataset_of(file.config).good)
    known = KnownImages(split.held_out, split.training)
    if not (known.held_out or (known.training and not file.provenance.held_out_images)):
        raise InputError(f"{source}: its held-out images are missing; name a folder of good images")
    return known


def _images_if_found(file: DetectorFile, source: Path, folder: Path | None) -> KnownImages:
    """Return the images to test given thresholds on; none, with a note, if those of the training are not found."""
    try:
        return _images_to_calibrate_on(file, source, folder)
    except InputError as error:
        if folder:
            raise
        print_note(f"thresholds: not tested on good images: {error}")
        return KnownImages([], [])


def _images_to_calibrate_on(file: DetectorFile, source: Path, folder: Path | None) -> KnownImages:
    return _images_in(file, folder) if folder else _found_images(file, source)


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
