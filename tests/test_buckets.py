"""Transfers from and to a real object store: OpenStack Swift, which implements S3 and verifies signatures and MD5s.

`pip install swift` installs it with its dependencies into pytest's cache folder, not into the environment. It runs on
127.0.0.1 (swift_server.py). A TCP proxy between the tests and Swift counts the requests, and can cut or corrupt the
data. The tests are skipped if s3fs is not installed or Swift cannot be installed.
"""

import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ssim_ae import locations
from ssim_ae.buckets import cache_folder, fetch, is_url, put, state, store
from ssim_ae.cli import main
from ssim_ae.errors import InputError

s3fs = pytest.importorskip("s3fs", reason="needs s3fs: pip install 's3fs>=2026.2'")

DOMAIN = "obs.region-1.test"
REGION = "region-1"
MARK = b"a mark in a file"
CORRUPTED = b"a mask in a file"  # what the proxy replaces MARK with


class Proxy:
    """A TCP proxy with a port of its own in front of a server."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.requests: list[str] = []  # "GET /bucket/key"
        self.cuts = 0  # number of connections to cut at the MARK in a file
        self.corruptions = 0  # number of MARKs to change
        self.replacements: dict[bytes, bytes] = {}  # in all responses
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError), self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)

    def gets(self) -> int:
        return sum(request.startswith("GET ") and "list-type" not in request for request in self.requests)

    def puts(self) -> int:
        return sum(request.startswith("PUT ") for request in self.requests)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.server))
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with source, target:
            try:
                while data := source.recv(2**16):
                    if to_server and (request := re.match(rb"([A-Z]+ \S+) HTTP/1.1\r\n", data)):
                        self.requests.append(request[1].decode())
                    for old, new in () if to_server else self.replacements.items():
                        data = data.replace(old, new)
                    if self.corruptions and MARK in data:
                        self.corruptions -= 1
                        data = data.replace(MARK, CORRUPTED, 1)
                    if self.cuts and MARK in data:
                        self.cuts -= 1
                        target.sendall(data[: data.index(MARK)])
                        break
                    target.sendall(data)
            except OSError:
                pass
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def swift(request, tmp_path_factory):
    """The port of a Swift server."""
    installed = Path(request.config.cache.mkdir("swift")) / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not installed.is_dir():
        new = tmp_path_factory.mktemp("swift") / "installed"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", new, "swift>=2.35"]
        if subprocess.run(pip, capture_output=True).returncode:
            pytest.skip("OpenStack Swift could not be installed (pip install swift)")
        shutil.move(new, installed)
    folder = tmp_path_factory.mktemp("swift")
    command = [sys.executable, Path(__file__).parent / "swift_server.py", folder, DOMAIN, REGION]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(installed)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        port = server.stdout.readline()
        try:
            if not port:
                pytest.skip("OpenStack Swift could not be started")
            yield int(port)
        finally:
            server.kill()


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch, tmp_path):
    """No account and no network of this machine, and short pauses before retries."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "OBS_")) or name == "LOCAL_RANK"]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "RETRY_PAUSES", (0.02, 0.05, 0.1))


@pytest.fixture
def proxy(swift, monkeypatch):
    """A proxy in front of Swift; the environment variables point to it."""
    proxy = Proxy(swift)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    yield proxy
    proxy.close()


class Bucket:
    """A new bucket, accessed without the proxy."""

    def __init__(self, files: "s3fs.S3FileSystem", name: str) -> None:
        self.files, self.name = files, name
        self.files.call_s3("create_bucket", Bucket=name)

    def __setitem__(self, key: str, data: bytes) -> None:
        self.files.call_s3("put_object", Bucket=self.name, Key=key, Body=data)

    def __delitem__(self, key: str) -> None:
        self.files.call_s3("delete_object", Bucket=self.name, Key=key)

    def content(self) -> dict[str, bytes]:
        return {path.partition("/")[2]: self.files.cat_file(path) for path in self.files.find(self.name)}


@pytest.fixture(scope="session")
def files(swift):
    return s3fs.S3FileSystem(
        key="test:tester",
        secret="testing",
        endpoint_url=f"http://127.0.0.1:{swift}",
        client_kwargs={"region_name": REGION},
        use_listings_cache=False,
    )


@pytest.fixture
def bucket(files, proxy, tmp_path) -> Bucket:
    return Bucket(files, re.sub("[^a-z0-9]+", "-", tmp_path.name.lower()).strip("-"))


def content(folder: Path) -> dict[str, bytes]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(".fetched/")}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def assert_input_error(action, match: str) -> None:
    """Assert that `action` raises InputError with one line that matches."""
    with pytest.raises(InputError, match=match) as caught:
        action()
    assert "\n" not in str(caught.value)


FILES = {
    "train/good/000.png": b"one",
    "train/good/001.png": b"two" * 100_000,
    "test/scratch/000.png": b"",
    "größe 10 %/ü #1 +&=?x~.png": b"three",
    "a/b/c/d/e.txt": b"four",
}


def test_folder_round_trip(bucket, proxy, tmp_path):
    folder = write_files(tmp_path / "here", FILES)
    put(folder, f"s3://{bucket.name}/data/set")
    assert bucket.content() == {f"data/set/{name}": data for name, data in FILES.items()}
    assert fetch(f"s3://{bucket.name}/data/set/", tmp_path / "there") == tmp_path / "there"
    assert content(tmp_path / "there") == FILES
    assert fetch(f"s3://{bucket.name}", tmp_path / "all") == tmp_path / "all"
    assert content(tmp_path / "all" / "data" / "set") == FILES
    listings = [request for request in proxy.requests if "list-type" in request]
    assert len(listings) == 2  # one per fetch; put requests its own names only


def test_object_round_trip(bucket, tmp_path):
    url = f"s3://{bucket.name}/runs/cloth-1/detector.safetensors"
    bucket["runs/cloth-1/detector.safetensors.old"] = b"another"
    put(write_files(tmp_path, {"here": b"detector"}) / "here", url)
    for folder in (tmp_path / "there", cache_folder(url)):
        assert fetch(url, folder) == folder / "detector.safetensors"
        assert content(folder) == {"detector.safetensors": b"detector"}
    assert fetch(url) == cache_folder(url) / "detector.safetensors"


def test_only_changed_objects_are_fetched(bucket, proxy, tmp_path):
    for name, data in FILES.items():
        bucket[f"set/{name}"] = data
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    fetch(url, folder)
    assert proxy.gets() == len(FILES)
    fetch(url, folder)
    assert proxy.gets() == len(FILES)
    bucket["set/train/good/000.png"] = b"neu"  # same size
    bucket["set/new.png"] = b"new"
    fetch(url, folder)
    assert proxy.gets() == len(FILES) + 2
    assert content(folder) == {**FILES, "train/good/000.png": b"neu", "new.png": b"new"}
    (folder / "a/b/c/d/e.txt").write_bytes(b"4444")  # changed locally: fetched again
    fetch(url, folder)
    assert content(folder)["a/b/c/d/e.txt"] == b"four"
    shutil.rmtree(folder / ".fetched")
    before = proxy.gets()
    fetch(url, folder)
    assert proxy.gets() == before


def test_files_of_deleted_objects_are_deleted(bucket, tmp_path):
    for name, data in FILES.items():
        bucket[f"set/{name}"] = data
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    fetch(f"{url}/", folder)
    fetch(f"{url}/a", folder)  # another URL in the same folder
    (folder / "mine.txt").write_bytes(b"mine")
    for name in ("train/good/000.png", "train/good/001.png", "a/b/c/d/e.txt"):
        del bucket[f"set/{name}"]
    bucket["set/train"] = b"a file where there was a folder"
    bucket["set/empty/"] = b""  # the marker of an empty folder
    fetch(url, folder)
    assert content(folder).keys() == {*FILES, "mine.txt", "train", "b/c/d/e.txt"} - {
        "train/good/000.png",
        "train/good/001.png",
        "a/b/c/d/e.txt",
    }


def test_files_of_a_killed_fetch_are_deleted(bucket, tmp_path, monkeypatch):
    bucket["set/old.png"], bucket["set/new.png"] = b"old", b"new"
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    with monkeypatch.context() as patch:
        writes = []

        def killed_after_one(path, data):
            writes.append(path)
            if len(writes) == 1:
                path.write_text(data)

        patch.setattr(state, "write_atomic", killed_after_one)
        fetch(url, folder)
    assert len(writes) == 2
    (folder / ".fetched" / ".0123456789ab.ssim-ae.part").write_bytes(b"half")
    del bucket["set/old.png"]
    fetch(url, folder)
    assert content(folder) == {"new.png": b"new"}
    assert not list((folder / ".fetched").glob(".*"))


def test_only_changed_files_are_put(bucket, proxy, tmp_path):
    folder = write_files(tmp_path / "here", FILES)
    url = f"s3://{bucket.name}/runs/x-1"
    put(folder, url)
    assert proxy.puts() == len(FILES)
    put(folder, url)
    assert proxy.puts() == len(FILES)
    (folder / "train/good/000.png").write_bytes(b"neu")
    (folder / "a/b/c/d/e.txt").unlink()  # kept in the bucket
    write_files(folder, {".fetched/lock": b"", "train/.x.png.ab12.ssim-ae.part": b"half", ".hidden": b"x"})
    put(folder, url)
    assert proxy.puts() == len(FILES) + 2
    expected = {**FILES, "train/good/000.png": b"neu", ".hidden": b"x"}
    assert bucket.content() == {f"runs/x-1/{name}": data for name, data in expected.items()}


@pytest.fixture
def marked(rng: np.random.Generator) -> bytes:
    """300 kB, with many MARKs in the second half."""
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


@pytest.mark.long
def test_object_of_a_multipart_upload(bucket, proxy, tmp_path, rng):
    """Its ETag is not an MD5, so only the record identifies the fetched file."""
    data = rng.integers(0, 256, 10 * 2**20 + 1, np.uint8).tobytes()
    bucket.files.pipe_file(f"{bucket.name}/x.bin", data, chunksize=5 * 2**20)
    assert bucket.files.info(f"{bucket.name}/x.bin")["ETag"].endswith('-3"')
    for _ in range(2):
        fetch(f"s3://{bucket.name}", tmp_path / "there")
        assert content(tmp_path / "there") == {"x.bin": data}
        assert proxy.gets() == 1
    bucket.files.pipe_file(f"{bucket.name}/x.bin", data[::-1], chunksize=5 * 2**20)
    fetch(f"s3://{bucket.name}", tmp_path / "there")
    assert content(tmp_path / "there") == {"x.bin": data[::-1]}
    for puts in (1, 1):  # put does not use multipart uploads, so the MD5 is known
        put(tmp_path / "there", f"s3://{bucket.name}")
        assert proxy.puts() == puts


@pytest.mark.long
def test_etag_that_looks_like_an_md5_but_is_not(bucket, proxy, tmp_path, monkeypatch):
    bucket["x.png"] = b"one"
    real = bucket.files.info(f"{bucket.name}/x.png")["ETag"].strip('"').encode()
    proxy.replacements = {real: b"0" * 32}
    url = f"s3://{bucket.name}"
    assert_input_error(lambda: fetch(url, tmp_path / "there"), "corrupted in transfer")
    assert_input_error(lambda: put(write_files(tmp_path / "here", {"x.png": b"one"}), url), "corrupted in transfer")
    call = s3fs.S3FileSystem.call_s3
    monkeypatch.setattr(
        s3fs.S3FileSystem, "call_s3", lambda *args, **given: {**call(*args, **given), "ServerSideEncryption": "aws:kms"}
    )
    for _ in range(2):
        fetch(url, tmp_path / "there")
        assert content(tmp_path / "there") == {"x.png": b"one"}
        gets = proxy.gets()
    assert proxy.gets() == gets
    put(tmp_path / "there", url)


def test_key_outside_the_folder_is_an_error(bucket, tmp_path, monkeypatch):
    bucket["set/fine.png"] = b"fine"
    find = s3fs.S3FileSystem.find
    for key in ("../x.png", "a/../../x.png", "/x.png", ".fetched/lock"):

        def found(files, path, bad=f"{bucket.name}/set/{key}", **how):
            """The listing of a store with such a key; Swift rejects some of them."""
            return {**find(files, path, **how), bad: {"size": 4, "ETag": '"00"'}}

        monkeypatch.setattr(s3fs.S3FileSystem, "find", found)
        assert_input_error(
            lambda: fetch(f"s3://{bucket.name}/set", tmp_path / "a" / "b"),
            f"^s3://{bucket.name}/set: the key '{key}' is not a valid file name",
        )
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("forged", ['{"../mine.txt": ["", 0]}', "[]"])
def test_forged_record_deletes_nothing_outside_the_folder(bucket, tmp_path, forged):
    bucket["set/x.png"] = b"x"
    write_files(tmp_path, {"mine.txt": b"mine"})
    fetch(f"s3://{bucket.name}/set", tmp_path / "there")
    (record,) = (tmp_path / "there" / ".fetched").glob("*.json")
    record.write_text(forged)
    fetch(f"s3://{bucket.name}/set", tmp_path / "there")
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://a b/x", "s3://../x", "s3://b/../x", "s3://b/x//y", "/b/x"])
def test_invalid_url_is_an_error(url, tmp_path):
    for action in (lambda: fetch(url, tmp_path / "there"), lambda: cache_folder(url), lambda: put(tmp_path, url)):
        assert_input_error(
            action, f"^{re.escape(url)}: not the URL of an object; use s3://bucket/key or obs://bucket/key$"
        )


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


@pytest.mark.long
def test_concurrent_fetches_download_once(bucket, proxy, tmp_path):
    """As by several processes of one training: the first downloads, the others find the files."""
    files = {f"{index:03d}.png": bytes([index]) * 1000 for index in range(30)}
    put(write_files(tmp_path / "here", files), f"s3://{bucket.name}/set")
    threads = [threading.Thread(target=fetch, args=(f"s3://{bucket.name}/set",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(cache_folder(f"s3://{bucket.name}/set")) == files
    assert proxy.gets() == len(files)


def test_obs_has_its_own_environment_variables(swift, bucket, proxy, tmp_path, monkeypatch):
    """The bucket is part of the host name, as OBS requires, and the region is that of the endpoint."""
    lookup = socket.getaddrinfo

    def local(host, *rest, **more):
        return lookup("127.0.0.1" if str(host).endswith(DOMAIN) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OBS_ENDPOINT", f"http://{DOMAIN}:{proxy.port}")
    monkeypatch.setenv("OBS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("OBS_SECRET_ACCESS_KEY", "testing")
    put(write_files(tmp_path / "here", FILES), f"obs://{bucket.name}/set")
    assert content(fetch(f"obs://{bucket.name}/set")) == FILES
    assert not any(bucket.name in request.partition("?")[0] for request in proxy.requests)
    assert "HEAD /" not in proxy.requests  # a request for the region
    assert cache_folder("obs://b/x").parts[-4:-2] == (f"{DOMAIN}-{proxy.port}", "b")
    monkeypatch.setenv("OBS_ENDPOINT", f"{DOMAIN}:{proxy.port}")  # https by default
    assert cache_folder("obs://b/x").parts[-4:-2] == (f"{DOMAIN}-{proxy.port}", "b")
    assert_input_error(lambda: fetch(f"obs://{bucket.name}/set"), "SSL")


def test_obs_falls_back_to_the_aws_environment_variables(bucket, tmp_path, monkeypatch):
    bucket["x.png"] = b"x"
    assert content(fetch(f"obs://{bucket.name}", tmp_path / "there")) == {"x.png": b"x"}
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert_input_error(lambda: fetch(f"obs://{bucket.name}"), f"^obs://{bucket.name}: no endpoint; set OBS_ENDPOINT")


def test_is_url():
    assert all(map(is_url, ("s3://b", "obs://b/x", "S3://b/x")))
    assert not any(map(is_url, ("", "s3", "s3:/b", "/s3://b", "data/s3", "http://b/x", "C:/x")))


def test_each_url_has_its_own_cache_folder(monkeypatch, tmp_path):
    urls = ["s3://b", "s3://b/x", "s3://b/x/y", "s3://b/y", "s3://c/x", "obs://b/x"]
    folders = [cache_folder(url) for url in urls]
    for folder in folders:
        assert folder.is_relative_to(tmp_path / "cache" / "ssim-ae")
        assert not any(other.is_relative_to(folder) for other in folders if other is not folder)
    assert [folder.name for folder in folders] == ["b", "x", "y", "y", "x", "x"]
    assert cache_folder("s3://b/x/y/") == cache_folder("s3://b/x/y")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert cache_folder("s3://b/x") not in folders
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("s3://b/x").is_relative_to(tmp_path / "home" / ".cache" / "ssim-ae")


def test_s3fs_is_imported_lazily():
    code = "import sys, ssim_ae.buckets; print({'s3fs', 'fsspec', 'botocore', 'aiohttp'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.fixture
def moxing(monkeypatch, tmp_path) -> list[tuple[str, str, str]]:
    """A substitute for moxing that maps obs:// to a folder; the list of its calls."""
    calls = []

    def local(url: str) -> Path:
        return Path(url.replace("obs://", f"{tmp_path}/obs/"))

    def copy(source: str, target: str) -> None:
        calls.append(("copy", source, target))
        if not local(source).is_file():
            raise OSError(f"{source} is not a file\nand more")
        local(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(local(source), local(target))

    def copy_parallel(source: str, target: str) -> None:
        calls.append(("copy_parallel", source, target))
        shutil.copytree(local(source), local(target), dirs_exist_ok=True)

    module = ModuleType("moxing")
    module.file = SimpleNamespace(copy=copy, copy_parallel=copy_parallel, is_directory=lambda url: local(url).is_dir())
    monkeypatch.setitem(sys.modules, "moxing", module)
    return calls


def test_moxing_transfers_on_modelarts(moxing, tmp_path):
    put(write_files(tmp_path / "here", FILES), "obs://b/set")
    put(tmp_path / "here" / "a/b/c/d/e.txt", "obs://b/e.txt")
    assert content(fetch("obs://b/set", tmp_path / "there")) == FILES
    assert fetch("obs://b/e.txt", tmp_path / "there") == tmp_path / "there" / "e.txt"
    assert (tmp_path / "there" / "e.txt").read_bytes() == b"four"
    assert [name for name, _, _ in moxing] == ["copy_parallel", "copy", "copy_parallel", "copy"]
    assert_input_error(lambda: fetch("obs://b/none", tmp_path / "there"), "^obs://b/none: obs://b/none is not a file$")


def test_one_process_of_a_training_downloads_on_modelarts(moxing, tmp_path, monkeypatch):
    put(write_files(tmp_path / "here", FILES), "obs://b/set")
    for rank, copies in (("0", 2), ("1", 2), (None, 3), (None, 4)):
        if rank is None:
            monkeypatch.delenv("LOCAL_RANK", raising=False)
        else:
            monkeypatch.setenv("LOCAL_RANK", rank)
        assert content(fetch("obs://b/set")) == FILES
        assert len(moxing) == copies
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(os, "getppid", lambda: 1)  # another training
    fetch("obs://b/set")
    assert len(moxing) == 5


SETTINGS = "method=reference im_resize=64 crop_size=32 z_dim=8 flc=4 augment_num=64 batch_size=16 epochs=1 stride=16"
SMALL = [f"--{setting}" for setting in SETTINGS.split()]


@pytest.fixture
def dataset_url(bucket, fabric_folder) -> str:
    """The URL of a data set in the bucket."""
    put(fabric_folder, f"s3://{bucket.name}/data/twill")
    return f"s3://{bucket.name}/data/twill"


def test_commands_read_and_write_a_bucket(bucket, proxy, dataset_url, tmp_path, monkeypatch, capsys):
    """The connection is cut during the download of the data set."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "modelarts.yaml"
    config.write_text(
        f"model_arts: True\ndata_url: {dataset_url}\ntrain_url: s3://{bucket.name}/results\n"
        "device_target: CPU\nmask_suffix: _mask.png\n"
    )
    proxy.cuts = 2
    monkeypatch.setitem(globals(), "MARK", b"IEND")  # in each PNG
    assert main(["train", f"--config_path={config}", *SMALL]) == 0
    assert proxy.cuts == 0
    names = {key.rpartition("/")[2]: key for key in bucket.content() if key.startswith("results/twill-1-")}
    assert {"detector.safetensors", "config.yaml", "history.csv", "metrics.json", "contact_sheet.png"} <= names.keys()
    run = f"s3://{bucket.name}/{names['detector.safetensors'].rpartition('/')[0]}"

    assert main(["evaluate", run, dataset_url, f"--save_dir=s3://{bucket.name}/pictures"]) == 0
    assert main(["predict", run, f"{dataset_url}/test/good", "--csv", f"s3://{bucket.name}/tables/good.csv"]) == 0
    assert main(["export", run, "--output", f"s3://{bucket.name}/edge/detector.onnx"]) == 0
    assert main(["predict", f"s3://{bucket.name}/edge/detector.onnx", f"{dataset_url}/test/good/000.png"]) == 0
    stored = bucket.content()
    assert b"000.png" in stored["tables/good.csv"]
    assert any(key.startswith("pictures/twill-1-") and key.endswith("metrics.csv") for key in stored)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "output").exists()


def test_run_in_a_bucket_is_resumed(bucket, proxy, dataset_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", dataset_url, *SMALL, "--runs", f"s3://{bucket.name}/runs", "--device_target=CPU"]) == 0
    (config,) = [key for key in bucket.content() if key.endswith("config.yaml")]
    run = f"s3://{bucket.name}/{config.rpartition('/')[0]}"
    before = proxy.puts()
    assert main(["train", "--resume", run, "--epochs", "+1"]) == 0
    assert proxy.puts() > before


def test_images_are_added_to_a_run_in_a_bucket(bucket, dataset_url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ["--method=features", "--im_resize=64", "--drawn_defects=0", "--run_eval=False"]
    url = f"s3://{bucket.name}"
    assert main(["train", f"{dataset_url}/train/good", *settings, "--runs", f"{url}/runs"]) == 0
    (config,) = [key for key in bucket.content() if key.endswith("config.yaml")]
    run = f"{url}/{config.rpartition('/')[0]}"
    capsys.readouterr()
    assert main(["train", "--add", f"{dataset_url}/test/good", run]) == 0
    assert capsys.readouterr().out.startswith("added 4 good images to 10 (3 for training, 1 held out)")
    stored = bucket.content()
    assert sum("/versions/" in key for key in stored) == 2 and b"more_paths: []" not in stored[config]
    assert main(["train", "--add", f"{dataset_url}/test/good", run]) == 0
    assert capsys.readouterr().out.startswith("added no images: the run keeps its 14 good images")


def test_thresholds_of_a_run_in_a_bucket_are_set_there(bucket, dataset_url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", dataset_url, *SMALL, "--runs", f"s3://{bucket.name}/runs", "--device_target=CPU"]) == 0
    (config,) = [key for key in bucket.content() if key.endswith("config.yaml")]
    run = f"s3://{bucket.name}/{config.rpartition('/')[0]}"
    given = ["--ssim_threshold", "9", "--l1_threshold", "9"]
    assert main(["threshold", run, *given]) == 0
    assert sum("/versions/" in key for key in bucket.content()) == 2
    assert main(["threshold", f"{run}/detector.safetensors", *given]) == 2
    assert "--output: required for a detector file in an object store" in capsys.readouterr().err


def test_results_that_cannot_be_uploaded_are_kept(bucket, proxy, dataset_url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b/x: no answer")))
    assert main(["train", dataset_url, *SMALL, "--runs", "s3://none/runs", "--device_target=CPU"]) == 2
    kept = re.search(r"s3://b/x: no answer; the results are in (\S+)", capsys.readouterr().err)[1]
    assert (Path(kept) / "detector.safetensors").is_file()


def test_file_that_cannot_be_uploaded_is_kept(monkeypatch):
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b: no answer")))
    raises = pytest.raises(InputError, match="s3://b: no answer; the results are in ")
    with raises as caught, locations.local_output("s3://b/table.csv") as path:
        path.write_text("kept")
    folder = Path(str(caught.value).rpartition(" ")[2])
    assert (folder / "table.csv").read_text() == "kept"
    shutil.rmtree(folder)


def test_modelarts_without_data_set_is_a_one_line_error(capsys):
    assert main(["train", "--model_arts", "True"]) == 2
    assert capsys.readouterr().err == "ssim-ae: model_arts: no data set; set data_url to its location\n"


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


def test_all_outputs_are_kept_if_one_cannot_be_uploaded(monkeypatch, capsys):
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b: no answer")))
    raises = pytest.raises(InputError, match="s3://b: no answer; the results are in ")
    with (
        raises,
        locations.local_output("s3://b/table.csv") as table,
        locations.local_output("s3://b/list.json") as document,
    ):
        table.write_text("kept")
        document.write_text("kept too")
    folder = Path(re.search(r"s3://b/table.csv: not uploaded; the output is in (\S+)", capsys.readouterr().err)[1])
    assert (folder / "table.csv").read_text() == "kept"


def test_no_scratch_folder_is_left_without_output(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InputError, match="no detector"), locations.local_output("s3://b/table.csv"):
        raise InputError("no detector")
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# Jobs: images in a bucket, rows in a bucket
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos_in_bucket(bucket, fabric_folder) -> dict[str, bytes]:
    """The images in the bucket, by key, and some objects that are none."""
    paths = sorted((fabric_folder / "test" / "good").iterdir())
    images = {f"photos/{number % 2}/{path.name}": path.read_bytes() for number, path in enumerate(paths)}
    for key, data in {**images, "photos/.hidden/a.png": b"", "photos/notes.doc": b"", "photos-2/a.png": b""}.items():
        bucket[key] = data
    return images


def job_rows(bucket, prefix: str):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parts = [data for key, data in bucket.content().items() if key.startswith(prefix) and key.endswith(".parquet")]
    return pa.concat_tables(pq.read_table(pa.BufferReader(part)) for part in parts).sort_by("path").to_pylist()


def test_a_job_from_bucket_to_bucket(bucket, proxy, photos_in_bucket, tiny_run, detector, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/photos", "--output", f"s3://{bucket.name}/rows"]
    job += ["--part_images", "2"]
    assert main(job) == 0
    assert "note: passed over: 1 item left by other programs; 1 file of another type" in capsys.readouterr().err
    rows = job_rows(bucket, "rows/")
    assert [row["path"] for row in rows] == sorted(f"s3://{bucket.name}/{key}" for key in photos_in_bucket)
    for row, data in zip(rows, (photos_in_bucket[key] for key in sorted(photos_in_bucket)), strict=True):
        (tmp_path / "a.png").write_bytes(data)
        assert (row["score"], row["size"]) == (detector.inspect(tmp_path / "a.png").score, len(data))
    proxy.requests.clear()
    assert main(job) == 0
    assert not [request for request in proxy.requests if "/photos/" in request], "done: not read again"
    assert not proxy.puts()
    assert job_rows(bucket, "rows/") == rows


def test_a_job_writes_its_pictures_into_the_bucket_once(bucket, proxy, photos_in_bucket, tiny_run, detector, tmp_path):
    pytest.importorskip("pyarrow")
    job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/photos", "--output", f"s3://{bucket.name}/rows"]
    job += ["--part_images", "1", "--pictures", "masks", "--threshold_scale", "0.125"]
    assert main(job) == 0
    rows = job_rows(bucket, "rows/")
    for row, key in zip(rows, sorted(photos_in_bucket), strict=True):
        (tmp_path / "a.png").write_bytes(photos_in_bucket[key])
        mask = Image.open(BytesIO(bucket.content()[f"rows/{row['picture']}"]))
        assert np.array_equal(np.asarray(mask) > 0, detector.inspect(tmp_path / "a.png").at(0.125).mask)
    part = min(key for key in bucket.content() if key.startswith("rows/part-"))
    del bucket[part]
    proxy.requests.clear()
    assert main(job) == 0
    assert proxy.puts() == 1, "the missing part, whose picture is there"
    assert job_rows(bucket, "rows/") == rows
    proxy.requests.clear()
    assert main(job) == 0
    assert not proxy.puts()


def test_pictures_between_the_images_of_a_bucket_are_refused(bucket, photos_in_bucket, tiny_run, capsys):
    pytest.importorskip("pyarrow")
    before = bucket.content()
    place = f"s3://{bucket.name}/photos/rows"
    job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/photos/", "--output", place, "--pictures", "masks"]
    assert main(job) == 2
    assert f"{place}: inside s3://{bucket.name}/photos/, whose images are inspected" in capsys.readouterr().err
    assert bucket.content() == before


def test_names_in_a_prefix_are_listed_without_what_is_in_folders(bucket, photos_in_bucket, monkeypatch):
    bucket["photos/"] = b""  # a marker of an empty folder
    opened = store.ObjectStore("s3", bucket.name, "photos")
    original, pages = opened.file_system.call_s3, []

    def small_pages(method, **options):
        pages.append(original(method, **options, MaxKeys=2))
        return pages[-1]

    monkeypatch.setattr(opened.file_system, "call_s3", small_pages)
    assert sorted(opened.names()) == [".hidden", "0", "1", "notes.doc"]
    assert len(pages) > 1
    assert not list(store.ObjectStore("s3", bucket.name, "none").names())


def test_a_job_lists_page_by_page(bucket, photos_in_bucket, monkeypatch):
    opened = store.ObjectStore("s3", bucket.name, "photos")
    original, pages = opened.file_system.call_s3, []

    def small_pages(method, **options):
        pages.append(original(method, **options, **({"MaxKeys": 2} if method == "list_objects_v2" else {})))
        return pages[-1]

    monkeypatch.setattr(opened.file_system, "call_s3", small_pages)
    names = [name for name, _ in opened.iterate()]
    assert names == sorted(opened.list_objects())
    assert len(pages) > len(names) / 2 - 1


def test_a_job_of_an_unreachable_store_ends_and_writes_no_row(bucket, proxy, photos_in_bucket, tiny_run, tmp_path):
    """Images whose content cannot be read for lack of a store are not faulty."""
    pytest.importorskip("pyarrow")
    from ssim_ae.batch import rows
    from ssim_ae.batch.listing import Listing

    images = list(Listing([f"s3://{bucket.name}/photos"]))
    rows._store.cache_clear()
    proxy.close()
    with pytest.raises(ConnectionError, match="photos"):
        rows.read_content(images[0])
    rows._store.cache_clear()


def test_an_object_that_changed_after_the_listing_or_is_gone(bucket, photos_in_bucket):
    pytest.importorskip("pyarrow")
    from ssim_ae.batch import rows
    from ssim_ae.batch.listing import Listing

    rows._store.cache_clear()
    images = list(Listing([f"s3://{bucket.name}/photos"]))
    first, second = sorted(photos_in_bucket)[:2]
    bucket[first] = b"other"
    del bucket[second]
    for image in images[:2]:
        assert_input_error(lambda image=image: rows.read_content(image), "no such object, or changed since")
    assert rows.read_content(images[2]) == photos_in_bucket[sorted(photos_in_bucket)[2]]
    rows._store.cache_clear()


def test_a_job_without_an_image(bucket, tiny_run, capsys):
    pytest.importorskip("pyarrow")
    bucket["other/a.doc"] = b""
    for key in ("none", "other"):
        job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/{key}", "--output", f"s3://{bucket.name}/rows"]
        assert main(job) == 2
        assert f"s3://{bucket.name}/{key}: no images found" in capsys.readouterr().err
    assert set(bucket.content()) == {"other/a.doc"}
