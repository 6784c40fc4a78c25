"""Disturb jobs on a Ray cluster of three nodes, from bucket to bucket: `python -m campaign.job_faults SWIFT [TRIALS]`.

SWIFT is a folder that OpenStack Swift is installed into (`pip install --target SWIFT swift`). Needs ray[data], s3fs.
Each trial starts a job, does one thing to it once a random number of its images is requested, starts it again if it
ended with an error and compares its rows with those of an undisturbed job on one machine.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.products import make
from ssim_ae.synthetic import fabric

ROOT = Path(__file__).parents[1]
DOMAIN, REGION = "obs.region-1.test", "region-1"
MAX_STARTS = 4
FAULTS = ("worker", "node", "driver", "line", "disk")


class Line:
    """A TCP proxy in front of a server, which can be cut. It records the requests."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.is_cut = False
        self.requests: list[str] = []
        self.ends: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seconds: float) -> None:
        """End all connections and accept none for some time."""
        self.is_cut = True
        for end in tuple(self.ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(seconds)
        self.is_cut = False

    def _accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            if self.is_cut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.server))
            self.ends |= {client, server}
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                if to_server and (request := re.match(rb"([A-Z]+ \S+) HTTP/1.1\r\n", data)):
                    self.requests.append(request[1].decode())
                target.sendall(data)
        for end in (source, target):
            self.ends.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextlib.contextmanager
def swift(installed: Path, folder: Path) -> Iterator[int]:
    """Start Swift; yield its port."""
    command = [sys.executable, str(ROOT / "tests" / "buckets" / "swift_server.py"), str(folder), DOMAIN, REGION]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()


class Trials:
    """A cluster, a detector, images in a bucket, and the rows that every job must have."""

    def __init__(self, root: Path, line: Line, images: int) -> None:
        import s3fs
        from ray.cluster_utils import Cluster

        self.root, self.line = root, line
        self.detector = make(root / "products").features
        self.files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
        self.files.mkdir("images")
        self.files.mkdir("rows")
        drawn = fabric.make(root / "drawn", classes=["twill"], train=1, good=20, defective=4, size=64, seed=2)[0]
        sources = sorted((drawn / "test").rglob("*.png"))
        for number in range(images):
            self.files.pipe_file(f"images/{number:05}.png", sources[number % len(sources)].read_bytes())
        node = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
        self.node: dict[str, Any] = {**node, "object_store_memory": 2**27}
        self.cluster = Cluster(initialize_head=True, head_node_args=self.node)
        self.nodes = [self.cluster.add_node(**self.node) for _ in range(2)]
        self._command(str(root / "expected.parquet"), []).communicate()
        self.expected = pq.read_table(root / "expected.parquet").sort_by("path")
        start = time.monotonic()
        self._start("s3://rows/undisturbed").communicate()
        self.seconds = time.monotonic() - start
        assert self._rows("s3://rows/undisturbed").equals(self.expected)
        self.images = images
        self.is_disturbed = False  # whether the last job was still running

    def trial(self, fault: str, number: int, rng: np.random.Generator) -> tuple[list[str], int, int]:
        """Disturb a job; return a line for each problem, the number of starts, and the images that were read again."""
        place = f"s3://rows/{fault}-{number}"
        if fault == "disk":
            place = str(self.root / "full" / f"{number}")
            (self.root / "full" / "filler").write_bytes(bytes(rng.integers(120, 200) * 1024))
        problems = []
        first_request = len(self.line.requests)
        for starts in range(1, MAX_STARTS + 1):
            done = self._inspected(place)
            before = len(self.line.requests)
            process = self._start(place)
            if starts == 1:
                disturbing = threading.Thread(target=self._disturb, args=[fault, process, rng, before])
                disturbing.start()
            output = process.communicate()[0]
            disturbing.join()  # the rows are read over the same line
            while len(self.nodes) < 2:
                self.nodes.append(self.cluster.add_node(**self.node))
            again = done & set(self._gets(before))
            problems += [f"read again: {len(again)} of {len(done)} images whose parts were written"] * bool(again)
            if process.returncode == 0:
                break
            if "Traceback" in output:
                problems.append(f"start {starts}: {output}")
            if fault == "disk":
                (self.root / "full" / "filler").unlink()
        else:
            problems.append(f"not complete after {MAX_STARTS} starts: {output}")
            return problems, starts, 0
        rows = self._rows(place)
        if not rows.equals(self.expected):
            problems.append(f"{len(rows)} rows, {len(set(rows['path'].to_pylist()))} paths: not the expected table")
        if fault == "disk":
            self.is_disturbed = starts > 1
            shutil.rmtree(place)
        return problems, starts, len(self._gets(first_request)) - self.images

    def _disturb(self, fault: str, process: "subprocess.Popen[str]", rng: np.random.Generator, first: int) -> None:
        images = rng.integers(self.images)
        while len(self._gets(first)) < images and process.poll() is None:
            time.sleep(0.01)
        self.is_disturbed = process.poll() is None
        if fault == "driver":
            process.kill()
        elif fault == "line":
            self.line.cut(rng.uniform(0.1, 12))
        elif fault == "worker":
            raylets = {node.all_processes["raylet"][0].process.pid for node in self.cluster.list_all_nodes()}
            workers = [pid for pid, parent, name in _processes() if parent in raylets and "ray::write_part" in name]
            self.is_disturbed &= bool(workers)
            for pid in rng.permutation(workers)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        elif fault == "node":
            self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)

    def _start(self, place: str) -> "subprocess.Popen[str]":
        return self._command(place, ["--ray", self.cluster.address])

    def _command(self, place: str, options: list[str]) -> "subprocess.Popen[str]":
        words = ["predict", str(self.detector), "s3://images", "--output", place, "--part_images", "10", *options]
        return subprocess.Popen(
            [sys.executable, "-m", "ssim_ae", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def _rows(self, place: str) -> pa.Table:
        tables = [pq.read_table(pa.BufferReader(data)) for data in self._parts(place)]
        return pa.concat_tables(tables).sort_by("path") if tables else self.expected.slice(0, 0)

    def _inspected(self, place: str) -> set[str]:
        return {path.removeprefix("s3:/") for path in self._rows(place)["path"].to_pylist()}

    def _parts(self, place: str) -> Iterator[bytes]:
        if place.startswith("s3://"):
            yield from (self.files.cat_file(path) for path in self.files.find(place) if path.endswith(".parquet"))
        else:
            yield from (path.read_bytes() for path in Path(place).glob("*.parquet"))

    def _gets(self, start: int) -> list[str]:
        requests = self.line.requests[start:]
        return [word.removeprefix("GET ") for word in requests if word.startswith("GET /images/") and ".png" in word]


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yield pid, parent and command line of all processes."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            yield int(path.name), parent, (path / "cmdline").read_bytes().decode(errors="replace")


def main(installed: Path, times: int = 50, images: int = 400) -> int:
    environment = {"AWS_ACCESS_KEY_ID": "test:tester", "AWS_SECRET_ACCESS_KEY": "testing"}
    environment |= {"AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # 127.0.0.1 stays 127.0.0.1
    environment |= {"RAY_raylet_start_wait_time_s": "120", "RAY_worker_niceness": "0"}  # other programs may be running
    os.environ.update(environment)
    rng = np.random.default_rng(times)
    results: dict[str, Counter[str]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as cleanup:
        root = Path(folder)
        (root / "swift").mkdir()
        line = Line(cleanup.enter_context(swift(installed, root / "swift")))
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{line.port}"
        trials = Trials(root, line, images)
        cleanup.callback(trials.cluster.shutdown)
        _small_disk(root / "full", cleanup.callback)
        print(f"undisturbed: {trials.seconds:.1f} s, {images} images", flush=True)
        for number in range(times):
            fault = FAULTS[number % len(FAULTS)]
            problems, starts, again = trials.trial(fault, number, rng)
            disturbed = trials.is_disturbed
            results[fault].update(trials=1, disturbed=disturbed, starts=starts, again=again, failed=bool(problems))
            line_of_trial = f"{number} {fault}: {starts} starts, {again} images read again"
            print(line_of_trial + ", not disturbed" * (not disturbed), *problems, sep="\n    ", flush=True)
    print("| fault | trials | disturbed | starts | images read again, per trial | failed |\n|---|---|---|---|---|---|")
    for fault, counts in results.items():
        per_trial = counts["again"] / counts["trials"]
        cells = (counts["trials"], counts["disturbed"], counts["starts"], f"{per_trial:.1f}", counts["failed"])
        print(f"| {fault} | {' | '.join(map(str, cells))} |")
    return int(any(counts["failed"] for counts in results.values()))


def _small_disk(folder: Path, cleanup: Callable[..., object]) -> None:
    """Mount a file system of 200 KiB, which takes the rights of root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], check=True)
    cleanup(subprocess.run, ["umount", folder])


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
