"""Residual maps of good images that a detector was fitted to, by detectors that were fitted without them.

With few good images the held-out ones are too few to set thresholds. A fit takes a second, so every image is left out
in turn, or in one of FOLDS parts, and its residual maps are those of an image that the detector does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ssim_ae.detectability.changed_images import brightened, shifted, turned
from ssim_ae.detector.detector import Detector
from ssim_ae.errors import InputError
from ssim_ae.images.colors import white_of
from ssim_ae.maps.residuals import Residuals
from ssim_ae.random_streams import Stream, random_stream

MAX_IMAGES = 60  # training images; with more, the held-out images are enough
FOLDS = 10
COPIES = 8  # of an only good image
MAX_SHIFT, MAX_TURN, MAX_BRIGHTNESS = 0.03, 3.0, 0.05  # of copies: share of the shorter side, degrees, share


def are_few(images: int) -> bool:
    """Return whether so many training images set thresholds, too: at most MAX_IMAGES."""
    return images <= MAX_IMAGES


def cross_fitted(
    paths: Sequence[Path], without: Callable[[Sequence[int]], Detector]
) -> Iterator[tuple[Path, Residuals]]:
    """Yield each training image and its residual maps by a detector that does not know it.

    `without(indices)` returns the detector that is fitted to all images but those. Yields nothing if there are more
    than MAX_IMAGES, or one alone.
    """
    if len(paths) < 2 or not are_few(len(paths)):
        return
    for fold in np.array_split(np.arange(len(paths)), min(FOLDS, len(paths))):
        own = [paths[index] for index in fold]
        for path, maps in zip(own, without(fold.tolist()).residuals_all(own), strict=True):
            if not isinstance(maps, InputError):
                yield path, maps


def residuals_of_copies(image: np.ndarray, detector: Detector) -> Iterator[Residuals]:
    """Yield the residual maps of copies of an image (H, W, C) that are shifted, turned and brightened."""
    rng = random_stream(detector.config.seed, Stream.CROSS_VALIDATION)
    white = white_of(image.dtype, detector.config.bit_depth)
    for _ in range(COPIES):
        copy = turned(np.clip(image / np.float32(white), 0, 1), rng.uniform(-MAX_TURN, MAX_TURN))
        copy = shifted(copy, rng.uniform(0, MAX_SHIFT) * min(image.shape[:2]), rng.uniform(0, 2 * np.pi))
        copy = brightened(copy, rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS))
        yield detector.residuals(np.rint(copy * white).astype(image.dtype))
