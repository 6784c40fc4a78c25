"""Thresholds from the images that a detector was fitted to, too: their residual maps by detectors without them.

A fit takes a second. So a sample of the training images is left out in FOLDS parts, one after the other, and the
residual maps are those of images that the detector does not know. They set the thresholds together with the held-out
images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ssim_ae.calibration.calibrate import Calibration, calibrate, threshold_images
from ssim_ae.config import Config
from ssim_ae.console import print_note, progress
from ssim_ae.detectability.changed_images import brightened, shifted, turned
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.provenance import COPIES, ThresholdOrigin
from ssim_ae.errors import InputError
from ssim_ae.images.colors import white_of
from ssim_ae.images.files import read_image
from ssim_ae.maps.residuals import Residuals
from ssim_ae.random_streams import Stream, random_stream
from ssim_ae.sampling import equal_intervals
from ssim_ae.training.learner import Learner

MAX_IMAGES = 100  # in the sample, at equal intervals
FOLDS = 8
COPIES_MEASURED = 8  # of an only good image
MAX_SHIFT, MAX_TURN, MAX_BRIGHTNESS = 0.03, 3.0, 0.05  # of copies: share of the shorter side, degrees, share


def calibrate_fitted(
    learner: Learner, detector: Detector, held_out: Sequence[Path], training: Sequence[Path], config: Config
) -> Calibration:
    """Estimate the thresholds of a detector that `learner` has fitted to `training`, with the estimator of `config`."""

    def without(paths: Sequence[Path]) -> Detector:
        runtime = learner.without(paths)
        assert runtime  # of a learner that fits
        return Detector(
            detector.config, detector.thresholds, runtime, alignment=learner.alignment, regions=detector.regions
        )

    if len(training) == 1 and not held_out:
        return _calibrate_on_copies(detector, training[0])
    fitted_without = list(cross_fitted(training, without))
    held_out, training = threshold_images(held_out, training)
    return calibrate(detector, held_out, config, training, fitted_without)


def cross_fitted(
    paths: Sequence[Path], without: Callable[[Sequence[Path]], Detector]
) -> Iterator[tuple[Path, Residuals]]:
    """Yield a sample of training images and their residual maps by detectors that do not know them.

    `without(paths)` returns the detector that is fitted to all training images but those. Yields nothing for one image.
    """
    if len(paths) < 2:
        return
    paths = sorted(paths)  # an addition of images puts them at the end
    sample = [paths[index] for index in equal_intervals(len(paths), MAX_IMAGES)]
    folds = [list(fold) for fold in np.array_split(np.array(sample, object), min(FOLDS, len(sample)))]
    with progress("measuring images by fits without them", len(sample)) as bar:
        for fold in folds:
            for path, maps in zip(fold, without(fold).residuals_all(fold), strict=True):
                bar.advance()
                if not isinstance(maps, InputError):
                    yield path, maps


def _calibrate_on_copies(detector: Detector, path: Path) -> Calibration:
    """Return the threshold of a detector of one good image: the highest score of changed copies."""
    image = read_image(path, grayscale=detector.config.grayscale)
    highest = max(float((maps.maps * maps.weights).max()) for maps in residuals_of_copies(image, detector))
    print_note(
        "thresholds: from shifted, turned and brightened copies of the only good image; how good images vary is not "
        "known, so good images may be rejected and defects missed; add good images"
    )
    return Calibration(detector.method.thresholds([highest]), None, ThresholdOrigin(estimator=COPIES))


def residuals_of_copies(image: np.ndarray, detector: Detector) -> Iterator[Residuals]:
    """Yield the residual maps of copies of an image (H, W, C) that are shifted, turned and brightened."""
    rng = random_stream(detector.config.seed, Stream.CROSS_VALIDATION)
    white = white_of(image.dtype, detector.config.bit_depth)
    for _ in range(COPIES_MEASURED):
        copy = turned(np.clip(image / np.float32(white), 0, 1), rng.uniform(-MAX_TURN, MAX_TURN))
        copy = shifted(copy, rng.uniform(0, MAX_SHIFT) * min(image.shape[:2]), rng.uniform(0, 2 * np.pi))
        copy = brightened(copy, rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS))
        yield detector.residuals(np.rint(copy * white).astype(image.dtype))
