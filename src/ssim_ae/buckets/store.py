"""Objects under a key of a bucket: listed, downloaded and uploaded over the S3 interface."""

from __future__ import annotations

import copy
import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from ssim_ae.buckets.urls import endpoint
from ssim_ae.errors import InputError, first_line

CONCURRENT_TRANSFERS = 16  # files; most of the time for a small file is latency
RETRY_PAUSES = (0.5, 2.0, 6.0)  # s before each retry
CONNECT_TIMEOUT = 5  # s
READ_TIMEOUT = 60  # s; it includes sending the file in an upload, over a slow connection too
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOTDIR, errno.EISDIR)
PERMANENT_ERRORS = (FileNotFoundError, PermissionError, FileExistsError)
Result = TypeVar("Result")


class StoredObject(NamedTuple):
    """Size in bytes and ETag of an object. For most objects the ETag is the MD5 of the content, in hex."""

    size: int
    etag: str

    @property
    def has_md5(self) -> bool:
        """Whether the ETag has the form of an MD5. That of a multipart upload does not."""
        return bool(re.fullmatch("[0-9a-f]{32}", self.etag))

    def matches(self, content: Path | bytes) -> bool:
        """Return whether a file, or its content, has the size and, if known, the MD5 of the object."""
        if isinstance(content, bytes):
            return len(content) == self.size and (not self.has_md5 or hashlib.md5(content).hexdigest() == self.etag)
        path = content
        if path.stat().st_size != self.size or not self.has_md5:
            return path.stat().st_size == self.size
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == self.etag


class ObjectStore:
    """The objects under a key. An object is named by the part of its key after `key`.

    Operations are retried after temporary errors and raise InputError for others.
    """

    def __init__(self, scheme: str, bucket: str, key: str) -> None:
        self.scheme = scheme
        self.bucket = bucket
        self.key = key
        if scheme == "obs" and not endpoint(scheme):
            raise InputError(
                f"{self._url('')}: no endpoint; set OBS_ENDPOINT, as in https://obs.cn-north-4.myhuaweicloud.com"
            )
        self.file_system = _create_file_system(scheme)

    def parent(self) -> Self:
        """Return the store of the key without its last part."""
        parent = copy.copy(self)
        parent.key = self.key.rpartition("/")[0]
        return parent

    def list_objects(self) -> dict[str, StoredObject]:
        """Return all objects by name, from one listing. If `key` is itself an object, its name is empty."""
        prefix = self._path("")
        found = self._with_retries("", lambda: self.file_system.find(prefix, detail=True))
        return {
            path[len(prefix) + 1 :]: StoredObject(int(entry["size"]), entry["ETag"].strip('"'))
            for path, entry in found.items()
            if not path.endswith("/")  # a marker that the store's web console creates for an empty folder
        }

    def iterate(self) -> Iterator[tuple[str, StoredObject]]:
        """Yield name, size and ETag of all objects in the order of their keys; at most a page of them is in memory."""
        found = False
        for page in self._pages():
            for entry in page.get("Contents", ()):
                name = entry["Key"][len(self._prefix) :]
                if name and not name.endswith("/"):  # a marker of an empty folder
                    found = True
                    yield name, StoredObject(entry["Size"], entry["ETag"].strip('"'))
        if not found and self.key and (stored := self.head("")):
            yield "", stored

    def names(self) -> Iterator[str]:
        """Yield the names of objects without a slash in their name, and what others have before their first slash."""
        for page in self._pages(Delimiter="/"):
            entries = [entry["Key"] for entry in page.get("Contents", ())]
            entries += [entry["Prefix"].removesuffix("/") for entry in page.get("CommonPrefixes", ())]
            yield from (name for entry in entries if (name := entry[len(self._prefix) :]))

    def read(self, name: str, listed: StoredObject | None = None) -> bytes | None:
        """Return the content of an object; None if it does not exist or is not the one that was listed."""
        return self._with_retries(name, lambda: self._read_once(name, listed))

    def write(self, name: str, data: bytes) -> None:
        """Write an object in one request, which is atomic, and verify it."""
        self._with_retries(name, lambda: self._write_once(name, data))

    def head(self, name: str) -> StoredObject | None:
        """Return the current size and ETag of an object, or None if it does not exist."""
        return self._with_retries(name, lambda: self._head_if_exists(name))

    def download(self, name: str, path: Path, listed: StoredObject) -> None:
        """Download an object to a new file and verify it against `listed`, its entry in the listing."""
        self._with_retries(name, lambda: self._download_once(name, path, listed))

    def upload(self, path: Path, name: str) -> None:
        """Upload a file and verify the object."""
        self._with_retries(name, lambda: self._upload_once(path, name))

    def _download_once(self, name: str, path: Path, listed: StoredObject) -> None:
        self.file_system.get_file(self._path(name), str(path))
        # The object may have changed after the listing: then its current size and ETag match.
        if not listed.matches(path) and not self._head(name).matches(path):
            raise ConnectionError("corrupted in transfer")

    def _upload_once(self, path: Path, name: str) -> None:
        self._write_once(name, path.read_bytes())

    def _write_once(self, name: str, data: bytes) -> None:
        # In one part, because the store does not compute the MD5 of a multipart upload.
        self.file_system.pipe_file(self._path(name), data, chunksize=len(data) + 1)
        if not self._head(name).matches(data):
            raise ConnectionError("corrupted in transfer")

    def _read_once(self, name: str, listed: StoredObject | None) -> bytes | None:
        try:
            data: bytes = self.file_system.cat_file(self._path(name))
            if listed and not listed.matches(data):
                if self._head(name) != listed:
                    return None
                raise ConnectionError("corrupted in transfer")
        except FileNotFoundError:
            return None
        return data

    @property
    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""

    def _pages(self, **options: str) -> Iterator[dict[str, Any]]:
        while True:
            page = self._with_retries("", lambda: self._list_page(options))
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _list_page(self, options: dict[str, str]) -> dict[str, Any]:
        return self.file_system.call_s3("list_objects_v2", Bucket=self.bucket, Prefix=self._prefix, **options)

    def _head_if_exists(self, name: str) -> StoredObject | None:
        with suppress(FileNotFoundError):
            return self._head(name)
        return None

    def _head(self, name: str) -> StoredObject:
        key = self._path(name).partition("/")[2]
        response = self.file_system.call_s3("head_object", Bucket=self.bucket, Key=key)
        # The ETag of an object that is encrypted with a customer's key looks like an MD5 but is not.
        encrypted = "SSECustomerAlgorithm" in response or "kms" in response.get("ServerSideEncryption", "")
        return StoredObject(response["ContentLength"], "" if encrypted else response["ETag"].strip('"'))

    def _path(self, name: str) -> str:
        return "/".join(part for part in (self.bucket, self.key, name) if part)

    def _url(self, name: str) -> str:
        return f"{self.scheme}://{self._path(name)}"

    def _with_retries(self, name: str, action: Callable[[], Result]) -> Result:
        """Return `action()`. Temporary errors are retried; the last error and others raise InputError."""
        from botocore.exceptions import BotoCoreError

        pauses = iter(RETRY_PAUSES)
        while True:
            try:
                return action()
            except (ValueError, BotoCoreError, *_connection_errors()) as error:
                pause = next(pauses, None) if _is_temporary(error) else None
                if pause is None:
                    raise InputError(f"{self._url(name)}: {error_reason(error)}") from error
                time.sleep(pause)


def error_reason(error: Exception) -> str:
    """Return one line that describes an error of the object store or of the file system."""
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    strerror = getattr(error, "strerror", None)
    return str(strerror).splitlines()[0] if strerror else first_line(error)


def _is_temporary(error: Exception) -> bool:
    if not isinstance(error, _connection_errors()) or isinstance(error, PERMANENT_ERRORS):
        return False
    return getattr(error, "errno", None) not in DISK_ERRORS


@cache
def _connection_errors() -> tuple[type[Exception], ...]:
    from aiohttp import ClientError
    from botocore import exceptions

    botocore_errors = (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError)
    return (OSError, ClientError, *botocore_errors)


def _create_file_system(scheme: str) -> Any:
    import s3fs

    client: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "max_pool_connections": CONCURRENT_TRANSFERS,
        "retries": {"total_max_attempts": 1},  # ObjectStore retries
        "request_checksum_calculation": "when_required",  # OBS, among others, rejects checksums other than MD5
        "response_checksum_validation": "when_required",
    }
    options = {"config_kwargs": client, "use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "obs":
        client["s3"] = {"addressing_style": "virtual"}  # OBS rejects bucket names in the path
        options |= _obs_options()
    file_system = s3fs.S3FileSystem(max_concurrency=1, **options)
    file_system.retries = 1
    return file_system


def _obs_options() -> dict[str, Any]:
    """Return endpoint, credentials and region of Huawei OBS. Values of None leave the choice to botocore."""
    url = endpoint("obs")
    options: dict[str, Any] = {
        "endpoint_url": url,
        "key": os.environ.get("OBS_ACCESS_KEY_ID"),
        "secret": os.environ.get("OBS_SECRET_ACCESS_KEY"),
        "token": os.environ.get("OBS_SECURITY_TOKEN"),
    }
    region = re.match(r"https?://obs\.([\w-]+)\.", url)
    if region and "AWS_DEFAULT_REGION" not in os.environ:
        options["client_kwargs"] = {"region_name": region[1]}
    return options
