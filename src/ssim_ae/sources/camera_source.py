"""A source that runs beside the server: reads pictures, selects those to inspect, and reconnects."""

from __future__ import annotations

from threading import Event, Lock, Thread
from time import monotonic
from typing import Literal, Self

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.server.inspector import Inspector
from ssim_ae.sources.cameras import CameraError, Picture, pictures_of
from ssim_ae.sources.live_picture import LivePicture, LiveView
from ssim_ae.sources.metrics import SourceMetrics
from ssim_ae.sources.picture_inspector import Answer, PictureInspector
from ssim_ae.sources.settings import SourceSettings
from ssim_ae.sources.triggers import NO_THUMBNAIL, THUMBNAIL_SIZE

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0  # seconds until a source that is away is tried again; doubled each time
STOP_TIMEOUT = 0.5  # seconds to wait for the thread that reads; it can be waiting for data
State = Literal["connecting", "connected", "away", "ended"]


class SourceAwayError(InputError):
    """A source has no pictures at the moment."""


class CameraSource:
    """Reads the pictures of a source in a thread while its `with` block runs.

    A source that is away is tried again, at first after a second, then after twice as long each time. `latest` is the
    latest picture.
    """

    def __init__(self, settings: SourceSettings, inspector: Inspector, metrics: SourceMetrics) -> None:
        self.settings = settings
        self.name = settings.name
        self.trigger = settings.trigger()
        self.inspections = PictureInspector(self.name, inspector, metrics)
        self.live = LiveView()
        self.state: State = "connecting"
        self.latest: LivePicture | None = None
        self._metrics = metrics
        self._max_pixels = inspector.limits.max_pixels
        self._reformatter = VideoReformatter()
        self._requests: list[Answer] = []
        self._requests_lock = Lock()
        self._stopped = Event()
        self._stop_deadline = 0.0  # monotonic time
        self._thread = Thread(target=self._run, name=f"{self.name}-reader", daemon=True)  # it may wait for data

    def __enter__(self) -> Self:
        self._metrics.add_source(self.name)
        self.inspections.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._thread.join(max(0.0, self._stop_deadline - monotonic()))
        self.inspections.__exit__()
        self._leave("ended")

    def stop(self) -> None:
        """Let the threads end, without waiting for them."""
        if not self._stopped.is_set():
            self._stop_deadline = monotonic() + STOP_TIMEOUT
            self._stopped.set()
            self.inspections.stop()

    def request(self) -> Answer:
        """Return the future result of the next picture. Raises SourceAwayError if the source is not connected."""
        with self._requests_lock:
            if self.state != "connected":
                raise self._away_error()
            answer = Answer()
            self._requests.append(answer)
            return answer

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._stopped.is_set():
            reason = "the stream has ended"
            try:
                for picture in pictures_of(self.settings, self._stopped):
                    self._check_size(picture.image)
                    self._set_connected()
                    self._accept(picture)
                    delay = FIRST_DELAY
                if self._stopped.is_set():
                    return
                if self.settings.kind == "video":
                    print_note(f"{self.name}: the video has ended")
                    self._leave("ended")
                    return
            except CameraError as error:
                reason = str(error)
            except Exception as error:  # of a driver; its message may contain the address
                reason = type(error).__name__
            self._set_away(reason)
            self._stopped.wait(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    def _set_connected(self) -> None:
        if self.state == "away":
            print_note(f"{self.name}: connected again")
        self.state = "connected"
        self._metrics.connected.labels(self.name).set(1)

    def _set_away(self, reason: str) -> None:
        if self.state != "away" and not self._stopped.is_set():
            print_note(f"{self.name}: away: {reason}; tried again until it answers")
            self._metrics.disconnections.labels(self.name).inc()
        self._leave("away")

    def _leave(self, state: State) -> None:
        """Set the state of a source without pictures, and refuse the requests that wait for one."""
        with self._requests_lock:
            self.state = state
            requests, self._requests = self._requests, []
        self._metrics.connected.labels(self.name).set(0)
        for answer in filter(Answer.set_running_or_notify_cancel, requests):
            answer.set_exception(self._away_error())

    def _away_error(self) -> SourceAwayError:
        return SourceAwayError(f"{self.name}: {self.state}; try again when it is connected")

    def _check_size(self, image: av.VideoFrame) -> None:
        if image.width * image.height > self._max_pixels:
            limit = f"{self._max_pixels / 1e6:g} megapixels; raise --max_megapixels"
            raise CameraError(f"its pictures of {image.width} x {image.height} px are larger than {limit}")

    def _accept(self, picture: Picture) -> None:
        self._metrics.pictures.labels(self.name).inc()
        self.latest = LivePicture(self.latest.number + 1 if self.latest else 1, picture.image)
        with self._requests_lock:
            requests, self._requests = self._requests, []
        answers = tuple(filter(Answer.set_running_or_notify_cancel, requests))
        if self.trigger.fires(self._thumbnail(picture.image), picture.time) or answers:
            self.inspections.offer(picture.image, answers)

    def _thumbnail(self, image: av.VideoFrame) -> np.ndarray:
        if not self.trigger.needs_thumbnail:
            return NO_THUMBNAIL
        return self._reformatter.reformat(image, *THUMBNAIL_SIZE, format="gray", interpolation="AREA").to_ndarray()
