"""The parity of an exported file with its detector: differences of their outputs on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ssim_ae.detector.detector import Detector
from ssim_ae.errors import InputError

RECONSTRUCTION_TOLERANCE = 1e-5  # ten times the rounding error of float32
RESIDUAL_TOLERANCE = 1e-4  # larger, because SSIM amplifies rounding errors where an image is flat
DEFECT_RADIUS = 0.06  # of the synthetic defect, as a share of the shorter side of the image


class InspectionOutputs(NamedTuple):
    """What an inspection of an image (H, W, C) returns.

    Attributes:
        reconstruction: (C, h, w) in [0, 1], the size of the view; None if the method does not reconstruct.
        anomaly_map: (H, W), non-negative.
        score: the maximum of the anomaly map in the view.
        nok: whether the verdict is `nok`.
    """

    reconstruction: np.ndarray | None
    anomaly_map: np.ndarray
    score: float
    nok: bool


Inspect = Callable[[np.ndarray], InspectionOutputs]


class Difference(NamedTuple):
    """The maximum absolute differences of the outputs on several images.

    Attributes:
        images: number of images.
        reconstruction: difference of the reconstructions; None if the method does not reconstruct.
        residual: difference of the anomaly maps, in units of residuals: multiplied by the highest residual threshold;
            of distances, whose thresholds are above 1, in units of the threshold.
        score: difference of the scores.
        equal_verdicts: number of images with equal verdicts.
    """

    images: int
    reconstruction: float | None
    residual: float
    score: float
    equal_verdicts: int

    @property
    def within_tolerance(self) -> bool:
        """Whether the outputs differ only by rounding errors of float32 and all verdicts are equal."""
        close = (self.reconstruction or 0.0) <= RECONSTRUCTION_TOLERANCE and self.residual <= RESIDUAL_TOLERANCE
        return close and self.all_verdicts_equal

    @property
    def all_verdicts_equal(self) -> bool:
        """Whether all verdicts are equal."""
        return self.equal_verdicts == self.images

    def __str__(self) -> str:
        reconstruction = "" if self.reconstruction is None else f"reconstruction {self.reconstruction:.1e}, "
        return (
            f"{reconstruction}residuals {self.residual:.1e}, score {self.score:.1e}, "
            f"{self.equal_verdicts} of {self.images} verdicts equal"
        )


class Parity(NamedTuple):
    """The differences on good images and on the same images with a synthetic defect."""

    good: Difference
    with_defect: Difference

    def __str__(self) -> str:
        return f"maximum differences on good images: {self.good}; with a synthetic defect: {self.with_defect}"

    @property
    def within_tolerance(self) -> bool:
        """Whether the outputs differ only by rounding errors of float32 and all verdicts are equal."""
        return self.good.within_tolerance and self.with_defect.within_tolerance

    @property
    def all_verdicts_equal(self) -> bool:
        """Whether all verdicts are equal."""
        return self.good.all_verdicts_equal and self.with_defect.all_verdicts_equal


def measure_parity(detector: Detector, inspect: Inspect, images: Sequence[np.ndarray]) -> Parity:
    """Compare the outputs of a detector and of `inspect` on images (H, W, C), without and with a synthetic defect."""
    if not images:
        raise InputError("parity: no images; name at least one")
    return Parity(
        good=measure_difference(detector, inspect, images),
        with_defect=measure_difference(detector, inspect, _with_synthetic_defects(images)),
    )


def measure_difference(detector: Detector, inspect: Inspect, images: Sequence[np.ndarray]) -> Difference:
    """Compare the outputs of a detector and of `inspect` on images (H, W, C)."""
    inspect_with_detector = inspect_with(detector)
    pairs = [(inspect_with_detector(image), inspect(image)) for image in images]
    reconstructions = [(a.reconstruction, b.reconstruction) for a, b in pairs]
    return Difference(
        images=len(pairs),
        reconstruction=max(
            (_max_difference(a, b) for a, b in reconstructions if a is not None and b is not None), default=None
        ),
        residual=max(_max_difference(a.anomaly_map, b.anomaly_map) for a, b in pairs) * _unit(detector),
        score=max(abs(a.score - b.score) for a, b in pairs),
        equal_verdicts=sum(a.nok == b.nok for a, b in pairs),
    )


def inspect_with(detector: Detector) -> Inspect:
    """Return a function that inspects an image (H, W, C) with a detector."""

    def inspect(image: np.ndarray) -> InspectionOutputs:
        inspection = detector.inspect(image)
        return InspectionOutputs(
            inspection.planes, inspection.anomaly_map, inspection.score, inspection.verdict == "nok"
        )

    return inspect


def _unit(detector: Detector) -> float:
    """Return the highest threshold of a residual over all residuals and locations, or 1 if that is smaller."""
    thresholds = list(detector.thresholds.values())
    divisors = 1.0 if detector.residual_scale is None else detector.residual_scale.max(axis=(1, 2))
    return float(min(1.0, np.max(np.multiply(thresholds, divisors))))


def _max_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def _with_synthetic_defects(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return copies of images (H, W, C) with inverted pixels in a disk, at a random place in the middle of each."""
    rng = np.random.default_rng(0)
    return [_with_inverted_disk(image, rng.uniform(0.3, 0.7, 2)) for image in images]


def _with_inverted_disk(image: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Return a copy of an image (H, W, C) with a disk of inverted pixels; `center` (y, x) is in shares of the sides."""
    height, width = image.shape[:2]
    y, x = center * (height, width)
    rows, columns = np.ogrid[:height, :width]
    disk = (rows - y) ** 2 + (columns - x) ** 2 < (DEFECT_RADIUS * min(height, width)) ** 2
    defective = image.copy()
    defective[disk] = np.iinfo(image.dtype).max - defective[disk]
    return defective
