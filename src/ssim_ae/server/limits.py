"""What protects the server: how much it takes in, for how long, and from whom."""

import asyncio
from functools import cache
from math import inf
from typing import NamedTuple

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ssim_ae.machine import files_to_open

MIB = 2**20
HEAD_SECONDS = 10.0  # for a request's head to arrive, and for what is left of its body once it is answered
MAX_CONNECTIONS = 512  # at once, where the process may open as many files ...
BACKLOG = 16  # connections accepted at once; a few times as many are open before the first of them is counted
FILES_APART = 6 * BACKLOG + 64  # ... besides these, and what it has open anyway
PIECE = 64 * 1024  # bytes of an answer sent at once


class Limits(NamedTuple):
    """What is accepted. `queue`: images that may wait for a worker; `seconds`: from a request's head to its answer."""

    queue: int = 32
    max_bytes: int = 32 * MIB
    max_pixels: int = 25_000_000
    seconds: float = 30.0


class BodyLimit:
    """Refuses bodies of more than `max_bytes`, by what their length is said to be and by what comes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        detail = f"the body is larger than {self.max_bytes / MIB:.3g} MiB"
        if int(Headers(scope=scope).get("content-length", 0)) > self.max_bytes:
            await JSONResponse({"detail": detail}, 413)(scope, receive, send)
            return
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise HTTPException(413, detail)
            return message

        await self.app(scope, counting, send)


class Deadline:
    """Ends requests that take more than `seconds`, from their head to the last byte of their answer."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listening = started = False

        async def receiving() -> Message:
            nonlocal listening
            listening = True
            message = await receive()
            listening = False
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self.seconds):
                await self.app(scope, receiving, sending)
        except TimeoutError:
            if started:
                return  # to one who does not read it
            status, what = (408, "the body did not arrive") if listening else (503, "no answer")
            problem = JSONResponse({"detail": f"{what} within {self.seconds:g} s"}, status)
            await problem(scope, receive, send)


class Paced:
    """Sends an answer piece by piece, each once there is room: it waits for a slow reader, and buffers little."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def pacing(message: Message) -> None:
            body = message.get("body", b"")
            last = max(0, len(body) - 1) // PIECE * PIECE
            for start in range(0, last, PIECE):
                await send({**message, "body": body[start : start + PIECE], "more_body": True})
            await send({**message, "body": body[last:]} if last else message)

        await self.app(scope, receive, pacing)


@cache
def max_connections() -> int:
    """Return how many connections are kept at once: one more would leave no file to accept it with."""
    return max(1, min(MAX_CONNECTIONS, files_to_open(MAX_CONNECTIONS + FILES_APART) - FILES_APART))


class PromptProtocol(H11Protocol):
    """HTTP for those who ask promptly: a connection on which a request is long in coming is closed.

    Of too many connections the one that has waited longest for a request is closed.
    """

    late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request its time."""
        super().connection_made(transport)
        self._set_timer()
        if len(self.connections) > max_connections():
            connections = [other for other in self.connections if isinstance(other, PromptProtocol)]
            first = min(connections, key=PromptProtocol.due)
            first.transport.abort()
            self.connections.discard(first)  # now: others may come before it is heard of as lost

    def data_received(self, data: bytes) -> None:
        """Stop the clock once a request has begun."""
        super().data_received(data)
        if not self._waiting:
            self._stop_timer()

    def on_response_complete(self) -> None:
        """Give the next request its time, and what is left of this one's body."""
        super().on_response_complete()
        self._stop_timer()
        if self._waiting:
            self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def due(self) -> float:
        """Return when it is closed, in the loop's seconds: never while a request is answered."""
        if self.transport.is_closing():  # though nobody may read what it still has to send
            return 0
        return self.late.when() if self.late else inf

    @property
    def _waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _set_timer(self) -> None:
        self.late = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _stop_timer(self) -> None:
        if self.late:
            self.late.cancel()
        self.late = None
