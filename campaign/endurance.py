"""Long runs: memory, open files and rate do not change from the first tenth of the work to its end."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

from campaign.products import Products, training
from campaign.requests import resident, server
from campaign.row import Row

PROMISE = "Memory, open files and rate stay as they are."
GROWTH = 0.05  # of memory over the whole run, that counts as flat
SLOWING = 0.2
CLIENTS = 4


def rows(products: Products, folder: Path, times: int) -> Iterator[Row]:
    """Do a hundredth of `times` of the full lengths."""
    folder.mkdir()
    yield serve(products, 1000 * times)
    yield predict(products, folder, 500 * times)
    yield train(products, folder, 100 * times)


def serve(products: Products, count: int) -> Row:
    """Have one image inspected over and over, by several clients."""
    image = next((products.dataset / "test" / "good").iterdir()).read_bytes()
    answered = [0] * CLIENTS

    def client(number: int, port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        while answered[number] < count // CLIENTS:
            connection.request("POST", "/v1/inspect", image, {"Content-Type": "image/png"})
            if connection.getresponse().read().startswith(b'{"'):
                answered[number] += 1

    with server(products.detector) as (process, port, _said):
        threads = [threading.Thread(target=client, args=(number, port), daemon=True) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return observed("`serve`, requests", process, count, lambda: sum(answered))


def predict(products: Products, folder: Path, count: int) -> Row:
    """Inspect as many files."""
    images = sorted((products.dataset / "test").rglob("*.png"))
    many = folder / "many"
    many.mkdir()
    for number in range(count):
        os.link(images[number % len(images)], many / f"{number:06}.png")
    lines = folder / "lines"
    with lines.open("wb") as output:
        process = _started("predict", products.detector, many, "--csv", folder / "table.csv", output=output)

        def done() -> int:
            return lines.read_bytes().count(b"\n")

        return observed("`predict`, images", process, count, done)


def train(products: Products, folder: Path, count: int) -> Row:
    """Train as many steps."""
    settings = ["--runs", folder / "runs", "--epochs", count // 20, "--augment_num", 320, "--checkpoint_seconds", 1]
    history = folder / "runs" / "twill-1" / "history.csv"
    with (folder / "said").open("wb") as output:
        process = _started(*training(products.dataset), *settings, output=output)

        def done() -> int:
            rows = history.read_text().splitlines() if history.exists() else []
            return int(rows[-1].split(",")[1]) if len(rows) > 1 else 0

        return observed("`train`, steps", process, count, done)


def _started(*arguments: object, output: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ssim_ae", *map(str, arguments)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads of tiny steps wait for each other wherever a core is busy
    how: dict[str, Any] = {"stdout": output, "stderr": subprocess.STDOUT, "text": True, "env": alone}
    return subprocess.Popen(command, **how)


def observed(name: str, process: subprocess.Popen[str], count: int, done: Callable[[], int]) -> Row:
    """Sample a process until its work is done; return what it took, and what was not flat."""
    samples = []
    while process.poll() is None and (work := done()) < count:
        if work > count // 10:  # what the start takes is no growth
            files = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
            samples.append((time.monotonic(), work, resident(process.pid), files))
        time.sleep(0.2)
    seconds, works, memory, files = np.array(samples).T
    slope = float(np.polyfit(works, memory, 1)[0])  # MiB a unit of work
    middle = len(seconds) // 2
    before, after = (
        (works[part][-1] - works[part][0]) / (seconds[part][-1] - seconds[part][0])
        for part in (slice(0, middle), slice(middle, None))
    )
    failures = []
    if slope * count > GROWTH * memory[0]:
        failures.append(f"memory grows by {slope * 1000:.3f} MiB a thousand")
    if files[middle:].max() > files[:middle].max() + 2:
        failures.append(f"open files went from {files[:middle].max():.0f} to {files[middle:].max():.0f}")
    if after < (1 - SLOWING) * before:
        failures.append(f"{before:,.0f} a second, and later {after:,.0f}")
    if process.poll():
        failures.append(f"ended by {process.returncode}")
    told = (
        f"{memory.mean():,.0f} MiB, slope {1000 * slope:+.3f} MiB a thousand; at most {files.max():.0f} files; "
        f"{before:,.0f} a second in the first half, {after:,.0f} in the second"
    )
    return Row(name, count, told, PROMISE, failures)
