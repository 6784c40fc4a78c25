"""Measure the detectability chart of a detector: drawn defects and changes in held-out good images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import sqrt
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ssim_ae.console import ProgressBar, progress
from ssim_ae.detectability.changed_images import brightened, shifted, turned
from ssim_ae.detectability.drawn_defects import DEFECT_KINDS, draw_defect
from ssim_ae.detectability.part import part_mask
from ssim_ae.detector.detectability_chart import CONTRASTS, Change, DetectabilityChart, Tolerance
from ssim_ae.detector.detector import Detector
from ssim_ae.errors import InputError
from ssim_ae.images.colors import white_of
from ssim_ae.images.files import read_image
from ssim_ae.images.resize import resize
from ssim_ae.images.size import Size
from ssim_ae.machine import parallel_map
from ssim_ae.maps.verdict import is_defective
from ssim_ae.random_streams import Stream, random_stream
from ssim_ae.sampling import equal_intervals

SIZES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)  # of defects, as shares of the image's shorter side
SHIFTS = (0.005, 0.01, 0.02, 0.04, 0.08)  # as shares of the image's shorter side
TURNS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # degrees
BRIGHTNESS_CHANGES = (2.5, 5.0, 10.0, 20.0, 40.0)  # percent
MAX_IMAGES = 40  # that defects are drawn into
MAX_CHANGED_IMAGES = 20  # that are changed as a whole
MAX_VALUES = 2**26  # of all images together: a bound on memory
OVERSAMPLING = 4  # larger images are reduced to this multiple of the working size
MAX_OVERSAMPLED_PIXELS = 2**22  # or to this number of pixels, but not below the working size
GOLDEN_ANGLE = 2.399963  # radians; its multiples are spread evenly


class _GoodImage(NamedTuple):
    """A good image (H, W, C) float32 in [0, 1], its part (H, W) bool, and the size of its file.

    If it is larger, it is reduced by `_reduction_factor`.
    """

    pixels: np.ndarray
    part: np.ndarray
    height: int  # px, of the file
    width: int
    white: int  # 255, or that of a 16-bit file

    @property
    def reduction(self) -> float:
        """The number of pixels of the file along a side of a pixel."""
        return min(self.height, self.width) / min(self.pixels.shape[:2])


class _Change(Protocol):
    """How a good image is changed. Returns (H, W, C) float32 in [0, 1]; `number` counts the changed images."""

    def __call__(self, image: _GoodImage, number: int) -> np.ndarray: ...


class _Job(NamedTuple):
    image: _GoodImage
    number: int
    change: _Change

    def changed(self) -> np.ndarray:
        """Return the changed image, of the file's dtype."""
        values = np.rint(self.change(self.image, self.number) * self.image.white)
        return values.astype(np.uint8 if self.image.white == 255 else np.uint16)


def measure_detectability(detector: Detector, paths: Sequence[Path]) -> DetectabilityChart | None:
    """Draw defects into held-out good images, on the part, and return the share that a detector finds.

    Only images that are accepted as they are count. With equal settings, detectors are measured with equal defects,
    and a defect has the same place and shape at all sizes and contrasts. Files that cannot be read are skipped.
    None without images, or if the setting `drawn_defects` is 0.
    """
    defects = detector.config.drawn_defects
    images = list(_read_images(detector, paths)) if defects else []
    if not images:
        return None
    side = float(np.median([min(image.height, image.width) for image in images]))
    sizes = [share * side for share in SIZES]
    found: dict[str, list[int]] = {}
    with progress("measuring what is found", len(images) + len(CONTRASTS) * len(sizes) * defects) as bar:
        rejected = list(_verdicts(detector, [_Job(image, 0, _unchanged) for image in images], bar))
        accepted = [image for image, nok in zip(images, rejected, strict=True) if not nok]
        for name, contrast in CONTRASTS.items() if accepted else ():
            found[name] = [
                _count_rejected(detector, accepted, _with_defect(detector, size, contrast), defects, bar)
                for size in sizes
            ]
    return DetectabilityChart(
        images=len(images),
        rejected=sum(rejected),
        image_height=int(np.median([image.height for image in images])),
        image_width=int(np.median([image.width for image in images])),
        working_size=detector.config.working_size.in_file(),
        sizes=sizes if found else [],
        defects=defects if found else 0,
        found=found,
        tolerances=list(_tolerances(detector, accepted[:MAX_CHANGED_IMAGES], side)),
    )


def _read_images(detector: Detector, paths: Sequence[Path]) -> Iterator[_GoodImage]:
    """Yield the images that can be read, at equal intervals if there are many."""
    config, values = detector.config, 0
    for index in equal_intervals(len(paths), MAX_IMAGES):
        try:
            image = read_image(paths[index], grayscale=config.grayscale)
        except InputError:
            continue  # noted where thresholds are estimated
        white = white_of(image.dtype, config.bit_depth)
        height, width = image.shape[:2]
        factor = _reduction_factor(Size(height, width), config.working_size)
        planes = resize(np.moveaxis(image, 2, 0), max(1, round(height * factor)), max(1, round(width * factor)))
        pixels = np.ascontiguousarray(np.moveaxis(np.clip(planes / np.float32(white), 0, 1), 0, 2))
        values += pixels.size
        if values > max(MAX_VALUES, pixels.size):  # one image is read, however large
            return
        part = part_mask(pixels)
        sensitivity = detector.sensitivity_in(image)
        if sensitivity is not None:
            part &= detector.view.to_image_size(sensitivity > 0, *part.shape)
        if part.any():
            yield _GoodImage(pixels, part, height, width, white)


def _reduction_factor(image: Size, working_size: Size) -> float:
    """Return the factor, at most 1, that an image is reduced by before it is changed and inspected."""
    inspected = max(side / length for side, length in zip(working_size, image, strict=True))
    affordable = max(inspected, sqrt(MAX_OVERSAMPLED_PIXELS / (image.height * image.width)))
    return min(1.0, OVERSAMPLING * inspected, affordable)


def _unchanged(image: _GoodImage, number: int) -> np.ndarray:
    del number
    return image.pixels


def _with_defect(detector: Detector, size: float, contrast: float) -> _Change:
    """Return a change that draws a defect of `size` px of the file; all else follows from its number."""
    kinds = list(DEFECT_KINDS)

    def change(image: _GoodImage, number: int) -> np.ndarray:
        rng = random_stream(detector.config.seed, Stream.DRAWN_DEFECTS, number)
        center = _pixel_of_part(image.part, int(rng.integers(np.count_nonzero(image.part))))
        return draw_defect(image.pixels, kinds[number % len(kinds)], size / image.reduction, contrast, center, rng)

    return change


def _pixel_of_part(part: np.ndarray, index: int) -> tuple[int, int]:
    """Return row and column of the True pixel of a mask (H, W) with this index, counted row by row."""
    ends = np.cumsum(np.count_nonzero(part, axis=1))  # all indices of pixels are many
    row = int(np.searchsorted(ends, index, side="right"))
    in_row = np.flatnonzero(part[row])
    return row, int(in_row[index - ends[row]])


def _tolerances(detector: Detector, images: Sequence[_GoodImage], side: float) -> Iterator[Tolerance]:
    """Yield the tolerance of a detector to each change of whole images."""
    if not images:
        return
    changes: tuple[tuple[Change, list[float], Callable[..., np.ndarray]], ...] = (
        ("shift", [share * side for share in SHIFTS], _shift),
        ("turn", list(TURNS), _turn),
        ("brightness", list(BRIGHTNESS_CHANGES), _brighten),
    )
    with progress("measuring what is tolerated", len(images) * sum(len(amounts) for _, amounts, _ in changes)) as bar:
        for name, amounts, change in changes:
            rejected = [
                _count_rejected(detector, images, partial(change, amount=amount), len(images), bar)
                for amount in amounts
            ]
            yield Tolerance(change=name, amounts=amounts, rejected=rejected, images=len(images))


def _shift(image: _GoodImage, number: int, amount: float) -> np.ndarray:
    return shifted(image.pixels, amount / image.reduction, GOLDEN_ANGLE * number)


def _turn(image: _GoodImage, number: int, amount: float) -> np.ndarray:
    return turned(image.pixels, amount if number % 2 else -amount)


def _brighten(image: _GoodImage, number: int, amount: float) -> np.ndarray:
    return brightened(image.pixels, (amount if number % 2 else -amount) / 100)


def _count_rejected(
    detector: Detector, images: Sequence[_GoodImage], change: _Change, count: int, bar: ProgressBar
) -> int:
    """Return how many of `count` changed images are rejected; the images are taken in turn."""
    return sum(_verdicts(detector, [_Job(images[n % len(images)], n, change) for n in range(count)], bar))


def _verdicts(detector: Detector, jobs: Iterable[_Job], bar: ProgressBar) -> Iterator[bool]:
    """Yield whether the detector rejects each changed image."""

    def is_rejected(job: _Job) -> bool:
        return bool(is_defective(detector.inspect(job.changed()).score))

    with detector.runtime.concurrent() as initialize:
        for rejected in parallel_map(is_rejected, list(jobs), initialize=initialize, workers=detector.threads):
            bar.advance()
            yield rejected
