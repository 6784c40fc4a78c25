"""Long runs: memory, open files and rate stay constant from the first tenth of the work to its end.

Every image has a size of its own.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from campaign.products import Products, train_arguments
from campaign.requests import server
from campaign.row import Row
from campaign.sizes import image_of_own_size
from ssim_ae.images.files import MAX_PIXELS, MAX_SIDE
from ssim_ae.server.limits import Limits

GUARANTEE = "Memory, open files and rate stay constant."
MAX_GROWTH = 0.05  # of the median memory, from the first quarter to the last
MAX_KEPT = 100  # MiB beside it, which the allocator may keep of the few large images
MAX_SLOWDOWN = 0.2  # of the rate, from the first half to the second
MAX_MORE_FILES = 2  # in the second half
SAMPLE_INTERVAL = 0.2  # s
CLIENTS = 4


class Samples(NamedTuple):
    """Samples of a process, each an array over time."""

    seconds: np.ndarray
    work: np.ndarray  # units done
    memory: np.ndarray  # MiB
    peak: np.ndarray  # MiB, the most memory so far
    files: np.ndarray  # open ones


def rows(products: Products, folder: Path, times: int) -> Iterator[Row]:
    """Run `times` percent of the full lengths."""
    folder.mkdir()
    yield serve(products, 1000 * times)
    yield predict(products, folder, 1000 * times)
    yield train(products, folder, 100 * times)


def serve(products: Products, count: int) -> Row:
    """Send `count` requests, each with an image of another size, from several clients."""
    answered = [0] * CLIENTS

    def client(number: int, port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        while answered[number] < count // CLIENTS:
            own_number = answered[number] * CLIENTS + number
            image = image_of_own_size(own_number, max_side=MAX_SIDE, max_pixels=Limits().max_pixels)
            connection.request("POST", "/v1/inspect", image, {"Content-Type": "image/png"})
            if connection.getresponse().read().startswith(b'{"'):
                answered[number] += 1

    with server(products.detector) as (process, port, _output):
        threads = [threading.Thread(target=client, args=(number, port), daemon=True) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return _row("`serve`, requests", process, count, lambda: sum(answered))


def predict(products: Products, folder: Path, count: int) -> Row:
    """Inspect `count` files, each of another size."""
    inputs = folder / "many"
    inputs.mkdir()
    for number in range(count):
        image = image_of_own_size(number, max_side=MAX_SIDE, max_pixels=MAX_PIXELS)
        (inputs / f"{number:06}.png").write_bytes(image)
    lines = folder / "lines"
    with lines.open("wb") as output:
        process = _start("predict", products.detector, inputs, "--csv", folder / "table.csv", output=output)
        return _row("`predict`, images", process, count, lambda: lines.read_bytes().count(b"\n"))


def train(products: Products, folder: Path, count: int) -> Row:
    """Train for `count` steps."""
    settings = ["--runs", folder / "runs", "--epochs", count // 20, "--augment_num", 320, "--checkpoint_seconds", 1]
    history = folder / "runs" / "twill-1" / "history.csv"

    def steps() -> int:
        lines = history.read_text().splitlines() if history.exists() else []
        return int(lines[-1].split(",")[1]) if len(lines) > 1 else 0

    with (folder / "output").open("wb") as output:
        process = _start(*train_arguments(products.dataset), *settings, output=output)
        return _row("`train`, steps", process, count, steps)


def _start(*arguments: object, output: IO[bytes]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ssim_ae", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # with more, tiny steps wait for each other on busy cores
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True, env=environment)


def _row(name: str, process: subprocess.Popen[str], count: int, done: Callable[[], int]) -> Row:
    """Sample a process until `done()` reaches `count`; return what was not constant."""
    seconds, work, memory, peak, files = _sample(process, count, done)
    quarter = max(1, len(seconds) // 4)
    first, last = np.median(memory[:quarter]), np.median(memory[-quarter:])  # not those of the few large images
    middle = len(seconds) // 2
    before, after = (
        (work[half][-1] - work[half][0]) / (seconds[half][-1] - seconds[half][0])
        for half in (slice(0, middle), slice(middle, None))
    )
    failures = []
    if last > (1 + MAX_GROWTH) * first + MAX_KEPT:
        failures.append(f"memory grows from {first:,.0f} to {last:,.0f} MiB")
    if files[middle:].max() > files[:middle].max() + MAX_MORE_FILES:
        failures.append(f"open files grow from {files[:middle].max():.0f} to {files[middle:].max():.0f}")
    if after < (1 - MAX_SLOWDOWN) * before:
        failures.append(f"the rate drops from {before:,.0f} to {after:,.0f} per second")
    if process.poll():
        failures.append(f"ended with status {process.returncode}")
    outcome = (
        f"{first:,.0f} MiB in the first quarter, {last:,.0f} in the last, at most {peak.max():,.0f}; "
        f"at most {files.max():.0f} files; "
        f"{before:,.0f} per second in the first half, {after:,.0f} in the second"
    )
    return Row(name, count, outcome, GUARANTEE, failures)


def _sample(process: subprocess.Popen[str], count: int, done: Callable[[], int]) -> Samples:
    samples = []
    while process.poll() is None and (work := done()) < count:
        if work > count // 10:  # memory grows at the start
            files = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
            samples.append((time.monotonic(), work, *_memory(process.pid), files))
        time.sleep(SAMPLE_INTERVAL)
    return Samples(*np.array(samples).T)


def _memory(process: int) -> tuple[float, float]:
    """Return the resident memory of a process and its maximum so far, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    values = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+)", status))
    return int(values.get("VmRSS", 0)) / 1024, int(values.get("VmHWM", 0)) / 1024
