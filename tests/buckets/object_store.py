"""An object store of tests: a bucket, and a proxy that counts, cuts and corrupts; files and folders to compare."""

import re
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import s3fs

from ssim_ae.errors import InputError

DOMAIN = "obs.region-1.test"
REGION = "region-1"
MARK = b"a mark in a file"
CORRUPTED = b"a mask in a file"  # what the proxy replaces the mark with
FILES = {
    "train/good/000.png": b"one",
    "train/good/001.png": b"two" * 100_000,
    "test/scratch/000.png": b"",
    "größe 10 %/ü #1 +&=?x~.png": b"three",
    "a/b/c/d/e.txt": b"four",
}


class Proxy:
    """A TCP proxy with a port of its own in front of a server."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.requests: list[str] = []  # "GET /bucket/key"
        self.mark = MARK
        self.cuts = 0  # number of connections to cut at the mark in a file
        self.corruptions = 0  # number of marks to change
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
                    if self.corruptions and self.mark in data:
                        self.corruptions -= 1
                        data = data.replace(self.mark, CORRUPTED, 1)
                    if self.cuts and self.mark in data:
                        self.cuts -= 1
                        target.sendall(data[: data.index(self.mark)])
                        break
                    target.sendall(data)
            except OSError:
                pass
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


class Bucket:
    """A new bucket, accessed without the proxy."""

    def __init__(self, files: s3fs.S3FileSystem, name: str) -> None:
        self.files, self.name = files, name
        self.files.call_s3("create_bucket", Bucket=name)

    def __setitem__(self, key: str, data: bytes) -> None:
        self.files.call_s3("put_object", Bucket=self.name, Key=key, Body=data)

    def __delitem__(self, key: str) -> None:
        self.files.call_s3("delete_object", Bucket=self.name, Key=key)

    def content(self) -> dict[str, bytes]:
        return {path.partition("/")[2]: self.files.cat_file(path) for path in self.files.find(self.name)}


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
