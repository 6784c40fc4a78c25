"""Ray: start or join a cluster, and have it work on parts. Ray schedules, and repeats what dies with a worker."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ssim_ae.batch.parts import Part
from ssim_ae.batch.work import Work
from ssim_ae.errors import InputError, first_line
from ssim_ae.frameworks import LOCAL_RAY, import_ray
from ssim_ae.machine import cores

EXISTING = "auto"  # Ray's name for the cluster of this machine
LOOPBACK = "127.0.0.1"
ANSWER_TIMEOUT = 5  # s
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # Ray speaks gRPC, thus HTTP/2 (RFC 9113, sections 3.4 and 6.5)
SETTINGS = b"\x04"  # type of a frame, its fourth byte
EMPTY_SETTINGS = b"\x00\x00\x00" + SETTINGS + bytes(5)
MAX_DEATHS = 20  # of workers and nodes, after which a part is given up: something in it ends them
PARTS_PER_CORE = 2  # that are given to Ray ahead, to bound the memory
Result = TypeVar("Result")


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Join the cluster at an address for the block; `local` starts one that uses no network.

    Raises InputError if none answers, or it does not start.
    """
    ray = import_ray(loopback=is_loopback(address))
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"address": address, "logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL_RAY:
        options |= {"include_dashboard": False, "num_cpus": cores()}
    elif address != EXISTING:
        _check_answers(address)
    if is_loopback(address):
        options["_node_ip_address"] = LOOPBACK
    try:
        ray.init(**options)
    except Exception as error:  # Ray raises exceptions of no class of its own, too
        fault = "Ray does not start" if address == LOCAL_RAY else "no Ray cluster answers"
        raise InputError(f"--ray {address}: {fault} ({first_line(error)})") from error
    try:
        yield
    finally:
        ray.shutdown()


def is_loopback(address: str) -> bool:
    """Return whether all of a cluster is on this machine, and reached without a network."""
    return address == LOCAL_RAY or address.startswith(f"{LOOPBACK}:")


def map_on_cluster(
    function: Callable[[Work, Part], Result], work: Work, parts: Iterable[Part], *, local_images: bool
) -> Iterator[Result]:
    """Yield `function(work, part)` for the parts as workers complete them.

    Raises InputError if a worker cannot use the detector, the folder or the place, or if a part is given up; OSError if
    the machine or the object store of a worker fails repeatedly.
    """
    import ray

    folder = str(Path.cwd()) if local_images else ""
    options: dict[str, Any] = {"num_cpus": 1, "max_retries": MAX_DEATHS, "retry_exceptions": [OSError]}
    if work.device_target == "GPU":
        options["num_gpus"] = 1
    run = ray.remote(**options)(_on_worker).options(name=function.__name__, scheduling_strategy="SPREAD")
    shared = ray.put((function, work, folder))
    pending: set[Any] = set()
    try:
        for part in parts:
            while len(pending) >= max(1, int(PARTS_PER_CORE * ray.cluster_resources().get("CPU", 1))):
                yield _next_result(pending)
            pending.add(run.remote(shared, part))
        while pending:
            yield _next_result(pending)
    finally:
        for task in pending:
            ray.cancel(task)


def _on_worker(shared: tuple[Callable[[Work, Part], Result], Work, str], part: Part) -> Result:
    function, work, folder = shared
    if folder:  # images and their folder are named as on the machine that started the job
        try:
            os.chdir(folder)
        except OSError as error:
            raise InputError(
                f"{folder}: not on {socket.gethostname()}; use a folder that all machines share, or a bucket"
            ) from error
    return function(work, part)


def _next_result(pending: set[Any]) -> Any:
    import ray

    done, _ = ray.wait(list(pending), num_returns=1)
    pending.difference_update(done)
    try:
        return ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise InputError(f"on a worker: {error.cause}") from None
        if isinstance(error.cause, OSError):
            raise OSError(error.cause.errno, error.cause.strerror or str(error.cause)) from None
        raise
    except ray.exceptions.RayError as error:
        raise InputError(f"a part was given up: {first_line(error)}") from error


def _check_answers(address: str) -> None:
    """Raise InputError if no program that may be Ray answers. `ray.init` would wait for minutes for any other."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), ANSWER_TIMEOUT) as connection:
            answers = _uses_tls() or _speaks_http2(connection)
    except (OSError, ValueError):
        answers = False
    if not answers:
        raise InputError(f"--ray {address}: no Ray cluster answers; give HOST:PORT of one, or {EXISTING}")


def _speaks_http2(connection: socket.socket) -> bool:
    """Return whether what is connected answers as a server of HTTP/2 does."""
    connection.sendall(HTTP2_PREFACE + EMPTY_SETTINGS)
    return connection.recv(len(EMPTY_SETTINGS))[3:4] == SETTINGS


def _uses_tls() -> bool:
    """Return whether Ray uses TLS: then it ends a connection that does not."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")
