"""Whether an exported detector says what the detector it came from says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ssim_ae.detection.detector import Detector
from ssim_ae.detection.inspection import Inspection
from ssim_ae.detection.residuals import Residuals, residuals
from ssim_ae.errors import InputError

RECONSTRUCTION_TOLERANCE = 1e-5  # ten times what float32 costs ...
RESIDUAL_TOLERANCE = 1e-4  # ... and SSIM makes more of it where an image is flat
SPOT = 0.06  # radius of the drawn defect, as a share of the image's shorter side


class Parity(NamedTuple):
    """The largest differences over some images, and on how many verdicts agree."""

    images: int
    reconstruction: float
    residuals: float
    score: float
    same_verdicts: int

    def __str__(self) -> str:
        return (
            f"parity on {self.images} images: reconstruction {self.reconstruction:.1e}, "
            f"residuals {self.residuals:.1e}, score {self.score:.1e} apart at most; "
            f"{self.same_verdicts} verdicts the same"
        )

    @property
    def holds(self) -> bool:
        """Whether the two agree."""
        close = self.reconstruction <= RECONSTRUCTION_TOLERANCE and self.residuals <= RESIDUAL_TOLERANCE
        return close and self.same_verdicts == self.images


def parity(detector: Detector, exported: Detector, images: Sequence[np.ndarray]) -> Parity:
    """Compare two detectors on images (H, W, C), each as it is and with a defect drawn into it."""
    shown = [*images, *_spoiled(images)]
    if not shown:
        raise InputError("no images to compare on")
    pairs = [(detector.inspect(image), exported.inspect(image)) for image in shown]
    maps = [(_residuals(ours), _residuals(theirs)) for ours, theirs in pairs]
    return Parity(
        images=len(shown),
        reconstruction=max(_apart(ours.planes, theirs.planes) for ours, theirs in pairs),
        residuals=max(max(_apart(a.ssim, b.ssim), _apart(a.l1, b.l1)) for a, b in maps),
        score=max(abs(ours.score - theirs.score) for ours, theirs in pairs),
        same_verdicts=sum(ours.verdict == theirs.verdict for ours, theirs in pairs),
    )


def _residuals(found: Inspection) -> Residuals:
    return residuals(found.view.centre(found.pixels), found.planes)


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
