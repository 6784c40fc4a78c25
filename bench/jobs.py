"""Inspect many images with Ray on 1, 2 and 4 simulated nodes, and without: rate, CPU time, and memory over time.

`python bench/jobs.py DETECTOR IMAGES [--number 100000] [--cores 2] [--nodes 0 1 2 4]` links the images of a folder so
many times. 0 nodes are none of Ray: a process of one thread for each core inspects a share. A job of one image for each
core, which is the start alone, is subtracted. Memory: medians of the second and of the last quarter, and the most.
Needs Linux and ray[data].
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

INTERVAL = 1.0  # s between two looks at the processes
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")
WORKERS = (b"ray::write_part", b"ray::IDLE")  # names of a process while it works and while it waits
COLUMNS = (
    *("nodes", "start, s", "images/s beyond it", "CPU ms per image beyond it, drivers and workers"),
    *("other processes of Ray, CPU s per minute", "a driver, MiB", "a worker, MiB"),
)


class Process(NamedTuple):
    """A process: seconds of CPU time and MiB of memory, without what it shares."""

    pid: int
    parent: int
    command: bytes
    cpu: float
    memory: float


class Measured(NamedTuple):
    """A job. CPU time, in seconds, is that of drivers and workers, and of other processes, which are Ray's.

    Memory is that of the largest driver and the largest worker at each look, in MiB.
    """

    seconds: float
    cpu: float
    other_cpu: float
    driver: list[float]
    worker: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector")
    parser.add_argument("images", type=Path)
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--nodes", type=int, nargs="+", default=[0, 1, 2, 4])
    options = parser.parse_args()
    detector, number, cores = options.detector, options.number, options.cores
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _link(options.images, root / "many", number, cores)
        _link(options.images, root / "few", cores, cores)
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for nodes in options.nodes:
            with _cluster(nodes, cores) as ray:
                _measure(root, detector, "few", ray, cores)  # so that no row reads from the disk for the first time
                few, many = (_measure(root, detector, images, ray, cores) for images in ("few", "many"))
                _print(f"{nodes}", number, many, few)


@contextmanager
def _cluster(nodes: int, cores: int) -> Iterator[list[str]]:
    """Start nodes; yield the options that use them. One node has all cores, each of several has one CPU."""
    if not nodes:
        yield []
        return
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    # Names of Ray. By default, other programs would take the cores, and end a start that takes 30 s.
    os.environ |= {"RAY_worker_niceness": "0", "RAY_raylet_start_wait_time_s": "120"}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=_node(cores if nodes == 1 else 1))
    for _ in range(nodes - 1):
        cluster.add_node(**_node(1))
    try:
        yield ["--ray", cluster.address]
    finally:
        cluster.shutdown()


def _node(cpus: int) -> dict[str, object]:
    return {"num_cpus": cpus, "include_dashboard": False, "node_ip_address": "127.0.0.1", "object_store_memory": 2**27}


def _measure(root: Path, detector: str, images: str, options: list[str], cores: int) -> Measured:
    """Measure a job: one command with Ray, or one for each core without."""
    folders = [root / images] if options else [root / images / f"{core}" for core in range(cores)]
    command = [sys.executable, "-m", "ssim_ae", "predict", detector, "--threads", "1", *options]
    start, before = time.monotonic(), {process.pid: process.cpu for process in _own_processes()}
    with tempfile.TemporaryDirectory(dir=root) as places:
        jobs = [
            subprocess.Popen(
                [*command, str(folder), "--output", f"{places}/{number}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for number, folder in enumerate(folders)
        ]
        looks: list[list[Process]] = []
        sampling = threading.Thread(target=_sample, args=[jobs, looks])
        sampling.start()
        outputs = [job.communicate()[0] for job in jobs]
        seconds = time.monotonic() - start
        sampling.join()
    if any(job.returncode for job in jobs):
        raise SystemExit(b"\n".join(outputs).decode())
    last = {process.pid: process for look in looks for process in look}
    cpu = {pid: process.cpu - before.get(pid, 0) for pid, process in last.items()}
    pids = {job.pid for job in jobs}
    workers = {process.pid for look in looks for process in look if process.command.startswith(WORKERS)}
    own = sum(used for pid, used in cpu.items() if pid in pids | workers)
    return Measured(
        seconds,
        own,
        sum(cpu.values()) - own,
        [max((process.memory for process in look if process.pid in pids), default=0) for look in looks],
        [max((process.memory for process in look if process.pid in workers), default=0) for look in looks],
    )


def _sample(jobs: "list[subprocess.Popen[bytes]]", looks: list[list[Process]]) -> None:
    while any(job.poll() is None for job in jobs):
        looks.append(_own_processes())
        time.sleep(INTERVAL)


def _own_processes() -> list[Process]:
    """Return all processes that this one has started, and theirs."""
    known = {process.pid: process for process in _processes()}
    own = {os.getpid()}
    while found := {pid for pid, process in known.items() if process.parent in own} - own:
        own |= found
    return [known[pid] for pid in own - {os.getpid()}]


def _processes() -> Iterator[Process]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()  # from the third field of proc(5) on
            resident, shared = (path / "statm").read_text().split()[1:3]
            command = (path / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        cpu = (int(fields[11]) + int(fields[12])) / TICK
        yield Process(int(path.name), int(fields[1]), command, cpu, (int(resident) - int(shared)) * PAGE / 2**20)


def _link(source: Path, target: Path, number: int, cores: int) -> None:
    """Link images into a folder for each core, a thousand in each folder therein."""
    files = sorted(path for path in source.rglob("*") if path.suffix == ".png")
    for index, path in zip(range(number), cycle(files), strict=False):
        folder = target / f"{index % cores}" / f"{index // 1000:04}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(path, folder / f"{index % 1000:03}{path.suffix}")


def _print(name: str, number: int, many: Measured, few: Measured) -> None:
    rate = number / (many.seconds - few.seconds)
    milliseconds = 1000 * (many.cpu - few.cpu) / number
    cells = (
        *(name, f"{few.seconds:.1f}", f"{rate:.1f}", f"{milliseconds:.2f}"),
        *(f"{60 * many.other_cpu / many.seconds:.1f}", _over_time(many.driver), _over_time(many.worker)),
    )
    print(f"| {' | '.join(cells)} |", flush=True)


def _over_time(values: list[float]) -> str:
    """Return the medians of the second and of the last quarter of the looks, and the most of all."""
    quarter = max(1, len(values) // 4)
    return f"{median(values[quarter : 2 * quarter + 1]):.0f}, {median(values[-quarter:]):.0f}, {max(values):.0f}"


if __name__ == "__main__":
    main()
