"""Transfers that fail: cut and killed ones, damaged files, missing objects, wrong accounts, full disks."""

import resource
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ssim_ae.buckets import fetch, put, store

from .object_store import FILES, MARK, assert_input_error, content, write_files


@pytest.fixture
def marked(rng: np.random.Generator) -> bytes:
    """300 kB, with many marks in the second half."""
    noise = rng.integers(0, 256, 150_000, np.uint8).tobytes()
    return noise + (MARK + noise[:500]) * 300


@pytest.mark.parametrize("cuts", [1, pytest.param(3, marks=pytest.mark.long)])
def test_cut_connections_are_retried(bucket, proxy, tmp_path, marked, cuts):
    proxy.cuts = cuts
    put(write_files(tmp_path / "here", {"x.png": marked, "y.png": b"y"}), f"s3://{bucket.name}")
    assert bucket.content() == {"x.png": marked, "y.png": b"y"}
    assert proxy.cuts == 0
    proxy.cuts = cuts
    fetch(f"s3://{bucket.name}", tmp_path / "there")
    assert content(tmp_path / "there") == {"x.png": marked, "y.png": b"y"}
    assert proxy.cuts == 0
    assert proxy.gets() == 2 + cuts


def test_file_that_always_fails_is_an_error_and_the_others_are_kept(bucket, proxy, tmp_path, marked):
    others = {f"{index}.png": bytes([index]) for index in range(20)}
    for name, data in {**others, "x.png": marked}.items():
        bucket[name] = data
    proxy.cuts = 99
    assert_input_error(lambda: fetch(f"s3://{bucket.name}", tmp_path / "there"), f"^s3://{bucket.name}/x.png: ")
    assert content(tmp_path / "there") == others
    proxy.cuts, before = 0, proxy.gets()
    fetch(f"s3://{bucket.name}", tmp_path / "there")
    assert proxy.gets() == before + 1
    assert content(tmp_path / "there") == {**others, "x.png": marked}


@pytest.mark.parametrize("corruptions", [1, 99])
def test_files_damaged_in_transfer_are_rejected(bucket, proxy, tmp_path, marked, corruptions):
    bucket["x.png"], folder = marked, write_files(tmp_path / "there", {"x.png": b"old"})
    proxy.corruptions = corruptions
    if corruptions == 1:
        assert content(fetch(f"s3://{bucket.name}", folder)) == {"x.png": marked}
    else:
        assert_input_error(
            lambda: fetch(f"s3://{bucket.name}", folder), f"^s3://{bucket.name}/x.png: corrupted in transfer$"
        )
        assert content(folder) == {"x.png": b"old"}
        assert not list((folder / ".fetched").glob("*.part"))
    proxy.corruptions = corruptions
    new = write_files(tmp_path / "new", {"x.png": MARK})
    if corruptions == 1:
        put(new, f"s3://{bucket.name}")
        assert bucket.content() == {"x.png": MARK}
    else:
        assert_input_error(lambda: put(new, f"s3://{bucket.name}"), f"^s3://{bucket.name}/x.png: ")
        assert bucket.content() == {"x.png": marked}


def test_missing_object_or_bucket_is_a_one_line_error(bucket, tmp_path, monkeypatch):
    bucket["set/x.png"] = b"x"
    there = tmp_path / "there"
    monkeypatch.setattr(store, "RETRY_PAUSES", (99,))
    assert_input_error(
        lambda: fetch(f"s3://{bucket.name}/se", there),
        f"^s3://{bucket.name}/se: no such object, and no objects under this prefix$",
    )
    assert_input_error(lambda: fetch("s3://no-such-bucket/set", there), "^s3://no-such-bucket/set: .*does not exist")
    assert_input_error(
        lambda: put(write_files(tmp_path / "here", FILES), "s3://no-such-bucket/x"),
        "^s3://no-such-bucket/x/.*not exist",
    )
    assert_input_error(lambda: put(tmp_path / "none", f"s3://{bucket.name}/set"), "none: no such file or folder")
    assert not there.exists()


def test_missing_or_wrong_credentials_are_a_one_line_error(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RETRY_PAUSES", (99,))
    url = f"s3://{bucket.name}/set"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert_input_error(lambda: fetch(url, tmp_path / "there"), f"^{url}: .*signature")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert_input_error(lambda: fetch(url, tmp_path / "there"), f"^{url}: no credentials; set AWS_ACCESS_KEY_ID and ")
    assert_input_error(lambda: put(write_files(tmp_path / "here", {"x": b""}), url), f"^{url}/x: no credentials")
    monkeypatch.setenv("AWS_PROFILE", "none")
    assert_input_error(lambda: fetch(url, tmp_path / "there"), f"^{url}: .*profile .none.")


def test_unreachable_endpoint_is_a_one_line_error(proxy, tmp_path, monkeypatch):
    proxy.close()
    assert_input_error(
        lambda: fetch("s3://bucket/set", tmp_path / "there"), f"^s3://bucket/set: .*http://127.0.0.1:{proxy.port}"
    )
    monkeypatch.setattr(store, "RETRY_PAUSES", (99,))  # permanent errors are not retried
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")
    assert_input_error(
        lambda: fetch("s3://bucket/set", tmp_path / "there"), "^s3://bucket/set: Invalid endpoint: nowhere$"
    )


@pytest.mark.parametrize("silent", [False, pytest.param(True, marks=pytest.mark.long)])
def test_endpoint_that_is_not_an_object_store_is_a_one_line_error(proxy, tmp_path, monkeypatch, silent):
    monkeypatch.setattr(store, "READ_TIMEOUT", 0.1)

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if silent:
                ended.wait()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    ended = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, args=(0.05,)).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{other.server_port}")
        assert_input_error(lambda: fetch("s3://bucket/set", tmp_path / "there"), "^s3://bucket/set: ")
        ended.set()
        other.shutdown()


def test_full_disk_is_a_one_line_error(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RETRY_PAUSES", (99,))
    bucket["x.png"] = b"x" * 2_000_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        assert_input_error(
            lambda: fetch(f"s3://{bucket.name}", tmp_path / "there"), f"^s3://{bucket.name}/x.png: File too large$"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(tmp_path / "there") == {}
    write_files(tmp_path, {"file": b""})
    assert_input_error(
        lambda: fetch(f"s3://{bucket.name}", tmp_path / "file"), f"^s3://{bucket.name}: cannot be written to .*file"
    )


TRANSFER = """
import sys
import tempfile
from pathlib import Path
from ssim_ae.buckets import fetch, put
print("started", flush=True)
fetch(sys.argv[3], Path(sys.argv[2])) if sys.argv[1] == "fetch" else put(Path(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.parametrize("way", ["fetch", "put"])
def test_killed_transfer_leaves_each_file_old_or_new(bucket, tmp_path, rng, way, kills):
    sizes = [*range(8), 3_000_000, 300_000]
    old, new = ({f"{size}.png": rng.bytes(size) + text for size in sizes} for text in (b"old", b"new"))
    url, killed = f"s3://{bucket.name}", 0
    arguments = [sys.executable, "-c", TRANSFER, way, str(tmp_path / "here"), url]
    while killed < kills:
        for name in old:
            bucket[name] = old[name] if way == "put" else new[name]
        write_files(tmp_path / "here", new if way == "put" else old)
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
        killed += process.returncode == -9
        found = bucket.content() if way == "put" else content(tmp_path / "here")
        found = {name: data for name, data in found.items() if not name.endswith(".part")}
        assert found.keys() == old.keys()
        assert all(data in (old[name], new[name]) for name, data in found.items())
    assert subprocess.run(arguments, capture_output=True).returncode == 0
    assert (bucket.content() if way == "put" else content(tmp_path / "here")) == new
