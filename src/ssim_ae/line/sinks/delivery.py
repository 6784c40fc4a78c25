"""Delivers the messages of the outbox: a thread for each sink, so that none waits for another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Annotated, Self

from pydantic import BaseModel, Field

from ssim_ae.console import print_message
from ssim_ae.errors import InputError, first_line
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.outbox import count_after, enlist_sinks, messages_after, store_position
from ssim_ae.line.sinks.sink import Sink

BATCH = 100  # messages in memory
POLL_INTERVAL = 1.0  # seconds between two looks for messages that other processes have stored
STORE_INTERVAL = 1.0  # seconds: after a kill, what was delivered in them is delivered again
SEEN_INTERVAL = 3600.0  # seconds after which a position is stored that has not changed
MIN_RETRY, MAX_RETRY = 0.1, 30.0  # seconds: the first and the longest wait after a failure
OUTAGE = 5.0  # seconds of failures after which a line says so
STOP_TIMEOUT = 5.0  # seconds to deliver what waits when the server stops


class SinkState(BaseModel):
    """How a sink is doing."""

    name: Annotated[str, Field(description="Its URL, without query.", examples=["https://mes.example:443/parts"])]
    waiting: Annotated[int, Field(description="Messages that it has not received.", examples=[0])] = 0
    delivered: Annotated[int, Field(description="Messages that it received since the start.", examples=[4711])] = 0
    last_success: Annotated[datetime | None, Field(description="When it last received a message.")] = None
    failing_since: Annotated[datetime | None, Field(description="Since when it fails; null if it does not.")] = None
    last_error: Annotated[str, Field(description="The last failure, also after its end.", examples=[""])] = ""


class Deliveries:
    """Delivers the messages of a log's station to sinks within its `with` block.

    At the end of the block, it delivers what waits, for at most `STOP_TIMEOUT`; the rest waits for the next start.
    """

    def __init__(self, log: InspectionLog, sinks: Sequence[Sink]) -> None:
        self._log = log
        self._sinks = sinks
        self._deliveries: list[_Delivery] = []

    @property
    def states(self) -> list[SinkState]:
        """The states of all sinks."""
        return [delivery.state for delivery in self._deliveries]

    def __enter__(self) -> Self:
        opened: list[Sink] = []
        try:
            for sink in self._sinks:
                sink.open()
                opened.append(sink)
            with self._log.database.write() as connection:
                positions = enlist_sinks(connection, self._log.station, [sink.name for sink in self._sinks])
        except BaseException:
            for sink in opened:
                sink.close()
            raise
        self._deliveries = [_Delivery(self._log, sink, positions[sink.name]) for sink in self._sinks]
        self._log.wake_sinks = self._wake
        return self

    def __exit__(self, *_error: object) -> None:
        self._log.wake_sinks = None
        deadline = time.monotonic() + STOP_TIMEOUT
        for delivery in self._deliveries:
            delivery.stop(deadline)
        for delivery in self._deliveries:
            delivery.join(deadline)

    def _wake(self) -> None:
        for delivery in self._deliveries:
            delivery.wake.set()


class _Delivery:
    """Delivers messages to one sink."""

    def __init__(self, log: InspectionLog, sink: Sink, position: int) -> None:
        self.state = SinkState(name=sink.name)
        self.wake = Event()
        self._log = log
        self._sink = sink
        self._position = self._stored_position = position
        self._stored = time.monotonic()
        self._failures = 0
        self._is_outage = False  # and a line has said so
        self._stopping = Event()
        self._deadline = float("inf")
        # A daemon: a sink that hangs does not keep the server from stopping.
        self._thread = Thread(target=self._run, name=sink.name, daemon=True)
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """End soon, at the latest at the deadline."""
        self._deadline = deadline
        self._stopping.set()
        self.wake.set()

    def join(self, deadline: float) -> None:
        """Wait for the end, until shortly after the deadline."""
        self._thread.join(max(0, deadline - time.monotonic()) + 0.5)

    def _run(self) -> None:
        while True:
            try:
                delivered = self._deliver()
            except Exception as error:  # whatever it is, the messages stay and the inspections go on
                self._note_failure(error)
                if self._stopping.wait(min(MIN_RETRY * 2 ** min(self._failures - 1, 10), MAX_RETRY)):
                    break
                continue
            if not delivered:
                if self._stopping.is_set():
                    break
                self.wake.wait(POLL_INTERVAL)
                self.wake.clear()
        with suppress(InputError):  # then some messages are delivered again
            self._store_position()
        with suppress(InputError, OSError):  # the place is away, too
            self._sink.close()

    def _deliver(self) -> int:
        """Deliver the next messages; return their number."""
        self._store_position_if_due()
        with self._log.database.read() as connection:
            batch = messages_after(connection, self._log.station, self._position, BATCH)
            is_all = len(batch) < BATCH
            self.state.waiting = len(batch) if is_all else count_after(connection, self._log.station, self._position)
        self._sink.beat()
        if not batch:
            self._note_success()
        for start in range(0, len(batch), self._sink.at_once):
            if time.monotonic() > self._deadline:
                return 0
            part = batch[start : start + self._sink.at_once]
            self._sink.send(part)
            self._position = part[-1].number
            self.state.waiting -= len(part)
            self.state.delivered += len(part)
            self.state.last_success = datetime.now(UTC)
            self._note_success()
            self._store_position_if_due()
        return len(batch)

    def _store_position_if_due(self) -> None:
        is_new = self._position != self._stored_position
        if time.monotonic() - self._stored > (STORE_INTERVAL if is_new else SEEN_INTERVAL):
            self._store_position()

    def _store_position(self) -> None:
        with self._log.database.write() as connection:
            store_position(connection, self._log.station, self._sink.name, self._position)
        self._stored_position = self._position
        self._stored = time.monotonic()

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        self.state.last_error = _reason(error)
        now = datetime.now(UTC)
        since = self.state.failing_since = self.state.failing_since or now
        if not self._is_outage and (now - since).total_seconds() >= OUTAGE:
            self._is_outage = True
            print_message(f"{self.state.name}: {self.state.last_error}; messages wait in the log and are sent again")

    def _note_success(self) -> None:
        if self._is_outage:
            print_message(f"{self.state.name}: works again")
        self._failures, self._is_outage, self.state.failing_since = 0, False, None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error) if isinstance(error, (InputError, OSError)) else repr(error)
