"""The server under load and under attack: python bench/serving.py DETECTOR IMAGE... [--output docs/bench/serving.md]

All on this machine: clients and server share its cores.
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
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles

import numpy as np

from machine import description
from measure import figure
from ssim_ae import Detector
from ssim_ae.detector.predictions import predict
from ssim_ae.machine import cores, in_parallel
from ssim_ae.maps.tiles import tile_starts

MIB = 2**20
CROWD = 200  # clients at once
UPLOAD = 500 * MIB
SLOW = 150  # connections of a slow-loris client
SLOW_SECONDS = 12.0
HEADERS = {"Content-Type": "application/octet-stream"}


@contextmanager
def server(detector: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Serve on a free port; give its port and process number. Fails if it does not stop with 0 when told to."""
    command = [sys.executable, "-m", "ssim_ae", "serve", str(detector), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(re.search(r":(\d+)$", process.stdout.readline().strip())[1]), process.pid
    finally:
        process.terminate()
        if process.wait(60):
            raise SystemExit(f"the server ended with {process.returncode}")


def asked(port: int, bodies: Sequence[bytes], timeout: float = 60) -> list[tuple[int, float]]:
    """Send bodies one after the other on one connection; return statuses and seconds."""
    answers = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        for body in bodies:
            start = time.perf_counter()
            connection.request("POST", "/v1/inspect", body, HEADERS)
            response = connection.getresponse()
            response.read()
            answers.append((response.status, time.perf_counter() - start))
    return answers


def load(port: int, images: Sequence[bytes], *, clients: int, requests: int) -> tuple[list[tuple[int, float]], float]:
    """Let clients send `requests` images in all; return statuses and seconds of each, and the seconds of all."""
    shares = [list(islice(cycle(images), client, client + requests // clients)) for client in range(clients)]
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for found in pool.map(lambda share: asked(port, share), shares) for answer in found]
    return answers, time.perf_counter() - start


def network_rate(detector: Detector, images: int) -> float:
    """Return how many images a second the network alone would reconstruct, a core each."""
    config = detector.config
    tiles = len(tile_starts(detector.view.size, config.crop_size, config.stride)) ** 2
    shape = (tiles, config.channels, config.crop_size, config.crop_size)
    patches = np.random.default_rng(0).random(shape, np.float32)
    with detector.runtime.concurrent() as initialize_thread:
        run = in_parallel(
            lambda _: detector.runtime.reconstruct(patches), range(images), begin=initialize_thread, workers=cores()
        )
        next(run)
        start = time.perf_counter()
        count = sum(1 for _ in run)
    return count / (time.perf_counter() - start)


def predict_rate(detector: Detector, paths: Sequence[Path], images: int) -> float:
    """Return how many images a second `predict` does, from their files."""
    wanted = list(islice(cycle(paths), images))
    start = time.perf_counter()
    for _ in predict(detector, wanted):
        pass
    return images / (time.perf_counter() - start)


def resident(pid: int, key: str = "VmRSS") -> float:
    """MiB of a process now; VmHWM: at most until now."""
    return int(re.search(rf"{key}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def large_upload(port: int) -> str:
    """An image file of 500 MB that says so, and one that does not."""
    told = []
    for head in (f"Content-Length: {UPLOAD}", "Transfer-Encoding: chunked"):
        with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
            connection.sendall(_head(head))
            piece = bytes(MIB) if "Length" in head else f"{MIB:x}\r\n".encode() + bytes(MIB) + b"\r\n"
            sent = 0
            try:
                while sent < UPLOAD:
                    connection.sendall(piece)
                    sent += MIB
            except OSError:
                pass
            told.append(f"{_status(connection)} after {sent // MIB} MiB")
    return "; ".join(told)


def decompression_bomb(port: int) -> str:
    """A PNG of a few kB that says it is 30 000 px square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10**7))) + chunk(b"IEND", b"")
    return str(asked(port, [bomb])[0][0])


def garbage(port: int) -> str:
    """A thousand bodies of random bytes, and a hundred requests of them."""
    rng = np.random.default_rng(0)
    bodies = [rng.bytes(int(length)) for length in rng.integers(1, 20_000, 1000)]
    statuses = Counter(status for status, _ in asked(port, bodies))
    closed = 0
    for _ in range(100):
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
            connection.sendall(rng.bytes(2000) + b"\r\n\r\n")
            closed += _status(connection) in ("400", "closed")
    return f"{_counted(statuses)}; no HTTP: {closed} of 100 refused"


def slow_loris(port: int, image: bytes) -> str:
    """Heads that drip, a byte a second, while another client asks."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(SLOW)]
    for connection in connections:
        connection.sendall(b"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\n")
    seconds = []
    until = time.monotonic() + SLOW_SECONDS
    closed: set[int] = set()
    while time.monotonic() < until:
        for number, connection in enumerate(connections):
            try:
                connection.sendall(b"X")
            except OSError:
                closed.add(number)
        seconds += [taken for status, taken in asked(port, [image]) if status == 200]
        time.sleep(0.5)
    for connection in connections:
        connection.close()
    return (
        f"{len(closed)} of {SLOW} cut off; {len(seconds)} others answered, the slowest in {1000 * max(seconds):.0f} ms"
    )


def crowd(port: int, images: Sequence[bytes]) -> str:
    """200 clients at once, five images each."""
    answers, _ = load(port, images, clients=CROWD, requests=5 * CROWD)
    return _counted(Counter(status for status, _ in answers))


def _head(line: str) -> bytes:
    return f"POST /v1/inspect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n{line}\r\n\r\n".encode()


def _status(connection: socket.socket) -> str:
    try:
        return connection.recv(64).decode("latin-1").split(" ")[1]
    except (OSError, IndexError):
        return "closed"


def _counted(statuses: Counter[int]) -> str:
    return ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))


def measured(detector: Path, paths: Sequence[Path], clients: int, requests: int) -> Iterator[str]:
    """Yield the lines of the report."""
    images = [path.read_bytes() for path in paths]
    loaded = Detector.load(detector, device_target="CPU")
    network = network_rate(loaded, max(20, requests // 20))
    predicted = predict_rate(loaded, paths, max(20, requests // 20))
    with server(detector) as (port, pid):
        load(port, images, clients=clients, requests=20 * clients)
        before = resident(pid)
        answers, seconds = load(port, images, clients=clients, requests=requests)
        times = sorted(1000 * taken for _, taken in answers)
        cuts = quantiles(times, n=100)
        yield "| | |"
        yield "|---|---|"
        yield f"| images/s, {clients} clients | {figure(len(answers) / seconds)} |"
        yield f"| the network alone, images/s | {figure(network)} |"
        yield f"| ssim-ae predict on the same files, images/s | {figure(predicted)} |"
        yield f"| an answer: p50, p99, slowest | {figure(cuts[49])}, {figure(cuts[98])}, {figure(times[-1])} ms |"
        yield f"| answers by status | {_counted(Counter(status for status, _ in answers))} |"
        yield f"| memory before and after {len(answers):,} requests | {before:.0f}, {resident(pid):.0f} MiB |"
    attacks: dict[str, Callable[[int], str]] = {
        "a body of 500 MiB, length told and not": large_upload,
        "a PNG of 10 kB that would be 900 megapixels": decompression_bomb,
        "bodies and requests of random bytes": garbage,
        f"{SLOW} heads that drip, {SLOW_SECONDS:.0f} s": lambda port: slow_loris(port, images[0]),
        f"{CROWD} clients at once": lambda port: crowd(port, images),
    }
    with server(detector) as (port, pid):
        asked(port, images)
        yield f"\nAt {resident(pid):.0f} MiB, the attacks:\n"
        yield "| attack | answers | most memory until then, MiB | lives |"
        yield "|---|---|---|---|"
        for name, attack in attacks.items():
            told = attack(port)
            lives = asked(port, images[:1])[0][0] == 200
            yield f"| {name} | {told} | {resident(pid, 'VmHWM'):.0f} | {'yes' if lives else 'no'} |"


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    crop_size = Detector.load(options.detector).config.crop_size
    lines = [
        "# The server under load and under attack",
        "",
        description(),
        f"- detector: patches of {crop_size} px",
        "",
    ]
    for line in measured(options.detector, options.images, options.clients, options.requests):
        print(line, flush=True)
        lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
