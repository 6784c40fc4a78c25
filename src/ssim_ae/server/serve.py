"""Serves detectors over HTTP until it is told to stop."""

from __future__ import annotations

import errno
import logging
import re
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from math import ceil
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ssim_ae.console import note
from ssim_ae.detector.detector import DETECTOR_NAME, Detector
from ssim_ae.errors import InputError
from ssim_ae.locations import local
from ssim_ae.server.app import create_app
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.limits import BACKLOG, Limits, PromptProtocol

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")  # what a browser on this machine calls the server
WAITING = 512  # connections that the system holds until they are accepted
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def named(places: Sequence[str]) -> dict[str, Path]:
    """Return detectors' paths by name: NAME=PATH, else a run's folder or a file's stem. InputError for a name twice."""
    found: dict[str, Path] = {}
    for place in places:
        given = re.fullmatch(r"([\w.-]+)=(.+)", place)
        path = Path(local(given[2] if given else place))
        name = given[1] if given else _name(path)
        if name in found:
            raise InputError(f"two detectors are called {name!r}; call one otherwise: NAME={path}")
        found[name] = path
    return found


def serve(
    detectors: Mapping[str, Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    watch: Path | None = None,
    token: str | None = None,
    limits: Limits | None = None,
    runtime: str = "auto",
    device_target: str = "auto",
    threads: int | None = None,
) -> None:
    """InspectionResponse until SIGINT or SIGTERM, then finish what is running. InputError where the server cannot start.

    `watch`: a folder; images that come into it are inspected with the first detector.
    """
    if token and not re.fullmatch(r"[!-~]+", token):
        raise InputError("token: should be letters, digits and signs of ASCII, without spaces")
    with suppress(KeyboardInterrupt), bound(host, port) as listener, ExitStack() as opened:
        load = partial(Detector.load, runtime=runtime, device_target=device_target, threads=threads)
        loaded = {name: load(path) for name, path in detectors.items()}
        inspector = opened.enter_context(Inspector(loaded, limits=limits, threads=threads))
        watching = opened.enter_context(FolderWatcher(watch, inspector)) if watch else None
        private = ip_address(listener.getsockname()[0]).is_loopback
        if not private and not token:
            note("anyone on this network can use the server; with --token only who knows it")
        app = create_app(inspector, watch=watching, token=token, hosts=(*LOOPBACK, host) if private else None)
        with _signals_left_to_uvicorn():
            Server(app, f"serving {', '.join(loaded)} at {_url(host, listener)}").run([listener])
    print("stopped", flush=True)


class Server(uvicorn.Server):
    """Uvicorn as it runs an application here: promptly, and without a word but the greeting."""

    def __init__(self, app: FastAPI, greeting: str = "") -> None:
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # else a line a wrong byte
        limits: Limits = app.state.inspector.limits
        config = uvicorn.Config(
            app,
            loop="asyncio",
            backlog=BACKLOG,
            http=PromptProtocol,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=[("X-Content-Type-Options", "nosniff")],
            timeout_graceful_shutdown=ceil(limits.seconds) + 1,  # all are answered, or late, by then
        )
        super().__init__(config)
        self.greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, a few at once; the system holds many more until then."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(WAITING)
        if self.greeting:
            print(self.greeting, flush=True)


@contextmanager
def _signals_left_to_uvicorn() -> Iterator[None]:
    """It raises those that stopped it once more when it is done: here they have been heard."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens. InputError where it cannot."""
    if not 0 <= port < 2**16:
        raise InputError(f"port: should be from 0 to 65535, not {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise InputError(f"{host}:{port}: {'already in use' if taken else error.strerror}") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an answer's body waits 40 ms for its head
    return listener


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _name(path: Path) -> str:
    if path.is_dir() or path.stem == Path(DETECTOR_NAME).stem:
        return (path if path.is_dir() else path.parent).resolve().name
    return path.stem
