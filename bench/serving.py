"""Measure the server under load and under attack: python bench/serving.py DETECTOR IMAGE... --output serving.md

Clients and server run on the same machine.
"""

import argparse
import http.client
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import numpy as np

from machine import description
from measure import three_digits
from ssim_ae import Detector
from ssim_ae.detector.predictions import predict
from ssim_ae.machine import cores, parallel_map

MIB = 2**20  # bytes
CROWD_CLIENTS = 200  # simultaneous clients
CROWD_REQUESTS = 5  # of each of them
UPLOAD_BYTES = 500 * MIB
BOMB_SIDE = 30_000  # pixels, as the header of the PNG states
RANDOM_BODIES = 1000
RANDOM_REQUESTS = 100
SLOW_CONNECTIONS = 150  # of the slow-loris client
SLOW_SECONDS = 12.0  # duration of the slow-loris attack
HEADERS = {"Content-Type": "application/octet-stream"}


class Exchange(NamedTuple):
    """The status of a response, and the time until it was complete."""

    status: int
    seconds: float


@contextmanager
def server(detector: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Serve on a free port; yield port and process ID. Exits if the server does not stop with status 0."""
    command = [sys.executable, "-m", "ssim_ae", "serve", str(detector), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield int(process.stdout.readline().rsplit(":", 1)[1]), process.pid
    finally:
        process.terminate()
        if process.wait(60):
            raise SystemExit(f"serve: exit status {process.returncode} after SIGTERM")


def post_bodies(port: int, bodies: Sequence[bytes], timeout: float = 60) -> list[Exchange]:
    """Send bodies one after the other on one connection."""
    exchanges = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        for body in bodies:
            start = time.perf_counter()
            connection.request("POST", "/v1/inspect", body, HEADERS)
            response = connection.getresponse()
            response.read()
            exchanges.append(Exchange(response.status, time.perf_counter() - start))
    return exchanges


def load(port: int, images: Sequence[bytes], *, clients: int, requests: int) -> tuple[list[Exchange], float]:
    """Send `requests` images from parallel clients; return the exchanges and the total seconds."""
    shares = [list(islice(cycle(images), client, client + requests // clients)) for client in range(clients)]
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        exchanges = list(chain.from_iterable(pool.map(lambda share: post_bodies(port, share), shares)))
    return exchanges, time.perf_counter() - start


def network_rate(detector: Detector, images: int) -> float:
    """Return the images/s that the network alone reconstructs, with one worker per core."""
    config = detector.config
    shape = (config.tile_count, config.channels, *config.tile_size)  # of one image
    tiles = np.random.default_rng(0).random(shape, np.float32)
    with detector.runtime.concurrent() as initialize_thread:
        run = parallel_map(
            lambda _: detector.runtime.run(tiles), range(images), initialize=initialize_thread, workers=cores()
        )
        next(run)
        start = time.perf_counter()
        count = sum(1 for _ in run)
    return count / (time.perf_counter() - start)


def predict_rate(detector: Detector, paths: Sequence[Path], images: int) -> float:
    """Return the images/s of `predict`, which reads them from files."""
    repeated = list(islice(cycle(paths), images))
    start = time.perf_counter()
    for _ in predict(detector, repeated):
        pass
    return images / (time.perf_counter() - start)


def memory(pid: int, key: str = "VmRSS") -> float:
    """Return the resident memory of a process in MiB: the current value (VmRSS) or the maximum so far (VmHWM)."""
    found = re.search(rf"{key}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found, f"no {key} of process {pid}"
    return int(found[1]) / 1024


def large_upload(port: int) -> str:
    """Send a body of 500 MiB, first with a Content-Length and then in chunks."""
    chunk = f"{MIB:x}\r\n".encode() + bytes(MIB) + b"\r\n"
    return "; ".join(
        (
            _upload(port, f"Content-Length: {UPLOAD_BYTES}", bytes(MIB)),
            _upload(port, "Transfer-Encoding: chunked", chunk),
        )
    )


def _upload(port: int, header: str, piece: bytes) -> str:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        connection.sendall(_head(header))
        sent = 0
        try:
            while sent < UPLOAD_BYTES:
                connection.sendall(piece)
                sent += MIB
        except OSError:
            pass
        return f"{_status(connection)} after {sent // MIB} MiB"


def decompression_bomb(port: int) -> str:
    """Send a PNG of a few kB whose header states a size of 30 000 x 30 000 px."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**7))) + chunk(b"IEND", b"")
    return str(post_bodies(port, [bomb])[0].status)


def garbage(port: int) -> str:
    """Send random bytes as bodies, and as whole requests."""
    rng = np.random.default_rng(0)
    bodies = [rng.bytes(int(length)) for length in rng.integers(1, 20_000, RANDOM_BODIES)]
    exchanges = post_bodies(port, bodies)
    refused = 0
    for _ in range(RANDOM_REQUESTS):
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
            connection.sendall(rng.bytes(2000) + b"\r\n\r\n")
            refused += _status(connection) in ("400", "closed")
    return f"{_status_counts(exchanges)}; random requests: {refused} of {RANDOM_REQUESTS} refused"


def slow_loris(port: int, image: bytes) -> str:
    """Send request heads byte by byte on many connections, while another client sends images."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(SLOW_CONNECTIONS)]
    for connection in connections:
        connection.sendall(b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\n")
    seconds = []
    end = time.monotonic() + SLOW_SECONDS
    closed: set[int] = set()
    while time.monotonic() < end:
        for number, connection in enumerate(connections):
            try:
                connection.sendall(b"X")
            except OSError:
                closed.add(number)
        seconds += [exchange.seconds for exchange in post_bodies(port, [image]) if exchange.status == 200]
        time.sleep(0.5)
    for connection in connections:
        connection.close()
    return (
        f"{len(closed)} of {SLOW_CONNECTIONS} closed; "
        f"{len(seconds)} other requests served, the slowest in {1000 * max(seconds):.0f} ms"
    )


def crowd(port: int, images: Sequence[bytes]) -> str:
    """Send five images from each of 200 simultaneous clients."""
    exchanges, _ = load(port, images, clients=CROWD_CLIENTS, requests=CROWD_REQUESTS * CROWD_CLIENTS)
    return _status_counts(exchanges)


def _head(header: str) -> bytes:
    return f"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n{header}\r\n\r\n".encode()


def _status(connection: socket.socket) -> str:
    try:
        return connection.recv(64).decode("latin-1").split(" ")[1]
    except (OSError, IndexError):
        return "closed"


def _status_counts(exchanges: Sequence[Exchange]) -> str:
    counts = Counter(exchange.status for exchange in exchanges)
    return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))


def measure_load(detector: Path, paths: Sequence[Path], clients: int, requests: int) -> Iterator[str]:
    """Yield the lines of the table of rates, latencies and memory."""
    images = [path.read_bytes() for path in paths]
    loaded = Detector.load(detector, device_target="CPU")
    network = network_rate(loaded, max(20, requests // 20))
    predicted = predict_rate(loaded, paths, max(20, requests // 20))
    with server(detector) as (port, pid):
        load(port, images, clients=clients, requests=20 * clients)
        before = memory(pid)
        exchanges, seconds = load(port, images, clients=clients, requests=requests)
        latencies = sorted(1000 * exchange.seconds for exchange in exchanges)  # ms
        percentiles = quantiles(latencies, n=100)
        p50, p99, slowest = three_digits(percentiles[49]), three_digits(percentiles[98]), three_digits(latencies[-1])
        yield "| | |"
        yield "|---|---|"
        yield f"| server, {clients} clients, images/s | {three_digits(len(exchanges) / seconds)} |"
        yield f"| network alone, images/s | {three_digits(network)} |"
        yield f"| ssim-ae predict on the same files, images/s | {three_digits(predicted)} |"
        yield f"| latency: p50, p99, maximum | {p50}, {p99}, {slowest} ms |"
        yield f"| responses by status | {_status_counts(exchanges)} |"
        yield f"| memory before and after {len(exchanges):,} requests | {before:.0f}, {memory(pid):.0f} MiB |"


def measure_attacks(detector: Path, paths: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of the table of attacks, each with its responses and the memory of the server."""
    images = [path.read_bytes() for path in paths]
    attacks: dict[str, Callable[[int], str]] = {
        "body of 500 MiB, with Content-Length and in chunks": large_upload,
        "PNG of 10 kB that decodes to 900 megapixels": decompression_bomb,
        "random bytes as bodies and as requests": garbage,
        f"{SLOW_CONNECTIONS} slow request heads, {SLOW_SECONDS:.0f} s": lambda port: slow_loris(port, images[0]),
        f"{CROWD_CLIENTS} simultaneous clients": lambda port: crowd(port, images),
    }
    with server(detector) as (port, pid):
        post_bodies(port, images)
        yield f"\nAttacks, on a server that uses {memory(pid):.0f} MiB:\n"
        yield "| attack | responses | maximum memory so far, MiB | still serving |"
        yield "|---|---|---|---|"
        for name, attack in attacks.items():
            responses = attack(port)
            serving = post_bodies(port, images[:1])[0].status == 200
            yield f"| {name} | {responses} | {memory(pid, 'VmHWM'):.0f} | {'yes' if serving else 'no'} |"


def main() -> None:
    """Measure, print the tables, and write them if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", type=Path, help="detector file, or folder of a run")
    parser.add_argument("images", type=Path, nargs="+", metavar="image", help="images that the clients send")
    parser.add_argument("--clients", type=int, default=8, help="simultaneous clients (8)")
    parser.add_argument("--requests", type=int, default=10_000, help="images in total (10000)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables as Markdown")
    options = parser.parse_args()
    crop_size = Detector.load(options.detector).config.crop_size
    lines = [
        "# The server under load and under attack",
        "",
        description(),
        f"- detector: patches of {crop_size} px",
        "",
    ]
    tables = chain(
        measure_load(options.detector, options.images, options.clients, options.requests),
        measure_attacks(options.detector, options.images),
    )
    for line in tables:
        print(line, flush=True)
        lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
