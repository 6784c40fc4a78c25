"""Changed HTTP requests to a real server: each is answered or its connection closed, soon, and the server lives on."""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from select import select

import numpy as np

from campaign.mutate import mutated
from campaign.products import Products
from campaign.row import Row

PROMISE = "An answer, or a closed connection, within 5 s; the server serves on, says nothing, and holds no more memory."
SECONDS = 5.0
PATIENCE = 0.05
WARM = 1000  # requests, after which memory is not to grow
SHARE = 0.05  # of all mutations


def rows(products: Products, folder: Path, times: int) -> Iterator[Row]:
    """Send `times` thousand x SHARE requests."""
    count = int(1000 * times * SHARE)
    failures = []
    with server(products.detector) as (process, port, said):
        requests = valid(next((products.dataset / "test" / "good").iterdir()).read_bytes())
        before = memory = 0.0
        failures += [f"undisturbed: {answer[:99]!r}" for answer in unanswered(port, requests)]
        for index in range(count):
            rng = np.random.default_rng([index, 77])
            sent = mutated(requests[index % len(requests)], rng)
            answer = ask(port, sent)
            if not re.match(rb"HTTP/1\.1 [2-4]\d\d |$", answer):
                failures.append(f"request {index}: {answer[:100]!r}")
            if index == WARM:
                before = resident(process.pid)
        memory = resident(process.pid)
        if before and memory > before * 1.2:
            failures.append(f"memory went from {before:,.0f} to {memory:,.0f} MiB")
        failures += [f"afterwards: {answer[:99]!r}" for answer in unanswered(port, requests)]
        said.seek(0)
        if text := said.read():
            failures.append(f"it said: {text[:300]!r}")
    told = f"kept; {before:,.0f} MiB after {WARM:,}, {memory:,.0f} at the end" if before else "kept"
    yield Row("HTTP requests, changed", count, told, PROMISE, failures)


@contextmanager
def server(detector: Path) -> Iterator[tuple[subprocess.Popen[str], int, "tempfile._TemporaryFileWrapper[bytes]"]]:
    """Serve a detector in a process of its own; give it, its port, and what it says."""
    command = [sys.executable, "-m", "ssim_ae", "serve", str(detector), "--port", "0", "--device_target", "CPU"]
    with tempfile.NamedTemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        assert process.stdout
        try:
            yield process, int(process.stdout.readline().rsplit(":", 1)[1]), said
        finally:
            process.terminate()
            process.wait(60)


def valid(image: bytes) -> list[bytes]:
    """Return requests of all kinds that the server answers with 200."""
    boundary = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n'
    form = boundary + b"Content-Type: image/png\r\n\r\n" + image + b"\r\n--b--\r\n"
    return [
        _request("POST /v1/inspect?pictures=heatmap&sensitivity=1.5", "application/octet-stream", image),
        _request("POST /v1/inspect", "multipart/form-data; boundary=b", form.replace(b"images", b"image")),
        _request("POST /v1/inspect/batch", "multipart/form-data; boundary=b", form),
        *(_request(f"GET {path}", "text/plain", b"") for path in ("/", "/v1/detectors", "/metrics", "/healthz")),
    ]


def _request(line: str, kind: str, body: bytes) -> bytes:
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def unanswered(port: int, requests: list[bytes]) -> list[bytes]:
    """Return the answers to good requests that are not good."""
    return [answer for sent in requests if not (answer := ask(port, sent, SECONDS)).startswith(b"HTTP/1.1 200 ")]


def ask(port: int, sent: bytes, patience: float = PATIENCE) -> bytes:
    """Send bytes; return what comes first of the answer, nothing where the connection is closed.

    Where there is none for so many seconds, more may be waited for: it is told that nothing more will come.
    """
    start = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=SECONDS)) as connection:
        try:
            connection.sendall(sent)
            if not select([connection], [], [], patience)[0]:
                connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except (ConnectionError, BrokenPipeError):
            return b""
        except TimeoutError:
            return f"no answer for {time.monotonic() - start:.1f} s".encode()
    return answer


def resident(process: int) -> float:
    """Return a process's memory, MiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
