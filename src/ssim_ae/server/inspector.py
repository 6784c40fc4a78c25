"""Inspects images in worker threads, one per core by default, with a bounded number of images in memory."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
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
from ssim_ae.images.files import decode_image, encode_png
from ssim_ae.machine import cores, once_per_thread, one_blas_thread
from ssim_ae.maps.levels import levels_image
from ssim_ae.pages.detectability import detectability_data
from ssim_ae.server.limits import MIB, Limits
from ssim_ae.server.metrics import ServerMetrics
from ssim_ae.server.recorder import InspectedImage, Recorder, WatchedFile
from ssim_ae.server.schemas import DetectorInfo, Failure, InspectionResponse, PictureName, Timing

DEFAULT_IMAGE_NAME = "image"  # in error messages, if the request has no file name


class InspectionRequest(NamedTuple):
    """The detector, sensitivity and pictures that a client requests for an image; `record` for the recorder, if any."""

    detector: str
    sensitivity: float = 1.0
    pictures: tuple[PictureName, ...] = ()
    record: bool = True


class Inspector:
    """Detectors by name, and the worker threads that inspect images with them.

    It accepts images within its `with` block. At the end of the block it finishes the images that were submitted. With
    a `recorder`, no result is given out before it is recorded.
    """

    def __init__(
        self,
        detectors: Mapping[str, Detector],
        *,
        limits: Limits | None = None,
        threads: int | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.detectors = dict(detectors)
        self._opened: dict[str, _Opened] = {}
        self.recorder = recorder
        self.limits = limits or Limits()
        self.metrics = ServerMetrics()
        self._workers = threads or cores()
        self._free_slots = BoundedSemaphore(self._workers + self.limits.queue)
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            resources.callback(self._close_detectors)
            for name, detector in self.detectors.items():
                self._opened[name] = _open(detector)
            resources.enter_context(one_blas_thread())
            self._pool = resources.enter_context(ThreadPoolExecutor(self._workers))
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._resources.close()  # waits for the workers first

    @property
    def default(self) -> str:
        """The name of the detector that is used if a request names none."""
        return next(iter(self.detectors))

    def replace(self, name: str, detector: Detector) -> None:
        """Inspect with another detector of this name from the next image on; those that are inspected now finish."""
        former = self._opened[name]
        self._opened[name] = _open(detector)
        self.detectors[name] = detector
        former.resources.close()

    def infos(self) -> list[DetectorInfo]:
        """Return the descriptions of all detectors, the default first."""
        return [_info(name, detector) for name, detector in self.detectors.items()]

    @contextmanager
    def reserve_slot(self) -> Iterator[QueueSlot]:
        """Reserve a queue slot, or raise `queue.Full` if none is free.

        The slot is released after the block and after the last inspection in it, whichever ends later.
        """
        if not self._free_slots.acquire(blocking=False):
            self.metrics.refused.inc()
            raise Full
        self.metrics.queue_slots_used.inc()
        slot = QueueSlot(self)
        try:
            yield slot
        finally:
            slot.call_when_idle(self._release_slot)

    def submit(
        self,
        image: bytes | Path,
        request: InspectionRequest,
        name: str = "",
        watched: WatchedFile | None = None,
        station: str = "",
    ) -> Future[InspectionResponse]:
        """Queue an image, given as the bytes of a file or as its path, and return the future response.

        `station` is the name of the source that the image is from, if it is from one that has a name.

        The future raises InputError if the image cannot be read, is too large or cannot be decoded, and RecordError if
        the result cannot be recorded.
        """
        return self._pool.submit(self._inspect_and_record, image, request, name, watched, station, perf_counter())

    def _close_detectors(self) -> None:
        for opened in self._opened.values():
            opened.resources.close()

    def _release_slot(self) -> None:
        self.metrics.queue_slots_used.dec()
        self._free_slots.release()

    def _inspect_and_record(
        self,
        image: bytes | Path,
        request: InspectionRequest,
        name: str,
        watched: WatchedFile | None,
        station: str,
        submitted: float,
    ) -> InspectionResponse:
        started, time, data, look = perf_counter(), datetime.now(UTC), b"", None
        detector, initialize_thread, _ = self._opened[request.detector]
        result: InspectionResponse | Failure
        try:
            initialize_thread()
            data = self._data(image, name or DEFAULT_IMAGE_NAME)
            pixels = self._decode(detector, data, name)
            result = response = _response(detector.inspect(pixels), request, name)
            seconds = perf_counter() - started
            response.milliseconds = Timing(waited=_milliseconds(started - submitted), inspected=_milliseconds(seconds))
            self.metrics.inspections.labels(request.detector, response.verdict).inc()
            self.metrics.inspection_seconds.labels(request.detector).observe(seconds)
            if self.recorder and request.record and detector.usual:
                look = detector.usual.look(pixels)
            return response
        except Exception as error:
            self.metrics.inspections.labels(request.detector, "error").inc()
            result = failure(name, error)
            raise
        finally:
            if self.recorder and request.record:
                of_detector = (request.detector, detector.fingerprint)
                inspected = InspectedImage(time, *of_detector, data, result, watched, station, look, detector.usual)
                self.recorder.record(inspected)

    def _data(self, image: bytes | Path, name: str) -> bytes:
        return _read_file(image, name, self.limits.max_bytes) if isinstance(image, Path) else image

    def _decode(self, detector: Detector, data: bytes, name: str) -> np.ndarray:
        return decode_image(
            BytesIO(data),
            name or DEFAULT_IMAGE_NAME,
            grayscale=detector.config.grayscale,
            max_pixels=self.limits.max_pixels,
        )


class QueueSlot:
    """Capacity for one image at a time."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._latest: Future[InspectionResponse] | None = None

    async def inspect(self, image: bytes | Path, request: InspectionRequest, name: str = "") -> InspectionResponse:
        """Inspect an image and wait for the response; errors as for `Inspector.submit`."""
        self._latest = self._inspector.submit(image, request, name)
        return await asyncio.wrap_future(self._latest)

    def call_when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once the latest inspection has ended, at once if there is none.

        A worker finishes its image even if nobody waits for it any more.
        """
        if self._latest is None:
            callback()
        else:
            self._latest.add_done_callback(lambda _future: callback())


def failure(name: str, error: Exception) -> Failure:
    """Return what is said of an image whose inspection raised an error."""
    reason = str(error) if isinstance(error, InputError) else f"{name or DEFAULT_IMAGE_NAME}: {error!r}"
    return Failure(name=name, error=reason)


class _Opened(NamedTuple):
    """A detector, the function that a worker calls before it inspects with it, and what is closed after its use."""

    detector: Detector
    initialize_thread: Callable[[], None]
    resources: ExitStack


def _open(detector: Detector) -> _Opened:
    resources = ExitStack()
    return _Opened(detector, once_per_thread(resources.enter_context(detector.runtime.concurrent())), resources)


def _read_file(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        if path.stat().st_size > max_bytes:
            raise InputError(f"{name}: larger than {max_bytes / MIB:.0f} MiB")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def _response(inspection: Inspection, request: InspectionRequest, name: str) -> InspectionResponse:
    inspection = inspection.at(1 / request.sensitivity)
    height, width = inspection.pixels.shape[:2]
    return InspectionResponse(
        detector=request.detector,
        name=name,
        verdict=inspection.verdict,
        score=inspection.score,
        threshold=inspection.threshold,
        width=width,
        height=height,
        defect_share=inspection.defect_share,
        defects=inspection.defects,
        milliseconds=Timing(waited=0, inspected=0),
        pictures={name: b64encode(encode_png(pixels)).decode() for name, pixels in _pictures(inspection, request)},
    )


def _pictures(inspection: Inspection, request: InspectionRequest) -> Iterator[tuple[PictureName, np.ndarray]]:
    """Yield the requested pictures that the method has."""
    for name in request.pictures:
        pixels = levels_image(inspection.levels) if name == "levels" else getattr(inspection, name)
        if pixels is not None:
            yield name, pixels


def _info(name: str, detector: Detector) -> DetectorInfo:
    return DetectorInfo(
        name=name,
        runtime=type(detector.runtime).__name__,
        thresholds=dict(detector.thresholds),
        dataset=detector.provenance.dataset,
        working_size=detector.view.working_size,
        size=detector.view.size,
        channels=detector.config.channels,
        min_area=detector.config.min_defect_area,
        detectability=detectability_data(detector),
    )


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 2)
