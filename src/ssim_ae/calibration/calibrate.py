"""Calibration: thresholds from good images that a detector was not trained on, and the false alarms to expect."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ssim_ae.calibration.suspects import MAX_NAMED_IMAGES, NAMED_DISTANCE, Suspect, left_out, measure_distances
from ssim_ae.calibration.thresholds import estimate, expected_rate, few_images_warnings, given_thresholds
from ssim_ae.config import Config
from ssim_ae.console import print_note, progress
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import DetectorFile
from ssim_ae.detector.provenance import CrossValidation, RateEstimate, ThresholdOrigin
from ssim_ae.errors import InputError
from ssim_ae.maps.normalization import NormalStatistics, cross_normalize
from ssim_ae.maps.residuals import Residuals, Thresholds
from ssim_ae.maps.verdict import is_defective
from ssim_ae.methods import method_of
from ssim_ae.random_streams import Stream, random_stream
from ssim_ae.sampling import equal_intervals
from ssim_ae.spelling import listed

CROSS_VALIDATION_FOLDS = 5
MAX_HELD_OUT_IMAGES = 2000  # more images do not narrow the interval of the expected false-alarm rate
MAX_HELD_OUT_PIXELS = 2**28  # px of their residual maps together, 1 GiB; but at least:
MIN_HELD_OUT_IMAGES = 200
MAX_TRAINING_IMAGES = 200  # more images do not change the estimated spread of the scores
MAX_TRAINING_PIXELS = 2**24  # px of their residual maps together: a bound on memory
MAX_SCREENED_IMAGES = 2000  # training images that are checked for defects, beside those that are measured
Item = TypeVar("Item")


class Calibration(NamedTuple):
    """Thresholds, the normal statistics if the method normalizes residuals, how both were estimated, and suspects.

    `scores` are those at the thresholds of the images that count as held out, without far outliers.
    """

    thresholds: Thresholds
    normal_statistics: NormalStatistics | None
    origin: ThresholdOrigin
    suspects: Sequence[Suspect] = ()
    scores: Sequence[float] = ()

    def accepted(self, images: Sequence[Path]) -> list[Path]:
        """Return the images that were not left out."""
        excluded = left_out(self.suspects)
        return [path for path in images if path not in excluded]

    def applied_to(self, file: DetectorFile) -> DetectorFile:
        """Return a detector file with these thresholds; what it finds with them is not measured yet."""
        return file._replace(
            thresholds=self.thresholds,
            normal_statistics=self.normal_statistics or file.normal_statistics,
            provenance=file.provenance.model_copy(update={"thresholds": self.origin}),
            detectability=None,
        )


class _MeasuredImages(NamedTuple):
    """Paths and residual maps of good images."""

    paths: list[Path]
    residuals: list[Residuals]

    def without(self, suspects: Sequence[Suspect]) -> _MeasuredImages:
        """Return the images that are not left out."""
        excluded = left_out(suspects)
        kept = [pair for pair in zip(self.paths, self.residuals, strict=True) if pair[0] not in excluded]
        return _MeasuredImages([path for path, _ in kept], [maps for _, maps in kept])


def calibrate(
    detector: Detector,
    held_out: Sequence[Path],
    config: Config,
    training: Sequence[Path] = (),
    cross_fitted: Sequence[tuple[Path, Residuals]] = (),
) -> Calibration:
    """Estimate thresholds from held-out good images with the estimator of `config`; skip files that cannot be read.

    `cross_fitted` are training images with their residual maps by detectors that were fitted without them: they count
    as held out. Of more than MAX_HELD_OUT_IMAGES held-out images, or of fewer whose residual maps take too much memory,
    a random sample is read. Some methods use `training` images as well, for the normal statistics and for the spread of
    the scores. Far outliers are left out unless `config.outliers` keeps them; not by the estimator `percent`, which
    they hardly affect. No image is read if all thresholds are given and the method does not normalize residuals.
    """
    method, given = method_of(config), given_thresholds(config)
    if given and not (method.normalizes_residuals and held_out):
        return Calibration(given, None, ThresholdOrigin())
    held_out_maps = _measure(detector, _sample(held_out, detector, config))
    held_out_maps.paths.extend(path for path, _ in cross_fitted)
    held_out_maps.residuals.extend(maps for _, maps in cross_fitted)
    measured_before = {path for path, _ in cross_fitted}
    training = [path for path in training if path not in measured_before]
    training_maps = _MeasuredImages([], [])
    if held_out_maps.residuals:  # training images are measured for suspects, whatever the method uses them for
        training_maps = _measure(detector, _subsample(training, held_out_maps.residuals[0].maps[0].size))
    suspects = _suspects(detector, held_out_maps, training_maps, training, config)
    _note_left_out(suspects, len(held_out_maps.paths) + len(training_maps.paths))
    if not method.calibrates_on_training_images:
        training_maps = _MeasuredImages([], [])
    measured = len(held_out_maps.paths) + len(training_maps.paths)
    held_out_maps, training_maps = held_out_maps.without(suspects), training_maps.without(suspects)
    left_out_count = measured - len(held_out_maps.paths) - len(training_maps.paths)
    statistics = None
    if method.normalizes_residuals and held_out_maps.residuals:
        texture = bool(config.texture)
        statistics = NormalStatistics.fit(held_out_maps.residuals + training_maps.residuals, texture=texture)
        held_out_maps, training_maps = _cross_normalized(held_out_maps, training_maps, texture=texture)
    if given:
        return Calibration(given, statistics, ThresholdOrigin(), suspects)
    thresholds = estimate(held_out_maps.residuals, config, training_maps.residuals)
    for warning in few_images_warnings(held_out_maps.residuals, config, len(training_maps.residuals)):
        print_note(warning)
    origin = _origin(held_out_maps, training_maps, thresholds, config, left_out_count)
    origin = origin.model_copy(update={"cross_fitted_images": len(cross_fitted)})
    if origin.expected:  # other estimators reject many images by design
        _note_rejected(held_out_maps, training_maps, thresholds, config)
    scores = [_score(maps, thresholds, config) for maps in held_out_maps.residuals]
    return Calibration(thresholds, statistics, origin, suspects, scores)


def cross_validate(
    held_out: Sequence[Residuals], config: Config, training: Sequence[Residuals] = ()
) -> CrossValidation | None:
    """Count the held-out images that are rejected by thresholds estimated without them; None for fewer than 2."""
    if len(held_out) < 2:
        return None
    order = random_stream(config.seed, Stream.CROSS_VALIDATION).permutation(len(held_out))
    rejected = 0
    for fold in np.array_split(order, min(CROSS_VALIDATION_FOLDS, len(held_out))):
        left_out = set(fold.tolist())
        thresholds = estimate([held_out[index] for index in order if index not in left_out], config, training)
        rejected += sum(is_defective(_score(held_out[index], thresholds, config)) for index in fold)
    return CrossValidation(images=len(held_out), rejected=rejected)


def threshold_images(held_out: Sequence[Item], training: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """Return the images that set the thresholds, and the other training images.

    They are the held-out images or, if there are none, the last fifth of the training images, as in the reference.
    """
    fifth = max(1, len(training) // 5)
    return (held_out, training) if held_out else (training[-fifth:], training[:-fifth])


def _measure(detector: Detector, paths: Sequence[Path]) -> _MeasuredImages:
    """Return the residual maps of the images that can be read."""
    good = _MeasuredImages([], [])
    with progress("estimating thresholds", len(paths)) as bar:
        for path, found in zip(paths, detector.residuals_all(paths), strict=True):
            bar.advance()
            if isinstance(found, InputError):
                print_note(f"skipped: {found}")
            else:
                good.paths.append(path)
                good.residuals.append(found)
    return good


def _sample(held_out: Sequence[Path], detector: Detector, config: Config) -> Sequence[Path]:
    """Return a random sample of the images, in their order, and print a note; all unless they are too many."""
    map_pixels = prod(detector.view.size) * len(method_of(config).residual_names)
    limit = min(MAX_HELD_OUT_IMAGES, max(MIN_HELD_OUT_IMAGES, MAX_HELD_OUT_PIXELS // map_pixels))
    if len(held_out) <= limit:
        return held_out
    print_note(f"thresholds: from a random sample of {limit} of {len(held_out)} good images; the others are not read")
    chosen = random_stream(config.seed, Stream.CALIBRATION_IMAGES).choice(len(held_out), limit, replace=False)
    return [held_out[index] for index in sorted(chosen.tolist())]


def _subsample(paths: Sequence[Path], map_pixels: int) -> list[Path]:
    """Return paths at equal intervals: at most MAX_TRAINING_IMAGES, and fewer if their maps would not fit in memory."""
    at_most = min(MAX_TRAINING_IMAGES, MAX_TRAINING_PIXELS // map_pixels)
    return [paths[index] for index in equal_intervals(len(paths), at_most)]


def _cross_normalized(
    held_out: _MeasuredImages, training: _MeasuredImages, *, texture: bool
) -> tuple[_MeasuredImages, _MeasuredImages]:
    """Normalize each image by the statistics of others."""
    normalized = cross_normalize(held_out.residuals + training.residuals, texture=texture)
    count = len(held_out.residuals)
    return held_out._replace(residuals=normalized[:count]), training._replace(residuals=normalized[count:])


def _suspects(
    detector: Detector,
    held_out: _MeasuredImages,
    measured: _MeasuredImages,
    training: Sequence[Path],
    config: Config,
) -> list[Suspect]:
    """Return the images that may be defective, the farthest first; also of the training images not `measured` yet."""
    distances, far, normal = measure_distances(held_out.residuals, measured.residuals, config)
    far &= config.outliers == "leave_out" and config.threshold != "percent"
    paths = held_out.paths + measured.paths
    suspects = list(map(Suspect, paths, distances.tolist(), far.tolist()))
    known = set(paths)
    others = [path for path in training if path not in known] if normal else []
    checked = others[:MAX_SCREENED_IMAGES]
    if len(others) > len(checked):
        print_note(f"suspects: {len(checked)} of {len(others)} further training images are checked for defects")
    with progress("checking training images", len(checked)) as bar:
        for path, maps in zip(checked, detector.residuals_all(checked), strict=True):
            bar.advance()
            if normal and not isinstance(maps, InputError):
                suspects.append(Suspect(path, normal.distance(maps, trained=True), left_out=False))
    named = [suspect for suspect in suspects if suspect.distance > NAMED_DISTANCE]
    return sorted(named, key=lambda suspect: -suspect.distance)


def _origin(
    held_out: _MeasuredImages, training: _MeasuredImages, thresholds: Thresholds, config: Config, left_out_count: int
) -> ThresholdOrigin:
    """Describe how the thresholds were estimated, and the false alarms to expect."""
    expected = expected_rate(len(held_out.residuals), config, len(training.residuals))
    settings = ("false_alarm_rate", "percent", "k_sigma", "min_area", *config.threshold_settings)
    uses_training = config.threshold == "false_alarm_rate" and expected is not None and len(held_out.residuals) > 1
    return ThresholdOrigin(
        estimator=config.threshold,
        settings={key: getattr(config, key) for key in settings},
        held_out_images=len(held_out.residuals),
        training_images=len(training.residuals) if uses_training else 0,
        left_out_images=left_out_count,
        without_highest=_factor_without_highest(held_out.residuals, training.residuals, thresholds, config),
        expected=RateEstimate(**expected._asdict()) if expected else None,
        cross_validation=cross_validate(held_out.residuals, config, training.residuals),
    )


def _factor_without_highest(
    held_out: Sequence[Residuals], training: Sequence[Residuals], thresholds: Thresholds, config: Config
) -> float | None:
    """Return the factor of the thresholds without the held-out image of the highest score; None for one image."""
    if len(held_out) < 2 or not any(thresholds.values()):
        return None
    highest = int(np.argmax([_score(maps, thresholds, config) for maps in held_out]))
    others = estimate([maps for index, maps in enumerate(held_out) if index != highest], config, training)
    return round(min(others[name] / value for name, value in thresholds.items() if value), 2)


def _note_rejected(
    held_out: _MeasuredImages, training: _MeasuredImages, thresholds: Thresholds, config: Config
) -> None:
    """Name the good images that are rejected, in descending order of their scores: they may be defective."""
    residuals = held_out.residuals + training.residuals
    names = [path.name for path in held_out.paths + training.paths]
    scores = [_score(maps, thresholds, config) for maps in residuals]
    rejected = [name for score, name in sorted(zip(scores, names, strict=True), reverse=True) if is_defective(score)]
    if rejected:
        are, they_have = ("is", "it has") if len(rejected) == 1 else ("are", "they have")
        where = f"{len(rejected)} of {len(names)} good images {are} rejected"
        print_note(f"{where}; check that {they_have} no defect: {listed(rejected, MAX_NAMED_IMAGES)}")


def _note_left_out(suspects: Sequence[Suspect], total: int) -> None:
    """Name the images that do not set the thresholds."""
    names = [suspect.path.name for suspect in suspects if suspect.left_out]
    if names:
        is_left = "is" if len(names) == 1 else "are"
        print_note(
            f"{len(names)} of {total} good images may be defective, and {is_left} left out of the thresholds: "
            f"{listed(names, MAX_NAMED_IMAGES)}"
        )


def _score(residuals: Residuals, thresholds: Thresholds, config: Config) -> float:
    anomaly = method_of(config).anomaly_map(residuals, thresholds, min_area=config.min_defect_area)
    return float(anomaly.max())
