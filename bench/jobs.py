"""Inspect many images with and without Ray, on 1, 2 and 4 simulated nodes: rate, and memory of driver and workers.

`python bench/jobs.py DETECTOR IMAGES [NUMBER]` links the images of a folder NUMBER times. Needs Linux and ray[data].
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

NODES = (1, 2, 4)
INTERVAL = 1.0  # s between two looks at the memory
PAGE = os.sysconf("SC_PAGE_SIZE")


class Measured(NamedTuple):
    """Images per second by the command's own clock, seconds in all, and MiB after a quarter of the time and at most."""

    rate: float
    seconds: float
    driver: tuple[float, float]
    worker: tuple[float, float]


def main(detector: str, images: str, number: int = 100_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _link(Path(images), root / "images", number)
        print("| nodes | images/s | seconds in all | driver, MiB (quarter, most) | workers, MiB (quarter, most) |")
        print("|---|---|---|---|---|")
        _print("without Ray, one thread", _measure(root, detector, "none", ["--threads", "1"]))
        _print("without Ray, two threads", _measure(root, detector, "both", ["--threads", "2"]))
        for nodes in NODES:
            _print(f"{nodes}", _on_cluster(root, detector, nodes))


def _on_cluster(root: Path, detector: str, nodes: int) -> Measured:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (Ray's name); 15 by default: other programs would take the cores
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=_node(2 if nodes == 1 else 1))
    for _ in range(nodes - 1):
        cluster.add_node(**_node(1))
    try:
        return _measure(root, detector, f"nodes-{nodes}", ["--ray", cluster.address])
    finally:
        cluster.shutdown()


def _node(cpus: int) -> dict[str, object]:
    return {"num_cpus": cpus, "include_dashboard": False, "node_ip_address": "127.0.0.1", "object_store_memory": 2**27}


def _measure(root: Path, detector: str, name: str, options: list[str]) -> Measured:
    command = [sys.executable, "-m", "ssim_ae", "predict", detector, str(root / "images")]
    start = time.monotonic()
    driver: list[float] = []
    worker: list[float] = []
    with subprocess.Popen(
        [*command, "--output", str(root / name), "--part_images", "64", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        sampling = threading.Thread(target=_sample, args=[process, driver, worker])
        sampling.start()
        output = process.communicate()[0]
        sampling.join()
    rate = re.search(r"([\d,.]+) images/s[,\n]", output)
    if not rate:
        raise SystemExit(output)
    return Measured(
        float(rate[1].replace(",", "")), time.monotonic() - start, _quarter_and_most(driver), _quarter_and_most(worker)
    )


def _sample(process: "subprocess.Popen[str]", driver: list[float], worker: list[float]) -> None:
    while process.poll() is None:
        driver.append(_memory(process.pid))
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*") if b"ray::write_part" in _command(path)]
        worker.append(max(map(_memory, pids), default=0.0))
        time.sleep(INTERVAL)


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _memory(pid: int) -> float:
    """Return the resident memory of a process without what it shares, MiB."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except OSError:
        return 0.0
    return (int(resident) - int(shared)) * PAGE / 2**20


def _quarter_and_most(values: list[float]) -> tuple[float, float]:
    return values[len(values) // 4], max(values)


def _link(source: Path, target: Path, number: int) -> None:
    files = sorted(path for path in source.rglob("*") if path.suffix == ".png")
    for index, path in zip(range(number), cycle(files), strict=False):
        folder = target / f"{index // 1000:04}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(path, folder / f"{index % 1000:03}{path.suffix}")


def _print(name: str, measured: Measured) -> None:
    driver, worker = (f"{quarter:.0f}, {most:.0f}" for quarter, most in (measured.driver, measured.worker))
    print(f"| {name} | {measured.rate:.1f} | {measured.seconds:.0f} | {driver} | {worker} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
