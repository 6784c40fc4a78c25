"""How an image looks: a few numbers that change if the camera moves, the light changes or the lens gets dirty.

Shift and turn are those of a thumbnail against the mean thumbnail of good images, to first order: least squares of
their difference on the derivatives of the mean by shift and turn, and on its brightness and contrast (Lucas and Kanade
1981, "An iterative image registration technique").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from math import log, pi
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from ssim_ae.config import Config
from ssim_ae.errors import InputError
from ssim_ae.images.colors import white_of
from ssim_ae.images.files import read_image
from ssim_ae.images.resize import resize
from ssim_ae.machine import parallel_map
from ssim_ae.sampling import equal_intervals

MAX_SIDE = 512  # px, to which an image is reduced before it is measured
THUMBNAIL = 48  # px, side
SAMPLED = 3  # rows and columns of a square that becomes a pixel
SMOOTHINGS = 3  # of a thumbnail: a larger shift is measured, too
RIDGE = 1e-3  # of the least squares, relative to the mean variance
MIN_VALUE = 1e-4  # of brightness and contrast: their logarithms stay finite
MAX_IMAGES = 64  # good images that are measured
DIGITS = 4  # of a number in a detector file


class Look(NamedTuple):
    """How an image looks, in numbers whose changes mean the same for all images."""

    brightness: float  # logarithm of the mean
    contrast: float  # logarithm of standard deviation / mean: the same in other light, lower behind haze
    sharpness: float  # logarithm of mean absolute Laplacian / standard deviation: lower if blurred
    shift_x: float  # to the right, as share of the width
    shift_y: float  # downwards, as share of the height
    turn: float  # degrees, clockwise


class UsualImages(BaseModel):
    """How good images look and score: what later images are compared with.

    `scores` are those of images that the detector does not know. `mean` is the mean thumbnail, (48, 48) in thousandths;
    `aspect` the width of images divided by their height.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    scores: list[FiniteFloat]
    looks: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]]
    mean: tuple[tuple[int, ...], ...]
    aspect: FiniteFloat
    bit_depth: int

    @classmethod
    def of(cls, paths: Sequence[Path], scores: Sequence[float], config: Config) -> Self | None:
        """Measure a sample of good images; None if none of them can be read."""
        sample = [paths[index] for index in equal_intervals(len(paths), MAX_IMAGES)]
        measured = [found for found in parallel_map(lambda path: _read(path, config), sample) if found]
        if not measured:
            return None
        mean = np.mean([item.thumbnail for item in measured], axis=0)
        aspect = float(np.median([item.aspect for item in measured]))
        motion = _Motion.of(mean, aspect)
        return cls(
            scores=[_rounded(score) for score in scores],
            looks=[tuple(map(_rounded, item.look(motion))) for item in measured],  # type: ignore[misc]
            mean=tuple(map(tuple, np.round(1000 * mean).astype(int).tolist())),
            aspect=_rounded(aspect),
            bit_depth=config.bit_depth,
        )

    @classmethod
    def from_file(cls, values: object) -> Self:
        """Return what a detector file holds. Raises ValueError if it is invalid."""
        usual = cls.model_validate_json(json.dumps(values))
        if [len(row) for row in usual.mean] != [THUMBNAIL] * THUMBNAIL or usual.aspect <= 0:
            raise ValueError(f"the mean thumbnail should have {THUMBNAIL} x {THUMBNAIL} values")
        usual.look(np.zeros((THUMBNAIL, THUMBNAIL, 1), np.uint8))
        return usual

    def look(self, image: np.ndarray) -> Look:
        """Measure an image (H, W, C) uint8 or uint16."""
        return _measure(image, self.bit_depth).look(_motion(self.mean, self.aspect))

    def with_thresholds_times(self, factor: float) -> Self:
        """Return the same with scores relative to thresholds that are multiplied by a factor."""
        return self.model_copy(update={"scores": [_rounded(score / factor) for score in self.scores]})


class _Measured(NamedTuple):
    """The numbers of an image, its thumbnail (48, 48), and its width divided by its height."""

    brightness: float
    contrast: float
    sharpness: float
    thumbnail: np.ndarray
    aspect: float

    def look(self, motion: _Motion) -> Look:
        return Look(self.brightness, self.contrast, self.sharpness, *motion.of_thumbnail(self.thumbnail))


class _Motion(NamedTuple):
    """The mean thumbnail, and the matrix (3, 48 * 48) that its difference from another is multiplied by."""

    mean: np.ndarray
    matrix: np.ndarray

    @classmethod
    def of(cls, mean: np.ndarray, aspect: float) -> Self:
        by_y, by_x = np.gradient(mean, 1 / THUMBNAIL)
        y, x = (np.indices(mean.shape) + 0.5) / THUMBNAIL - 0.5
        by_turn = (x * aspect * by_y - y / aspect * by_x) * pi / 180  # a content that turns clockwise, per degree
        columns = np.stack([-by_x, -by_y, -by_turn, mean, np.ones_like(mean)]).reshape(5, -1).T
        normal = columns.T @ columns
        scale = np.diag(normal)
        normal += np.diag(RIDGE * scale + 1e-9)
        return cls(mean, np.linalg.solve(normal, columns.T)[:3])

    def of_thumbnail(self, thumbnail: np.ndarray) -> tuple[float, float, float]:
        x, y, turn = self.matrix @ (thumbnail - self.mean).ravel()
        return float(x), float(y), float(turn)


@lru_cache
def _motion(mean: tuple[tuple[int, ...], ...], aspect: float) -> _Motion:
    return _Motion.of(np.array(mean) / 1000, aspect)


def _read(path: Path, config: Config) -> _Measured | None:
    try:
        return _measure(read_image(path, grayscale=config.grayscale), config.bit_depth)
    except InputError:  # the calibration has said so
        return None


def _measure(image: np.ndarray, bit_depth: int) -> _Measured:
    height, width = image.shape[:2]
    step = -(-max(height, width) // MAX_SIDE)
    gray = _reduced(image, step) / np.float32(white_of(image.dtype, bit_depth))
    mean, deviation = float(gray.mean()), float(gray.std())
    center = gray[1:-1, 1:-1]
    laplacian = 4 * center - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:]
    edges = float(np.abs(laplacian).mean()) if laplacian.size else 0.0
    thumbnail = resize(gray, THUMBNAIL, THUMBNAIL)
    for _ in range(SMOOTHINGS):
        thumbnail = _smoothed(thumbnail)
    return _Measured(
        log(max(mean, MIN_VALUE)),
        log(max(deviation, MIN_VALUE) / max(mean, MIN_VALUE)),
        log(max(edges, MIN_VALUE) / max(deviation, MIN_VALUE)),
        thumbnail,
        width / height,
    )


def _reduced(image: np.ndarray, step: int) -> np.ndarray:
    """Return the gray means of squares of `step` px, of at most 9 pixels of each, (H / step, W / step) float32."""
    height, width = (side // step * step or side for side in image.shape[:2])
    rows, columns = (_sampled(min(step, side)) for side in image.shape[:2])
    parts = [image[y:height:step, x:width:step].mean(axis=2, dtype=np.float32) for y in rows for x in columns]
    reduced: np.ndarray = sum(parts) / np.float32(len(parts))
    return reduced


def _sampled(number: int) -> list[int]:
    return sorted({*np.linspace(0, number - 1, SAMPLED).astype(int).tolist()})


def _smoothed(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    smoothed: np.ndarray = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    return smoothed


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
