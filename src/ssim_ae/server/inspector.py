"""Inspects images for many at once: a worker a core, and no more images in the house than there is room for."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from queue import Full
from threading import BoundedSemaphore
from time import perf_counter
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.detector.detector import Detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.images import colours
from ssim_ae.images.files import decode_image, encode_png
from ssim_ae.machine import cores, once_a_thread, one_blas_thread
from ssim_ae.maps.levels import levels_image
from ssim_ae.server.limits import Limits
from ssim_ae.server.metrics import Metrics
from ssim_ae.server.schemas import Box, DetectorInfo, InspectionResponse, Milliseconds, Picture

UNNAMED = "image"  # in an error, where no file name was given


class InspectionRequest(NamedTuple):
    """What is asked of an image."""

    detector: str
    sensitivity: float = 1.0
    pictures: tuple[Picture, ...] = ()

    @property
    def limit(self) -> np.float32:
        """The value of the anomaly map above which a pixel is defective."""
        return np.float32(1 / self.sensitivity)


class Inspector:
    """Owns the detectors, by name, and the workers that inspect images with them. Open while its `with` block runs."""

    def __init__(
        self, detectors: Mapping[str, Detector], *, limits: Limits | None = None, threads: int | None = None
    ) -> None:
        self.detectors = dict(detectors)
        self.limits = limits or Limits()
        self.workers = threads or cores()
        self.places = self.workers + self.limits.queue
        self.free = BoundedSemaphore(self.places)
        self.metrics = Metrics()
        self.opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            begins = [opening.enter_context(detector.runtime.concurrent()) for detector in self.detectors.values()]
            opening.enter_context(one_blas_thread())
            self.begun = once_a_thread(lambda: _call(begins))
            self.pool = opening.enter_context(ThreadPoolExecutor(self.workers))
            self.opened = opening.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self.opened.close()  # the workers finish first

    @property
    def default(self) -> str:
        """The detector that is asked where none is named."""
        return next(iter(self.detectors))

    def infos(self) -> list[DetectorInfo]:
        """Describe the detectors."""
        return [_info(name, detector) for name, detector in self.detectors.items()]

    @contextmanager
    def place(self) -> Iterator[QueueSlot]:
        """Take one of the places. Full if there is none; free again when what was begun in it has ended, too."""
        if not self.free.acquire(blocking=False):
            self.metrics.refused.inc()
            raise Full
        self.metrics.places_taken.inc()
        place = QueueSlot(self)
        try:
            yield place
        finally:
            place.job.add_done_callback(lambda _job: self._leave())

    def submit(self, image: bytes | Path, question: InspectionRequest, name: str = "") -> Future[InspectionResponse]:
        """Have a worker inspect an image, a file's bytes or its path. InputError if it is none."""
        return self.pool.submit(self._answer, image, question, name, perf_counter())

    def _leave(self) -> None:
        self.metrics.places_taken.dec()
        self.free.release()

    def _answer(
        self, image: bytes | Path, question: InspectionRequest, name: str, submitted: float
    ) -> InspectionResponse:
        begun = perf_counter()
        try:
            self.begun()
            inspection = self._inspected(image, self.detectors[question.detector], name or UNNAMED)
        except InputError:
            self.metrics.inspections.labels(question.detector, "error").inc()
            raise
        answer = _answer(inspection, question, name)
        seconds = perf_counter() - begun
        answer.milliseconds = Milliseconds(waited=_ms(begun - submitted), inspected=_ms(seconds))
        self.metrics.inspections.labels(question.detector, answer.verdict).inc()
        self.metrics.seconds.labels(question.detector).observe(seconds)
        return answer

    def _inspected(self, image: bytes | Path, detector: Detector, name: str) -> Inspection:
        data = _file(image, name, self.limits.max_bytes) if isinstance(image, Path) else image
        pixels = decode_image(
            BytesIO(data), name, grayscale=detector.config.grayscale, max_pixels=self.limits.max_pixels
        )
        return detector.inspect(pixels)


class QueueSlot:
    """Room for one image at a time."""

    def __init__(self, inspector: Inspector) -> None:
        self.inspector = inspector
        self.job: Future[InspectionResponse] = Future()
        self.job.cancel()  # nothing has begun

    async def inspect(self, image: bytes | Path, question: InspectionRequest, name: str = "") -> InspectionResponse:
        """Wait for the answer. InputError if it is no image."""
        self.job = self.inspector.submit(image, question, name)
        return await asyncio.wrap_future(self.job)


def _call(begins: list[Callable[[], None]]) -> None:
    for begin in begins:
        begin()


def _file(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        if path.stat().st_size > max_bytes:
            raise InputError(f"{name}: larger than {max_bytes / 2**20:.0f} MiB")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def _answer(inspection: Inspection, question: InspectionRequest, name: str) -> InspectionResponse:
    limit = question.limit
    height, width = inspection.pixels.shape[:2]
    mask = inspection.above(float(limit))
    return InspectionResponse(
        detector=question.detector,
        name=name,
        verdict="nok" if inspection.score > limit else "ok",
        score=inspection.score,
        limit=float(limit),
        width=width,
        height=height,
        defect_share=inspection.view.image_share(mask, height, width),
        defects=[Box(**defect._asdict()) for defect in inspection.defects(float(limit))],
        milliseconds=Milliseconds(waited=0, inspected=0),
        pictures={
            picture: b64encode(encode_png(_picture(picture, inspection, mask, limit))).decode()
            for picture in question.pictures
        },
    )


def _picture(picture: Picture, inspection: Inspection, mask: np.ndarray, limit: np.float32) -> np.ndarray:
    match picture:
        case "mask":
            return inspection.view.to_image_size(mask, *inspection.pixels.shape[:2])
        case "heatmap":
            return colours.heatmap(inspection.image, inspection.anomaly_map / limit)
        case "inspected":
            return inspection.inspected
        case "reconstruction":
            return inspection.reconstruction
        case "levels":
            return levels_image(inspection.levels)


def _info(name: str, detector: Detector) -> DetectorInfo:
    return DetectorInfo(
        name=name,
        runtime=type(detector.runtime).__name__,
        thresholds=detector.thresholds._asdict(),
        dataset=detector.provenance.dataset,
        size=detector.view.size,
        channels=detector.config.channels,
        min_area=detector.config.min_defect_area,
    )


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
