"""Jobs on a Ray cluster of simulated nodes, all on 127.0.0.1. Each start takes seconds: run with -m long."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssim_ae import Detector
from ssim_ae.batch.rows import Row

# Before the import: 127.0.0.1 stays 127.0.0.1, as ssim_ae.frameworks.import_ray does.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
os.environ["RAY_raylet_start_wait_time_s"] = "120"  # noqa: SIM112 (Ray's name)
ray = pytest.importorskip("ray", reason="needs Ray: pip install 'ray[data]'")
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]
NODE = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1", "object_store_memory": 2**27}


def command(*words: object) -> tuple[int, str]:
    """Run `ssim-ae`; return the exit status and what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "ssim_ae", *map(str, words)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


def read(place: Path) -> pa.Table:
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    return pa.concat_tables(pq.read_table(file) for file in files).sort_by("path")


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_rows_are_the_same_on_any_number_of_nodes(cluster, features_run, photos, tmp_path):
    for name in ("a.parquet", "alone"):
        assert command("predict", features_run.folder, photos, "--output", tmp_path / name)[0] == 2, "a broken image"
    expected = read(tmp_path / "a.parquet")
    assert read(tmp_path / "alone").equals(expected)
    for nodes in (1, 2):
        options = ["--ray", cluster.address, "--part_images", 2]
        status, out = command("predict", features_run.folder, photos, "--output", tmp_path / f"{nodes}", *options)
        assert (status, "1 error" in out) == (2, True), out
        assert read(tmp_path / f"{nodes}").equals(expected)
        cluster.add_node(**NODE)


def test_a_cluster_for_the_job(features_run, photos, tmp_path):
    status, out = command("predict", features_run.folder, photos / "late", "--output", tmp_path / "parts", "--ray")
    assert status == 0, out
    status, out = command("predict", features_run.folder, photos / "late", "--output", tmp_path / "parts", "--ray")
    count = len(list((photos / "late").iterdir()))
    assert status == 0, out
    assert out.startswith(f"{count} images inspected by an earlier start\n{count} images: ")


def test_metrics_of_a_manifest(features_run, photos, tmp_path):
    rows = [f"{path},{'good' if path.name.startswith('good') else 'nok'}\n" for path in (photos / "late").iterdir()]
    (tmp_path / "a.csv").write_text("path,label\n" + "".join(rows))
    status, out = command("evaluate", features_run.folder, tmp_path / "a.csv", "--ray")
    assert status == 0, out
    assert "image AUROC" in out


def test_a_worker_that_dies_costs_its_part_alone(cluster, features_run, photos, tmp_path):
    command("predict", features_run.folder, photos, "--output", tmp_path / "a.parquet")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ssim_ae", "predict", features_run.folder, photos),
            *("--output", tmp_path / "parts", "--ray", cluster.address, "--part_images", "1"),
        ]
    )
    killed = 0
    while process.poll() is None and not killed:
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # a process that has ended meanwhile
                if b"ray::write_part" in (path / "cmdline").read_bytes():
                    os.kill(int(path.name), 9)
                    killed += 1
        time.sleep(0.01)
    assert process.wait() == 2, "an image is broken"
    assert killed
    assert read(tmp_path / "parts").equals(read(tmp_path / "a.parquet"))


def test_a_dataset_of_ray_data(cluster, features_run, photos):
    import ssim_ae.ray

    ray.init(address=cluster.address, _node_ip_address="127.0.0.1", log_to_driver=False)
    cluster.add_node(**NODE)
    paths = sorted(map(str, (photos / "late").iterdir()))
    detector = Detector.load(features_run.folder)
    by_path = ray.data.from_items([{"path": path, "line": 7} for path in paths])
    with_bytes = ray.data.read_binary_files(paths, include_paths=True)
    for dataset, columns in ((by_path, {"path", "line", *Row._fields}), (with_bytes, set(Row._fields))):
        rows = ssim_ae.ray.inspect(dataset, features_run.folder, concurrency=1).take_all()
        assert {row["path"]: row["score"] for row in rows} == {p: detector.inspect(p).score for p in paths}
        assert rows[0].keys() == columns


def test_faults_have_one_line(cluster, features_run, tiny_run, photos, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf, HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as web:
        threading.Thread(target=web.handle_request, daemon=True).start()
        unused, other = deaf.getsockname()[1], web.server_port
        for address in ("127.0.0.1:1", f"127.0.0.1:{unused}", f"127.0.0.1:{other}", "nonsense"):
            output = ["--output", tmp_path / "parts", "--ray", address]
            status, out = command("predict", features_run.folder, photos, *output)
            assert (status, out.count("\n")) == (2, 1), out
            assert out.startswith(f"ssim-ae: --ray {address}: no Ray cluster answers")
    assert not (tmp_path / "parts").exists()


def test_a_detector_that_workers_cannot_read(cluster, features_run, tiny_run, photos, tmp_path):
    """The file is another one by the time the workers open it."""
    from ssim_ae.batch.cluster import map_on_cluster
    from ssim_ae.batch.listing import file_of
    from ssim_ae.batch.parts import cut_into_parts
    from ssim_ae.batch.work import Work, write_part
    from ssim_ae.errors import InputError

    ray.init(address=cluster.address, _node_ip_address="127.0.0.1", log_to_driver=False)
    run = shutil.copytree(features_run.folder, tmp_path / "run")
    work = Work(str(run), Detector.load(run).fingerprint, 1.0, str(tmp_path / "parts"))
    parts = list(cut_into_parts([file_of(str(path)) for path in photos.rglob("*.png")], "", 3))
    shutil.copy(tiny_run.detector_path, run / "detector.safetensors")
    with pytest.raises(InputError, match=r"on a worker: .*not the same detector on every machine") as caught:
        list(map_on_cluster(write_part, work, parts, local_images=True))
    assert "\n" not in str(caught.value)
    shutil.rmtree(run)
    with pytest.raises(InputError, match=r"on a worker: .*no such file or run") as caught:
        list(map_on_cluster(write_part, work, parts, local_images=True))
    assert "\n" not in str(caught.value)
