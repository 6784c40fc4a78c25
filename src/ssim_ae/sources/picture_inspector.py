"""Inspects the pictures of one source, the newest first: one that waits is replaced by a newer one."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime
from threading import Condition, Thread
from typing import NamedTuple, Self

import av
from av.video.reformatter import VideoReformatter

from ssim_ae.console import print_note
from ssim_ae.images.files import encode_png
from ssim_ae.server.inspector import InspectionRequest, Inspector, failure
from ssim_ae.server.recorder import RecordError
from ssim_ae.server.schemas import Failure, InspectionResponse
from ssim_ae.sources.metrics import SourceMetrics

Answer = Future[InspectionResponse]


class Result(NamedTuple):
    """The result of a source's latest inspection, and its number, from 1."""

    number: int
    result: InspectionResponse | Failure


class _Waiting(NamedTuple):
    """A picture that waits for its inspection, and the clients that wait for the result."""

    image: av.VideoFrame
    answers: tuple[Answer, ...]


class PictureInspector:
    """Inspects pictures in a thread while its `with` block runs, with the default detector.

    Room is for one picture beside the one that is being inspected. `latest` is the latest result.
    """

    def __init__(self, name: str, inspector: Inspector, metrics: SourceMetrics) -> None:
        self.name = name
        self.latest: Result | None = None
        self._inspector = inspector
        self._metrics = metrics
        self._reformatter = VideoReformatter()
        self._waiting: _Waiting | None = None
        self._is_stopped = False
        self._changed = Condition()
        self._is_failing = False  # results cannot be recorded
        self._thread = Thread(target=self._run, name=f"{name}-inspection")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Let the thread end after the picture that it inspects, and after the one that clients wait for."""
        with self._changed:
            self._is_stopped = True
            if self._waiting and not self._waiting.answers:
                self._waiting = None
            self._changed.notify()

    def offer(self, image: av.VideoFrame, answers: tuple[Answer, ...] = ()) -> None:
        """Inspect an image as soon as possible, unless a newer one comes before; `answers` get the newest's result."""
        with self._changed:
            if self._is_stopped:
                return
            if self._waiting:
                self._metrics.dropped.labels(self.name).inc()
                answers += self._waiting.answers
            self._waiting = _Waiting(image, answers)
            self._changed.notify()

    def _run(self) -> None:
        while waiting := self._next():
            try:
                response = self._inspect(waiting.image)
            except Exception as error:  # any error of one image must not stop the inspection of the next ones
                self._metrics.failed.labels(self.name).inc()
                for answer in waiting.answers:
                    answer.set_exception(error)
            else:
                for answer in waiting.answers:
                    answer.set_result(response)

    def _next(self) -> _Waiting | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_stopped)
            waiting, self._waiting = self._waiting, None
            return waiting

    def _inspect(self, image: av.VideoFrame) -> InspectionResponse:
        name = f"{self.name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"[:-3] + ".png"
        pixels = "gray" if image.format.name.startswith("gray") else "rgb24"
        data = encode_png(self._reformatter.reformat(image, format=pixels).to_ndarray())
        request = InspectionRequest(self._inspector.default, pictures=("levels",))
        result: InspectionResponse | Failure
        try:
            result = response = self._inspector.submit(data, request, name, station=self.name).result()
            self._is_failing = False
            return response
        except RecordError as error:
            result = failure(name, error)
            if not self._is_failing:
                print_note(f"{self.name}: {error}; its results are dropped until the log can be written")
            self._is_failing = True
            raise
        except Exception as error:
            result = failure(name, error)
            raise
        finally:
            self.latest = Result(self.latest.number + 1 if self.latest else 1, result)
