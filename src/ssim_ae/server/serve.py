"""Runs the server: loads detectors, listens on a socket, and serves until a signal stops it."""

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

from ssim_ae.console import print_note
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.run_folder import DETECTOR_NAME
from ssim_ae.errors import InputError
from ssim_ae.locations import local_path
from ssim_ae.server.app import create_app
from ssim_ae.server.extension import Extension
from ssim_ae.server.folder_watcher import FolderWatcher, WatchedFolder
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.limits import ACCEPT_BATCH, IdleTimeoutProtocol, Limits
from ssim_ae.server.recorder import Recorder
from ssim_ae.server.roles import Access
from ssim_ae.server.watched_results import WatchedResults

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")  # values of the header Host from this machine
LISTEN_BACKLOG = 512  # connections that the operating system holds until they are accepted
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def detectors_by_name(locations: Sequence[str]) -> dict[str, Path]:
    """Return the paths of detectors by name.

    A location is NAME=PATH or a path. The name of a path is that of the run's folder or the stem of the file. Raises
    InputError if two detectors have the same name.
    """
    paths: dict[str, Path] = {}
    for location in locations:
        named = re.fullmatch(r"([\w.-]+)=(.+)", location)
        path = Path(local_path(named[2] if named else location))
        name = named[1] if named else _default_name(path)
        if name in paths:
            raise InputError(f"{name}: two detectors have this name; rename one with NAME={path}")
        paths[name] = path
    return paths


def serve(
    detectors: Mapping[str, Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    watch: Sequence[WatchedFolder] = (),
    tokens: Sequence[Access] = (),
    limits: Limits | None = None,
    runtime: str = "auto",
    device_target: str = "auto",
    threads: int | None = None,
    recorder: Recorder | None = None,
    extensions: Sequence[Extension] = (),
) -> None:
    """Serve detectors until SIGINT or SIGTERM, then finish the running requests.

    `watch` are folders whose new images are inspected with the first detector. With a `recorder`, no result is given
    out before it is recorded. Raises InputError if the server cannot start.
    """
    with suppress(KeyboardInterrupt), listening_socket(host, port) as listener, ExitStack() as resources:
        load = partial(Detector.load, runtime=runtime, device_target=device_target, threads=threads)
        loaded = {name: load(path) for name, path in detectors.items()}
        inspector = resources.enter_context(Inspector(loaded, limits=limits, threads=threads, recorder=recorder))
        watched = WatchedResults() if watch else None
        for folder, station in watch:
            watcher = FolderWatcher(folder, inspector, station=station, results=watched)
            resources.enter_context(watcher)
            if watcher.suffix:
                suffix = watcher.suffix
                print_note(f"{folder}: only images whose names end with {suffix} are inspected, as in the training")
        for extension in extensions:
            if extension.run:
                resources.enter_context(extension.run(inspector))
        is_loopback = ip_address(listener.getsockname()[0]).is_loopback
        if not is_loopback and not tokens:
            print_note(f"{host}: anyone on this network can use the server; use --token or --tokens to require a token")
        allowed_hosts = (*LOOPBACK_HOSTS, host) if is_loopback else None
        app = create_app(inspector, watched=watched, tokens=tokens, allowed_hosts=allowed_hosts, extensions=extensions)
        with _signals_ignored_outside_uvicorn():
            Server(app, f"serving {', '.join(loaded)} at {_url(host, listener)}").run([listener])
    print("stopped", flush=True)


class Server(uvicorn.Server):
    """A uvicorn server with the limits of an application and without log output.

    It prints `startup_message` once it accepts connections.
    """

    def __init__(self, app: FastAPI, startup_message: str = "") -> None:
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it logs each invalid byte of a form
        limits: Limits = app.state.inspector.limits
        config = uvicorn.Config(
            app,
            loop="asyncio",
            backlog=ACCEPT_BATCH,
            http=IdleTimeoutProtocol,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=[("X-Content-Type-Options", "nosniff")],
            timeout_graceful_shutdown=ceil(limits.timeout) + 1,  # by then each request has ended or timed out
        )
        super().__init__(config)
        self.startup_message = startup_message

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections in small batches, with a long queue in the operating system."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(LISTEN_BACKLOG)  # uvicorn has set it to ACCEPT_BATCH
        if self.startup_message:
            print(self.startup_message, flush=True)


@contextmanager
def _signals_ignored_outside_uvicorn() -> Iterator[None]:
    """Ignore stop signals except while uvicorn handles them: it raises them again when it has stopped."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port, or on a free port for 0.

    Raises InputError if the host is unknown or the port is not available.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"port: should be from 0 to 65535, not {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "already in use; choose another port with --port" if in_use else error.strerror
        raise InputError(f"{host}:{port}: {reason}") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without it each response body is 40 ms late
    return listener


def _url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _default_name(path: Path) -> str:
    if path.is_dir():
        return path.resolve().name
    if path.stem == Path(DETECTOR_NAME).stem:
        return path.parent.resolve().name
    return path.stem
