"""Transfers from and to a real object store: OpenStack Swift, which speaks S3, checks every signature and every MD5.

`pip install swift` brings it, with its Python dependencies, into pytest's cache folder, not into the environment; it
then runs on 127.0.0.1 (swift_server.py). Between it and the code under test lies a line of ours, which counts the
requests, and can be cut or garble what passes. Skipped where s3fs is not installed, or Swift cannot be.
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
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ssim_ae import buckets, places
from ssim_ae.buckets import cache_folder, fetch, is_url, put
from ssim_ae.cli import main
from ssim_ae.errors import InputError

s3fs = pytest.importorskip("s3fs", reason="needs s3fs: pip install 's3fs>=2026.2'")

DOMAIN, REGION = "obs.region-1.test", "region-1"
MARK, GARBLED = b"a mark in a file", b"a mask in a file"


class Line:
    """A TCP line to a server, with a port of its own."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.requests: list[str] = []  # "GET /bucket/key"
        self.cuts = self.garbles = 0  # how often yet, at the MARK in a file that passes
        self.exchanged: dict[bytes, bytes] = {}  # in all that comes back
        self.front = socket.create_server(("127.0.0.1", 0))
        self.port = self.front.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError), self.front:
            self.front.shutdown(socket.SHUT_RDWR)

    def gets(self) -> int:
        return sum(request.startswith("GET ") and "list-type" not in request for request in self.requests)

    def puts(self) -> int:
        return sum(request.startswith("PUT ") for request in self.requests)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.front.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.server))
            for ends in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, forth: bool) -> None:
        with source, target:
            try:
                while data := source.recv(2**16):
                    if forth and (request := re.match(rb"([A-Z]+ \S+) HTTP/1.1\r\n", data)):
                        self.requests.append(request[1].decode())
                    for old, new in () if forth else self.exchanged.items():
                        data = data.replace(old, new)
                    if self.garbles and MARK in data:
                        self.garbles -= 1
                        data = data.replace(MARK, GARBLED, 1)
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
    """The port of a Swift."""
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
def surroundings(monkeypatch, tmp_path):
    """Nothing of this machine's: no account of its own, no address but 127.0.0.1."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "OBS_")) or name == "LOCAL_RANK"]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(buckets, "PAUSES", (0.02, 0.05, 0.1))


@pytest.fixture
def line(swift, monkeypatch):
    """The line to it, with what is needed to use it in the environment."""
    line = Line(swift)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    yield line
    line.close()


class Bucket:
    """A new bucket, as another program sees it."""

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
def bucket(files, line, tmp_path) -> Bucket:
    return Bucket(files, re.sub("[^a-z0-9]+", "-", tmp_path.name.lower()).strip("-"))


def content(folder: Path) -> dict[str, bytes]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(".fetched/")}


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def refused(action, match: str) -> None:
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


def test_a_folder_goes_and_comes_back(bucket, line, tmp_path):
    folder = filled(tmp_path / "here", FILES)
    put(folder, f"s3://{bucket.name}/data/set")
    assert bucket.content() == {f"data/set/{name}": data for name, data in FILES.items()}
    assert fetch(f"s3://{bucket.name}/data/set/", tmp_path / "there") == tmp_path / "there"
    assert content(tmp_path / "there") == FILES
    assert fetch(f"s3://{bucket.name}", tmp_path / "all") == tmp_path / "all"
    assert content(tmp_path / "all" / "data" / "set") == FILES
    listings = [request for request in line.requests if "list-type" in request]
    assert len(listings) == 2  # one a fetch; put asks for its own names alone, whatever else is there


def test_an_object_goes_and_comes_back(bucket, tmp_path):
    url = f"s3://{bucket.name}/runs/cloth-1/detector.safetensors"
    bucket["runs/cloth-1/detector.safetensors.old"] = b"another"
    put(filled(tmp_path, {"here": b"detector"}) / "here", url)
    for folder in (tmp_path / "there", cache_folder(url)):
        assert fetch(url, folder) == folder / "detector.safetensors"
        assert content(folder) == {"detector.safetensors": b"detector"}
    assert fetch(url) == cache_folder(url) / "detector.safetensors"


def test_only_what_changed_is_fetched(bucket, line, tmp_path):
    for name, data in FILES.items():
        bucket[f"set/{name}"] = data
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    fetch(url, folder)
    assert line.gets() == len(FILES)
    fetch(url, folder)
    assert line.gets() == len(FILES)
    bucket["set/train/good/000.png"] = b"neu"  # as long as before
    bucket["set/new.png"] = b"new"
    fetch(url, folder)
    assert line.gets() == len(FILES) + 2
    assert content(folder) == {**FILES, "train/good/000.png": b"neu", "new.png": b"new"}
    (folder / "a/b/c/d/e.txt").write_bytes(b"4444")  # changed here: as in the bucket again
    fetch(url, folder)
    assert content(folder)["a/b/c/d/e.txt"] == b"four"
    shutil.rmtree(folder / ".fetched")
    before = line.gets()
    fetch(url, folder)
    assert line.gets() == before


def test_what_the_bucket_no_longer_has_is_removed(bucket, tmp_path):
    for name, data in FILES.items():
        bucket[f"set/{name}"] = data
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    fetch(f"{url}/", folder)
    fetch(f"{url}/a", folder)  # of another URL in the same folder
    (folder / "mine.txt").write_bytes(b"mine")
    for name in ("train/good/000.png", "train/good/001.png", "a/b/c/d/e.txt"):
        del bucket[f"set/{name}"]
    bucket["set/train"] = b"a file where there was a folder"
    bucket["set/empty/"] = b""  # what a console makes for an empty folder
    fetch(url, folder)
    assert content(folder).keys() == {*FILES, "mine.txt", "train", "b/c/d/e.txt"} - {
        "train/good/000.png",
        "train/good/001.png",
        "a/b/c/d/e.txt",
    }


def test_what_a_killed_fetch_left_is_removed_too(bucket, tmp_path, monkeypatch):
    bucket["set/old.png"], bucket["set/new.png"] = b"old", b"new"
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    with monkeypatch.context() as patch:
        writes = []

        def killed_after_one(path, data):
            writes.append(path)
            if len(writes) == 1:
                path.write_text(data)

        patch.setattr(buckets, "write_whole", killed_after_one)
        fetch(url, folder)
    assert len(writes) == 2
    (folder / ".fetched" / ".0123456789ab.ssim-ae.part").write_bytes(b"half")
    del bucket["set/old.png"]
    fetch(url, folder)
    assert content(folder) == {"new.png": b"new"}
    assert not list((folder / ".fetched").glob(".*"))


def test_only_what_changed_is_put(bucket, line, tmp_path):
    folder = filled(tmp_path / "here", FILES)
    url = f"s3://{bucket.name}/runs/x-1"
    put(folder, url)
    assert line.puts() == len(FILES)
    put(folder, url)
    assert line.puts() == len(FILES)
    (folder / "train/good/000.png").write_bytes(b"neu")
    (folder / "a/b/c/d/e.txt").unlink()  # there it stays
    filled(folder, {".fetched/lock": b"", "train/.x.png.ab12.ssim-ae.part": b"half", ".hidden": b"x"})
    put(folder, url)
    assert line.puts() == len(FILES) + 2
    expected = {**FILES, "train/good/000.png": b"neu", ".hidden": b"x"}
    assert bucket.content() == {f"runs/x-1/{name}": data for name, data in expected.items()}


@pytest.fixture
def marked(rng: np.random.Generator) -> bytes:
    """300 kB, with marks all along their second half."""
    noise = rng.integers(0, 256, 150_000, np.uint8).tobytes()
    return noise + (MARK + noise[:500]) * 300


@pytest.mark.parametrize("cuts", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_line_that_is_cut_is_survived(bucket, line, tmp_path, marked, cuts):
    line.cuts = cuts
    put(filled(tmp_path / "here", {"x.png": marked, "y.png": b"y"}), f"s3://{bucket.name}")
    assert bucket.content() == {"x.png": marked, "y.png": b"y"}
    assert line.cuts == 0
    line.cuts = cuts
    fetch(f"s3://{bucket.name}", tmp_path / "there")
    assert content(tmp_path / "there") == {"x.png": marked, "y.png": b"y"}
    assert line.cuts == 0
    assert line.gets() == 2 + cuts


def test_a_file_whose_line_is_always_cut_is_refused_and_the_others_are_kept(bucket, line, tmp_path, marked):
    others = {f"{index}.png": bytes([index]) for index in range(20)}
    for name, data in {**others, "x.png": marked}.items():
        bucket[name] = data
    line.cuts = 99
    refused(lambda: fetch(f"s3://{bucket.name}", tmp_path / "there"), f"^s3://{bucket.name}/x.png: ")
    assert content(tmp_path / "there") == others
    line.cuts, before = 0, line.gets()
    fetch(f"s3://{bucket.name}", tmp_path / "there")
    assert line.gets() == before + 1
    assert content(tmp_path / "there") == {**others, "x.png": marked}


@pytest.mark.parametrize("garbles", [1, 99])
def test_what_arrives_damaged_is_not_taken(bucket, line, tmp_path, marked, garbles):
    bucket["x.png"], folder = marked, filled(tmp_path / "there", {"x.png": b"old"})
    line.garbles = garbles
    if garbles == 1:
        assert content(fetch(f"s3://{bucket.name}", folder)) == {"x.png": marked}
    else:
        refused(lambda: fetch(f"s3://{bucket.name}", folder), f"^s3://{bucket.name}/x.png: arrived damaged$")
        assert content(folder) == {"x.png": b"old"}
        assert not list((folder / ".fetched").glob("*.part"))
    line.garbles = garbles
    new = filled(tmp_path / "new", {"x.png": MARK})
    if garbles == 1:
        put(new, f"s3://{bucket.name}")
        assert bucket.content() == {"x.png": MARK}
    else:
        refused(lambda: put(new, f"s3://{bucket.name}"), f"^s3://{bucket.name}/x.png: ")
        assert bucket.content() == {"x.png": marked}


@pytest.mark.long
def test_an_object_that_was_sent_in_parts(bucket, line, tmp_path, rng):
    """Its ETag is no MD5: what was fetched once is known by the record alone."""
    data = rng.integers(0, 256, 10 * 2**20 + 1, np.uint8).tobytes()
    bucket.files.pipe_file(f"{bucket.name}/x.bin", data, chunksize=5 * 2**20)
    assert bucket.files.info(f"{bucket.name}/x.bin")["ETag"].endswith('-3"')
    for _ in range(2):
        fetch(f"s3://{bucket.name}", tmp_path / "there")
        assert content(tmp_path / "there") == {"x.bin": data}
        assert line.gets() == 1
    bucket.files.pipe_file(f"{bucket.name}/x.bin", data[::-1], chunksize=5 * 2**20)
    fetch(f"s3://{bucket.name}", tmp_path / "there")
    assert content(tmp_path / "there") == {"x.bin": data[::-1]}
    for puts in (1, 1):  # ours are sent in one piece, and known by their MD5
        put(tmp_path / "there", f"s3://{bucket.name}")
        assert line.puts() == puts


@pytest.mark.long
def test_an_etag_that_is_no_md5_though_it_looks_like_one(bucket, line, tmp_path, monkeypatch):
    bucket["x.png"] = b"one"
    real = bucket.files.info(f"{bucket.name}/x.png")["ETag"].strip('"').encode()
    line.exchanged = {real: b"0" * 32}
    url = f"s3://{bucket.name}"
    refused(lambda: fetch(url, tmp_path / "there"), "arrived damaged")
    refused(lambda: put(filled(tmp_path / "here", {"x.png": b"one"}), url), "arrived damaged")
    call = s3fs.S3FileSystem.call_s3
    monkeypatch.setattr(
        s3fs.S3FileSystem, "call_s3", lambda *args, **given: {**call(*args, **given), "ServerSideEncryption": "aws:kms"}
    )
    for _ in range(2):
        fetch(url, tmp_path / "there")
        assert content(tmp_path / "there") == {"x.png": b"one"}
        gets = line.gets()
    assert line.gets() == gets
    put(tmp_path / "there", url)


def test_a_key_that_would_leave_the_folder_is_refused(bucket, tmp_path, monkeypatch):
    bucket["set/fine.png"] = b"fine"
    find = s3fs.S3FileSystem.find
    for key in ("../x.png", "a/../../x.png", "/x.png", ".fetched/lock"):

        def found(files, path, bad=f"{bucket.name}/set/{key}", **how):
            """A store that has such a key: Swift would not take all of them."""
            return {**find(files, path, **how), bad: {"size": 4, "ETag": '"00"'}}

        monkeypatch.setattr(s3fs.S3FileSystem, "find", found)
        refused(lambda: fetch(f"s3://{bucket.name}/set", tmp_path / "a" / "b"), f"^s3://{bucket.name}/set: '{key}'")
        assert not (tmp_path / "a").exists()


def test_a_forged_record_removes_nothing_outside(bucket, tmp_path):
    bucket["set/x.png"] = b"x"
    filled(tmp_path, {"mine.txt": b"mine"})
    fetch(f"s3://{bucket.name}/set", tmp_path / "there")
    (record,) = (tmp_path / "there" / ".fetched").glob("*.json")
    record.write_text('{"../mine.txt": ["", 0]}')
    fetch(f"s3://{bucket.name}/set", tmp_path / "there")
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://a b/x", "s3://../x", "s3://b/../x", "s3://b/x//y", "/b/x"])
def test_what_is_no_url_is_refused(url, tmp_path):
    for action in (lambda: fetch(url, tmp_path / "there"), lambda: cache_folder(url), lambda: put(tmp_path, url)):
        refused(action, f"^{re.escape(url)}: should be s3://bucket/key or obs://bucket/key$")


def test_what_is_not_there_is_one_line(bucket, tmp_path, monkeypatch):
    bucket["set/x.png"] = b"x"
    there = tmp_path / "there"
    monkeypatch.setattr(buckets, "PAUSES", (99,))
    refused(lambda: fetch(f"s3://{bucket.name}/se", there), f"^s3://{bucket.name}/se: no such object, and nothing")
    refused(lambda: fetch("s3://no-such-bucket/set", there), "^s3://no-such-bucket/set: .*does not exist")
    refused(
        lambda: put(filled(tmp_path / "here", FILES), "s3://no-such-bucket/x"), "^s3://no-such-bucket/x/.*not exist"
    )
    refused(lambda: put(tmp_path / "none", f"s3://{bucket.name}/set"), "none: no such file or folder")
    assert not there.exists()


def test_no_credentials_or_wrong_ones_are_one_line(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "PAUSES", (99,))
    url = f"s3://{bucket.name}/set"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused(lambda: fetch(url, tmp_path / "there"), f"^{url}: .*signature")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    refused(lambda: fetch(url, tmp_path / "there"), f"^{url}: no credentials; set AWS_ACCESS_KEY_ID and ")
    refused(lambda: put(filled(tmp_path / "here", {"x": b""}), url), f"^{url}/x: no credentials")
    monkeypatch.setenv("AWS_PROFILE", "none")
    refused(lambda: fetch(url, tmp_path / "there"), f"^{url}: .*profile .none.")


def test_an_endpoint_that_is_not_there_is_one_line(line, tmp_path, monkeypatch):
    line.close()
    refused(lambda: fetch("s3://bucket/set", tmp_path / "there"), f"^s3://bucket/set: .*http://127.0.0.1:{line.port}")
    monkeypatch.setattr(buckets, "PAUSES", (99,))  # for what no waiting helps
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")
    refused(lambda: fetch("s3://bucket/set", tmp_path / "there"), "^s3://bucket/set: Invalid endpoint: nowhere$")


@pytest.mark.parametrize("silent", [False, pytest.param(True, marks=pytest.mark.long)])
def test_an_endpoint_that_is_no_store_is_one_line(line, tmp_path, monkeypatch, silent):
    monkeypatch.setattr(buckets, "READ_SECONDS", 0.1)

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
        refused(lambda: fetch("s3://bucket/set", tmp_path / "there"), "^s3://bucket/set: ")
        ended.set()
        other.shutdown()


def test_a_full_disk_is_one_line(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "PAUSES", (99,))
    bucket["x.png"] = b"x" * 2_000_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        refused(lambda: fetch(f"s3://{bucket.name}", tmp_path / "there"), f"^s3://{bucket.name}/x.png: File too large$")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(tmp_path / "there") == {}
    filled(tmp_path, {"file": b""})
    refused(
        lambda: fetch(f"s3://{bucket.name}", tmp_path / "file"), f"^s3://{bucket.name}: cannot be written to .*file"
    )


@pytest.mark.long
def test_many_at_once(bucket, line, tmp_path):
    """Several processes of one training ask for the same folder: one of them fetches."""
    files = {f"{index:03d}.png": bytes([index]) * 1000 for index in range(30)}
    put(filled(tmp_path / "here", files), f"s3://{bucket.name}/set")
    threads = [threading.Thread(target=fetch, args=(f"s3://{bucket.name}/set",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(cache_folder(f"s3://{bucket.name}/set")) == files
    assert line.gets() == len(files)


def test_obs_is_reached_by_its_own_names(swift, bucket, line, tmp_path, monkeypatch):
    """The bucket is part of the host's name, as OBS wants it, and the region is the endpoint's."""
    lookup = socket.getaddrinfo

    def local(host, *rest, **more):
        return lookup("127.0.0.1" if str(host).endswith(DOMAIN) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OBS_ENDPOINT", f"http://{DOMAIN}:{line.port}")
    monkeypatch.setenv("OBS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("OBS_SECRET_ACCESS_KEY", "testing")
    put(filled(tmp_path / "here", FILES), f"obs://{bucket.name}/set")
    assert content(fetch(f"obs://{bucket.name}/set")) == FILES
    assert not any(bucket.name in request.partition("?")[0] for request in line.requests)
    assert "HEAD /" not in line.requests  # to ask for a region
    assert cache_folder("obs://b/x").parts[-4:-2] == (f"{DOMAIN}-{line.port}", "b")
    monkeypatch.setenv("OBS_ENDPOINT", f"{DOMAIN}:{line.port}")  # which is https
    assert cache_folder("obs://b/x").parts[-4:-2] == (f"{DOMAIN}-{line.port}", "b")
    refused(lambda: fetch(f"obs://{bucket.name}/set"), "SSL")


def test_obs_with_the_usual_names(bucket, tmp_path, monkeypatch):
    bucket["x.png"] = b"x"
    assert content(fetch(f"obs://{bucket.name}", tmp_path / "there")) == {"x.png": b"x"}
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    refused(lambda: fetch(f"obs://{bucket.name}"), f"^obs://{bucket.name}: set OBS_ENDPOINT")


def test_which_places_are_urls():
    assert all(map(is_url, ("s3://b", "obs://b/x", "S3://b/x")))
    assert not any(map(is_url, ("", "s3", "s3:/b", "/s3://b", "data/s3", "http://b/x", "C:/x")))


def test_every_url_has_a_cache_of_its_own(monkeypatch, tmp_path):
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


def test_nothing_is_imported_before_it_is_needed():
    code = "import sys, ssim_ae.buckets; print({'s3fs', 'fsspec', 'botocore', 'aiohttp'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.fixture
def moxing(monkeypatch, tmp_path) -> list[tuple[str, str, str]]:
    """A stand-in for moxing whose obs:// is a folder; what was asked of it."""
    asked = []

    def local(place: str) -> Path:
        return Path(place.replace("obs://", f"{tmp_path}/obs/"))

    def copy(source: str, target: str) -> None:
        asked.append(("copy", source, target))
        if not local(source).is_file():
            raise OSError(f"{source} is not a file\nand more")
        local(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(local(source), local(target))

    def copy_parallel(source: str, target: str) -> None:
        asked.append(("copy_parallel", source, target))
        shutil.copytree(local(source), local(target), dirs_exist_ok=True)

    module = ModuleType("moxing")
    module.file = SimpleNamespace(copy=copy, copy_parallel=copy_parallel, is_directory=lambda url: local(url).is_dir())
    monkeypatch.setitem(sys.modules, "moxing", module)
    return asked


def test_on_modelarts_moxing_copies(moxing, tmp_path):
    put(filled(tmp_path / "here", FILES), "obs://b/set")
    put(tmp_path / "here" / "a/b/c/d/e.txt", "obs://b/e.txt")
    assert content(fetch("obs://b/set", tmp_path / "there")) == FILES
    assert fetch("obs://b/e.txt", tmp_path / "there") == tmp_path / "there" / "e.txt"
    assert (tmp_path / "there" / "e.txt").read_bytes() == b"four"
    assert [name for name, _, _ in moxing] == ["copy_parallel", "copy", "copy_parallel", "copy"]
    refused(lambda: fetch("obs://b/none", tmp_path / "there"), "^obs://b/none: obs://b/none is not a file$")


def test_on_modelarts_one_process_of_a_training_copies(moxing, tmp_path, monkeypatch):
    put(filled(tmp_path / "here", FILES), "obs://b/set")
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


SETTINGS = "im_resize=64 crop_size=32 z_dim=8 flc=4 augment_num=64 batch_size=16 epochs=1 stride=16"
SMALL = [f"--{setting}" for setting in SETTINGS.split()]


@pytest.fixture
def stored_cloth(bucket, fabric_folder) -> str:
    """The URL of a data set in the bucket."""
    put(fabric_folder, f"s3://{bucket.name}/data/twill")
    return f"s3://{bucket.name}/data/twill"


def test_from_a_bucket_to_a_bucket(bucket, line, stored_cloth, tmp_path, monkeypatch, capsys):
    """The line is cut while the data set comes: the training goes on."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "modelarts.yaml"
    config.write_text(
        f"model_arts: True\ndata_url: {stored_cloth}\ntrain_url: s3://{bucket.name}/results\n"
        "device_target: CPU\nmask_suffix: _mask.png\n"
    )
    line.cuts = 2
    monkeypatch.setitem(globals(), "MARK", b"IEND")  # of every PNG
    assert main(["train", f"--config_path={config}", *SMALL]) == 0
    assert line.cuts == 0
    names = {key.rpartition("/")[2]: key for key in bucket.content() if key.startswith("results/twill-1-")}
    assert {"detector.safetensors", "config.yaml", "history.csv", "metrics.json", "contact_sheet.png"} <= names.keys()
    run = f"s3://{bucket.name}/{names['detector.safetensors'].rpartition('/')[0]}"

    assert main(["evaluate", run, stored_cloth, f"--save_dir=s3://{bucket.name}/pictures"]) == 0
    assert main(["predict", run, f"{stored_cloth}/test/good", "--csv", f"s3://{bucket.name}/tables/good.csv"]) == 0
    assert main(["export", run, "--output", f"s3://{bucket.name}/edge/detector.onnx"]) == 0
    assert main(["predict", f"s3://{bucket.name}/edge/detector.onnx", f"{stored_cloth}/test/good/000.png"]) == 0
    stored = bucket.content()
    assert b"000.png" in stored["tables/good.csv"]
    assert any(key.startswith("pictures/twill-1-") and key.endswith("metrics.csv") for key in stored)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "output").exists()


def test_a_run_in_a_bucket_goes_on(bucket, line, stored_cloth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", stored_cloth, *SMALL, "--runs", f"s3://{bucket.name}/runs", "--device_target=CPU"]) == 0
    (config,) = [key for key in bucket.content() if key.endswith("config.yaml")]
    run = f"s3://{bucket.name}/{config.rpartition('/')[0]}"
    before = line.puts()
    assert main(["train", "--resume", run]) == 0
    assert line.puts() > before


def test_results_that_cannot_be_sent_are_kept(bucket, line, stored_cloth, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b/x: no answer")))
    assert main(["train", stored_cloth, *SMALL, "--runs", "s3://none/runs", "--device_target=CPU"]) == 2
    kept = re.search(r"s3://b/x: no answer; the results are in (\S+)", capsys.readouterr().err)[1]
    assert (Path(kept) / "detector.safetensors").is_file()


def test_a_file_that_cannot_be_sent_is_kept(monkeypatch):
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b: no answer")))
    refusal = pytest.raises(InputError, match="s3://b: no answer; the results are in ")
    with refusal as caught, places.written("s3://b/table.csv") as path:
        path.write_text("kept")
    folder = Path(str(caught.value).rpartition(" ")[2])
    assert (folder / "table.csv").read_text() == "kept"
    shutil.rmtree(folder)


def test_modelarts_without_data_is_one_line(capsys):
    assert main(["train", "--model_arts", "True"]) == 2
    assert capsys.readouterr().err == "ssim-ae: model_arts: data_url should say where the data set lies\n"


TRANSFER = """
import sys
import tempfile
from pathlib import Path
from ssim_ae.buckets import fetch, put
print("begun", flush=True)
fetch(sys.argv[3], Path(sys.argv[2])) if sys.argv[1] == "fetch" else put(Path(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.parametrize("way", ["fetch", "put"])
def test_killed_while_it_brings_files_every_file_is_old_or_new(bucket, tmp_path, rng, way, kills):
    sizes = [*range(8), 3_000_000, 300_000]
    old, new = ({f"{size}.png": rng.bytes(size) + text for size in sizes} for text in (b"old", b"new"))
    url, killed = f"s3://{bucket.name}", 0
    arguments = [sys.executable, "-c", TRANSFER, way, str(tmp_path / "here"), url]
    while killed < kills:
        for name in old:
            bucket[name] = old[name] if way == "put" else new[name]
        filled(tmp_path / "here", new if way == "put" else old)
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


def test_of_several_results_none_is_lost_when_the_first_cannot_be_sent(monkeypatch, capsys):
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b: no answer")))
    refusal = pytest.raises(InputError, match="s3://b: no answer; the results are in ")
    with refusal, places.written("s3://b/table.csv") as table, places.written("s3://b/list.json") as document:
        table.write_text("kept")
        document.write_text("kept too")
    folder = Path(re.search(r"not sent to s3://b/table.csv: what was done is in (\S+)", capsys.readouterr().err)[1])
    assert (folder / "table.csv").read_text() == "kept"


def test_nothing_is_left_where_nothing_was_done(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InputError, match="no detector"), places.written("s3://b/table.csv"):
        raise InputError("no detector")
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().err
