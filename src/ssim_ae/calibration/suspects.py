"""Suspects: images among the good ones that differ so much from the others that they may be defective.

The score of an image is compared with the median of its part (held out or trained on), in units of the distance from
the median to the 16th percentile of both parts. This lower half hardly depends on how many images are defective. If
scores followed their distribution exactly, one good image in 200 would be farther than `NAMED_DISTANCE`, and one in
3 400 farther than `LEFT_OUT_DISTANCE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.config import Config
from ssim_ae.maps.normalization import NormalStatistics, normalize
from ssim_ae.maps.residuals import Residuals, Thresholds
from ssim_ae.methods import method_of

NAMED_DISTANCE = 5.0  # from which a person should look at an image
LEFT_OUT_DISTANCE = 8.0  # from which an image does not set thresholds
MAX_LEFT_OUT_SHARE = 0.2  # of the images; more are no outliers
MAX_NAMED_IMAGES = 10  # in a note
MAX_PASSES = 3
LOWER_QUANTILE = 0.16
MIN_SPREAD = 0.02  # of scores around a median of about 1, and of their logarithms
MIN_POSITIVE = 1e-12


class Suspect(NamedTuple):
    """A good image that may be defective, its distance, and whether it did not set the thresholds."""

    path: Path
    distance: float
    left_out: bool


def left_out(suspects: Iterable[Suspect]) -> set[Path]:
    """Return the images that did not set the thresholds."""
    return {suspect.path for suspect in suspects if suspect.left_out}


class NormalScores(NamedTuple):
    """How good images score: what an image's distance is computed from."""

    config: Config
    scale: np.ndarray | None  # robust normal statistics, if the method normalizes residuals
    thresholds: Thresholds  # the median maxima of the residuals
    medians: tuple[float, float] = (0.0, 0.0)  # of the scores of held-out images, and of training images
    spread: float = 1.0

    @classmethod
    def fit(cls, held_out: Sequence[Residuals], training: Sequence[Residuals], config: Config) -> Self:
        """Return how the good images score, of which a minority may be defective; at least one is given."""
        images = [*held_out, *training]
        method, scale = method_of(config), None
        if method.normalizes_residuals:
            scale = NormalStatistics.fit_robust(images, texture=bool(config.texture)).scale(images[0].size)
        maxima = np.array([_maxima(maps, scale) for maps in images])
        medians_of_maxima = np.maximum(np.median(maxima, axis=0), MIN_POSITIVE) / method.residual_weights(config)
        scorer = cls(config, scale, method.thresholds(medians_of_maxima.tolist()))
        parts = [np.array([scorer.score(maps) for maps in part]) for part in (held_out, training)]
        medians = [float(np.median(part)) if len(part) else 0.0 for part in parts]
        deviations = np.concatenate([part - median for part, median in zip(parts, medians, strict=True)])
        spread = max(float(-np.quantile(deviations, LOWER_QUANTILE)), MIN_SPREAD)
        return scorer._replace(medians=(medians[0], medians[1]), spread=spread)

    def score(self, maps: Residuals) -> float:
        """Return the score of an image, or its logarithm if scores differ by factors."""
        method = method_of(self.config)
        if self.scale is not None:
            maps = normalize(maps, self.scale)
        score = float(method.anomaly_map(maps, self.thresholds).max())
        return float(np.log(max(score, MIN_POSITIVE))) if method.score_distribution == "frechet" else score

    def distance(self, maps: Residuals, trained: bool) -> float:
        """Return how many spreads the score of an image is above the median of its part."""
        return (self.score(maps) - self.medians[trained]) / self.spread


class Distances(NamedTuple):
    """Distances (N,), held-out images first; which are far outliers (N,) bool; and how the others score."""

    values: np.ndarray
    far: np.ndarray
    normal: NormalScores | None  # None without images


def measure_distances(held_out: Sequence[Residuals], training: Sequence[Residuals], config: Config) -> Distances:
    """Return how far each image is from the others.

    Distances are measured again without the far outliers, until no more are found. If they are too many to be
    outliers, none is one.
    """
    images, trained = [*held_out, *training], np.arange(len(held_out) + len(training)) >= len(held_out)
    far = np.zeros(len(images), bool)
    distances, normal = np.zeros(len(images)), None
    for _ in range(MAX_PASSES):
        parts = [[images[index] for index in np.flatnonzero(~far & (trained == part))] for part in (False, True)]
        if not any(parts):
            break
        normal = NormalScores.fit(parts[0], parts[1], config)
        distances = np.array([normal.distance(*item) for item in zip(images, trained.tolist(), strict=True)])
        found = far | (distances > LEFT_OUT_DISTANCE)
        if found.sum() > MAX_LEFT_OUT_SHARE * len(images):
            return Distances(distances, np.zeros(len(images), bool), normal)
        if np.array_equal(found, far):
            break
        far = found
    return Distances(distances, far, normal)


def _maxima(residuals: Residuals, scale: np.ndarray | None) -> np.ndarray:
    """Return the maximum of each residual, multiplied by the weights, (R,) float64."""
    normalized = residuals if scale is None else normalize(residuals, scale)
    return (normalized.maps * normalized.weights).max(axis=(1, 2), initial=0).astype(float)
