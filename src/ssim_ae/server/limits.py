"""Limits that protect the server: body size, request duration, response buffering and connections."""

import asyncio
from functools import cache
from math import inf
from typing import NamedTuple

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ssim_ae.machine import raise_open_file_limit
from ssim_ae.spelling import significant

MIB = 2**20  # bytes
HEAD_TIMEOUT = 10.0  # seconds to receive the head of a request, or the rest of a body after its response
MAX_CONNECTIONS = 512  # open at a time, if the process may open enough files
ACCEPT_BATCH = 16  # connections accepted in one turn of the event loop, before any of them is counted
RESERVED_FILES = 6 * ACCEPT_BATCH + 64  # for connections not yet counted (several batches) and for all other files
CHUNK_SIZE = 64 * 1024  # bytes of a response body sent at a time


class Limits(NamedTuple):
    """What the server accepts.

    `queue` is the number of images that may wait for a worker. `max_bytes` bounds the body of a request and
    `max_pixels` the area of an image. `timeout` bounds the seconds from the head of a request to the end of its
    response.
    """

    queue: int = 32
    max_bytes: int = 32 * MIB
    max_pixels: int = 25_000_000
    timeout: float = 30.0


class BodyLimitMiddleware:
    """ASGI middleware that refuses bodies of more than `max_bytes` with status 413.

    It checks the header Content-Length before the body arrives, and counts the bytes that are received.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a bounded body, or respond with status 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        detail = f"body: larger than {significant(self.max_bytes / MIB, 3)} MiB; send smaller or fewer images"
        if int(Headers(scope=scope).get("content-length", 0)) > self.max_bytes:
            await JSONResponse({"detail": detail}, 413)(scope, receive, send)
            return
        await self.app(scope, _BoundedReceive(receive, self.max_bytes, detail), send)


class _BoundedReceive:
    """An ASGI receive channel that raises HTTPException 413 once the body exceeds `max_bytes`."""

    def __init__(self, receive: Receive, max_bytes: int, detail: str) -> None:
        self.receive = receive
        self.max_bytes = max_bytes
        self.detail = detail
        self.received_bytes = 0

    async def __call__(self) -> Message:
        message = await self.receive()
        self.received_bytes += len(message.get("body", b""))
        if self.received_bytes > self.max_bytes:
            raise HTTPException(413, self.detail)
        return message


class TimeoutMiddleware:
    """ASGI middleware that ends requests that take longer than `timeout` seconds, including sending the response.

    The response has status 408 if the body did not arrive in time, else 503. A response that has already started is
    cut off.
    """

    def __init__(self, app: ASGIApp, timeout: float) -> None:
        self.app = app
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and end it when the time is over."""
        channels = _ObservedChannels(receive, send)
        try:
            async with asyncio.timeout(self.timeout):
                await self.app(scope, channels.receive, channels.send)
        except TimeoutError:
            if channels.response_started:
                return
            if channels.receiving:
                status, detail = 408, f"body: not received within {self.timeout:g} s; send it again"
            else:
                status, detail = 503, f"response: not ready within {self.timeout:g} s; try again"
            await JSONResponse({"detail": detail}, status)(scope, receive, send)


class _ObservedChannels:
    """The ASGI channels of one request, with a record of what they are doing."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.receiving = False
        self.response_started = False

    async def receive(self) -> Message:
        self.receiving = True
        message = await self._receive()
        self.receiving = False  # stays True if the wait for the body is cancelled
        return message

    async def send(self, message: Message) -> None:
        self.response_started = True
        await self._send(message)


class BackpressureMiddleware:
    """ASGI middleware that sends a response body in chunks of `CHUNK_SIZE`.

    Each chunk waits until the write buffer of the connection has room, so that a slow reader does not fill the memory.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a send channel that splits bodies."""

        async def send_in_chunks(message: Message) -> None:
            body = message.get("body", b"")
            last = max(0, len(body) - 1) // CHUNK_SIZE * CHUNK_SIZE
            for start in range(0, last, CHUNK_SIZE):
                await send({**message, "body": body[start : start + CHUNK_SIZE], "more_body": True})
            await send({**message, "body": body[last:]} if last else message)

        await self.app(scope, receive, send_in_chunks)


@cache
def max_connections() -> int:
    """Return the maximum number of open connections; it leaves enough files to accept further ones."""
    return max(1, min(MAX_CONNECTIONS, raise_open_file_limit(MAX_CONNECTIONS + RESERVED_FILES) - RESERVED_FILES))


class IdleTimeoutProtocol(H11Protocol):
    """HTTP/1.1 protocol that closes a connection if a request does not arrive within `HEAD_TIMEOUT`.

    If there are more than `max_connections()` connections, it closes the one that has waited longest for a request.
    """

    _idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request, and close another connection if there are too many."""
        super().connection_made(transport)
        self._start_timer()
        if len(self.connections) > max_connections():
            connections = [other for other in self.connections if isinstance(other, IdleTimeoutProtocol)]
            longest_idle = min(connections, key=IdleTimeoutProtocol.idle_deadline)
            longest_idle.transport.abort()
            self.connections.discard(longest_idle)  # at once: more may connect before connection_lost is called

    def data_received(self, data: bytes) -> None:
        """Stop the timer once the head of a request is complete."""
        super().data_received(data)
        if not self._is_idle:
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Start the timer for the next request and for the rest of this request's body."""
        super().on_response_complete()
        self._stop_timer()
        if self._is_idle:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def idle_deadline(self) -> float:
        """Return the event loop's time at which the connection is closed, or infinity during a request."""
        if self.transport.is_closing():  # it can stay open for long if the client does not read the rest
            return 0
        return self._idle_timer.when() if self._idle_timer else inf

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _start_timer(self) -> None:
        self._idle_timer = self.loop.call_later(HEAD_TIMEOUT, self.timeout_keep_alive_handler)

    def _stop_timer(self) -> None:
        if self._idle_timer:
            self._idle_timer.cancel()
        self._idle_timer = None
