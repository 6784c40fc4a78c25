"""Whether an exported file says what the detector it came from says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ssim_ae.detector.detector import Detector
from ssim_ae.errors import InputError

RECONSTRUCTION_TOLERANCE = 1e-5  # ten times what float32 costs ...
RESIDUAL_TOLERANCE = 1e-4  # ... and SSIM makes more of it where an image is flat
SPOT = 0.06  # radius of the drawn defect, as a share of the image's shorter side


class Findings(NamedTuple):
    """What is found in an image (H, W, C): reconstruction (C, S, S), anomaly map (H, W), score, and if it is nok."""

    reconstruction: np.ndarray
    anomaly_map: np.ndarray
    score: float
    nok: bool


Inspect = Callable[[np.ndarray], Findings]


class Difference(NamedTuple):
    """The largest differences over some images, and how many verdicts are the same.

    `residual` is the anomaly maps', in units of the residuals: times the highest that one may be.
    """

    images: int
    reconstruction: float
    residual: float
    score: float
    same_verdicts: int

    @property
    def holds(self) -> bool:
        """Whether no more than what float32 costs lies between the two, and every verdict is the same."""
        close = self.reconstruction <= RECONSTRUCTION_TOLERANCE and self.residual <= RESIDUAL_TOLERANCE
        return close and self.agrees

    @property
    def agrees(self) -> bool:
        """Whether every verdict is the same."""
        return self.same_verdicts == self.images

    def __str__(self) -> str:
        return (
            f"reconstruction {self.reconstruction:.1e}, residuals {self.residual:.1e}, score {self.score:.1e} apart; "
            f"{self.same_verdicts} of {self.images} verdicts the same"
        )


class Parity(NamedTuple):
    """The differences on good images, and on the same with a defect drawn into them."""

    good: Difference
    spoiled: Difference

    def __str__(self) -> str:
        return f"{self.good}; with a drawn defect {self.spoiled}"

    @property
    def holds(self) -> bool:
        """Whether both hold."""
        return self.good.holds and self.spoiled.holds

    @property
    def agrees(self) -> bool:
        """Whether every verdict is the same."""
        return self.good.agrees and self.spoiled.agrees


def parity(detector: Detector, inspect: Inspect, images: Sequence[np.ndarray]) -> Parity:
    """Compare a detector with what `inspect` finds, on images (H, W, C), each as it is and with a defect drawn in."""
    if not images:
        raise InputError("no images to compare on")
    return Parity(difference(detector, inspect, images), difference(detector, inspect, list(_spoiled(images))))


def difference(detector: Detector, inspect: Inspect, images: Sequence[np.ndarray]) -> Difference:
    """Compare a detector with what `inspect` finds on images (H, W, C)."""
    ours = inspect_by(detector)
    pairs = [(ours(image), inspect(image)) for image in images]
    return Difference(
        images=len(pairs),
        reconstruction=max(_apart(a.reconstruction, b.reconstruction) for a, b in pairs),
        residual=max(_apart(a.anomaly_map, b.anomaly_map) for a, b in pairs) * _highest_limit(detector),
        score=max(abs(a.score - b.score) for a, b in pairs),
        same_verdicts=sum(a.nok == b.nok for a, b in pairs),
    )


def inspect_by(detector: Detector) -> Inspect:
    """Return what asks a detector."""

    def inspect(image: np.ndarray) -> Findings:
        found = detector.inspect(image)
        return Findings(found.planes, found.anomaly_map, found.score, found.verdict == "nok")

    return inspect


def _highest_limit(detector: Detector) -> float:
    """Return the residual that is allowed where most is."""
    scale = (1.0, 1.0) if detector.residual_scale is None else detector.residual_scale.max(axis=(1, 2))
    return float(max(np.multiply(detector.thresholds, scale)))


def _apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max())


def _spoiled(images: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the images with a round spot of inverted pixels, each in another place."""
    rng = np.random.default_rng(0)
    for image in images:
        height, width = image.shape[:2]
        y, x = rng.uniform(0.3, 0.7, 2) * (height, width)
        rows, columns = np.ogrid[:height, :width]
        spot = (rows - y) ** 2 + (columns - x) ** 2 < (SPOT * min(height, width)) ** 2
        spoiled = image.copy()
        spoiled[spot] = np.iinfo(image.dtype).max - spoiled[spot]
        yield spoiled
