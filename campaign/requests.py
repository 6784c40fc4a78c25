"""Sends mutated HTTP requests to a real server and checks that it responds or closes the connection, and survives."""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from select import select

import numpy as np

from campaign.mutate import mutated
from campaign.products import Products
from campaign.row import Row

GUARANTEE = (
    "A response or a closed connection within 5 s; the server keeps running, prints nothing and uses no more memory."
)
RESPONSE_TIMEOUT = 5.0  # seconds until there must be a response or a closed connection
EARLY_CLOSE_SECONDS = 0.05  # without a response, after which the client ends its side of the connection
WARM_UP_REQUESTS = 1000  # after which memory must not grow
MAX_MEMORY_GROWTH = 0.2  # of the memory after the warm-up
REQUEST_SHARE = 0.05  # of the number of mutations
SEED = 77
VALID_STATUS = re.compile(rb"HTTP/1\.1 [2-4]\d\d |$")  # no 5xx; empty for a closed connection


def rows(products: Products, _folder: Path, times: int) -> Iterator[Row]:
    """Send 1000 x `times` x REQUEST_SHARE mutated requests and yield one row."""
    count = int(1000 * times * REQUEST_SHARE)
    failures = []
    with server(products.detector) as (process, port, stderr):
        requests = valid_requests(next((products.dataset / "test" / "good").iterdir()).read_bytes())
        failures += [f"before: {response[:99]!r}" for response in failed_responses(port, requests)]
        memory_before = 0.0
        for index in range(count):
            request = mutated(requests[index % len(requests)], np.random.default_rng([index, SEED]))
            response = send(port, request)
            if not VALID_STATUS.match(response):
                failures.append(f"request {index}: {response[:100]!r}")
            if index == WARM_UP_REQUESTS:
                memory_before = resident(process.pid)
        memory_after = resident(process.pid)
        if memory_before and memory_after > memory_before * (1 + MAX_MEMORY_GROWTH):
            failures.append(f"memory grew from {memory_before:,.0f} to {memory_after:,.0f} MiB")
        failures += [f"after: {response[:99]!r}" for response in failed_responses(port, requests)]
        stderr.seek(0)
        if text := stderr.read():
            failures.append(f"standard error: {text[:300]!r}")
    outcome = "passed"
    if memory_before:
        outcome += f"; {memory_before:,.0f} MiB after {WARM_UP_REQUESTS:,} requests, {memory_after:,.0f} at the end"
    yield Row("HTTP requests, mutated", count, outcome, GUARANTEE, failures)


@contextmanager
def server(detector: Path) -> Iterator[tuple[subprocess.Popen[str], int, "tempfile._TemporaryFileWrapper[bytes]"]]:
    """Serve a detector in a new process; yield the process, its port and a file with its standard error."""
    command = [sys.executable, "-m", "ssim_ae", "serve", str(detector), "--port", "0", "--device_target", "CPU"]
    with tempfile.NamedTemporaryFile() as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert process.stdout
        try:
            yield process, int(process.stdout.readline().rsplit(":", 1)[1]), stderr
        finally:
            process.terminate()
            process.wait(60)


def valid_requests(image: bytes) -> list[bytes]:
    """Return a valid request for each route; the server responds to each with status 200."""
    boundary = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n'
    form = boundary + b"Content-Type: image/png\r\n\r\n" + image + b"\r\n--b--\r\n"
    return [
        _request("POST /v1/inspect?pictures=heatmap&sensitivity=1.5", "application/octet-stream", image),
        _request("POST /v1/inspect", "multipart/form-data; boundary=b", form.replace(b"images", b"image")),
        _request("POST /v1/inspect/batch", "multipart/form-data; boundary=b", form),
        *(_request(f"GET {path}", "text/plain", b"") for path in ("/", "/v1/detectors", "/metrics", "/healthz")),
    ]


def _request(line: str, content_type: str, body: bytes) -> bytes:
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def failed_responses(port: int, requests: Sequence[bytes]) -> list[bytes]:
    """Send valid requests; return the responses with a status other than 200."""
    responses = [send(port, request, RESPONSE_TIMEOUT) for request in requests]
    return [response for response in responses if not response.startswith(b"HTTP/1.1 200 ")]


def send(port: int, request: bytes, early_close: float = EARLY_CLOSE_SECONDS) -> bytes:
    """Send bytes; return the beginning of the response, or b"" if the server closes the connection.

    A mutated request can announce more bytes than it has. If there is no response after `early_close` seconds, the
    client therefore ends its side of the connection, so that the server does not wait for the rest.
    """
    start = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=RESPONSE_TIMEOUT)) as connection:
        try:
            connection.sendall(request)
            if not select([connection], [], [], early_close)[0]:
                connection.shutdown(socket.SHUT_WR)
            return connection.recv(4096)
        except ConnectionError:
            return b""
        except TimeoutError:
            return f"no response within {time.monotonic() - start:.1f} s".encode()


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB, or 0 if it has ended."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
