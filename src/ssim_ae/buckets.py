"""Data sets and results in an object store: `s3://bucket/key`, and `obs://bucket/key` of Huawei OBS.

Endpoint, credentials and region are found where botocore looks for them: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, ~/.aws. For obs://, OBS_ENDPOINT, OBS_ACCESS_KEY_ID and
OBS_SECRET_ACCESS_KEY come first.

On ModelArts its own moxing copies instead. It exists nowhere else: that part has only ever run on a stand-in.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ssim_ae.console import progress
from ssim_ae.errors import InputError
from ssim_ae.machine import in_parallel
from ssim_ae.storage import PART, remove_leftovers, write_whole

OURS = ".fetched"  # a folder within the one fetched: what is known of its files, and those under way
WORKERS = 16  # files at once: a small one is mostly waited for
PAUSES = (0.5, 2.0, 6.0)  # s before each further try
CONNECT_SECONDS, READ_SECONDS = 5, 60  # the latter has to last until what was sent has left, on a slow line too
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOTDIR, errno.EISDIR)
Result = TypeVar("Result")


def is_url(place: str) -> bool:
    """Whether `place` lies in an object store."""
    return place.lower().startswith(("s3://", "obs://"))


def cache_folder(url: str) -> Path:
    """Return the folder where `fetch` keeps what lies at a URL: always the same, and no other URL's."""
    scheme, bucket, key = _split(url)
    host = _endpoint(scheme).partition("//")[2].strip("/").replace(":", "-") or scheme
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # The key as a path would not do: one URL's files could then lie within another's.
    return root / "ssim-ae" / host / bucket / _short_hash(key) / (_name(key) or bucket)


def fetch(url: str, folder: Path | None = None) -> Path:
    """Bring an object, or all objects under a prefix, into a folder (`cache_folder(url)`); return the file or folder.

    Only what changed is transferred. What was fetched before and is no longer in the bucket is removed. Every file
    is checked: its size, and its MD5 where the store tells it. InputError, one line, if anything is wrong.
    """
    place = _split(url)
    folder = cache_folder(url) if folder is None else folder
    if moxing := _moxing():
        return _fetch_by_moxing(moxing, url, folder)
    store = _Store(*place)
    objects = store.objects()
    found = folder
    if "" in objects:
        store.key, _, name = store.key.rpartition("/")
        found, objects = folder / name, {name: objects[""]}
    if not objects:
        raise InputError(f"{url}: no such object, and nothing under it")
    for name in objects:
        if not _is_file_name(name):
            raise InputError(f"{url}: {name!r} there cannot be the name of a file here; nothing was fetched")
    with _alone(folder, url):
        _fetch_changed(store, objects, folder, folder / OURS / f"{_short_hash('/'.join(place))}.json")
    return found


def put(folder: Path, url: str) -> None:
    """Bring a folder's files under a prefix, or a file to a URL: only what changed. Nothing is ever deleted there.

    Every file is checked, as by `fetch`, against what the store then says of it. InputError, one line.
    """
    place = _split(url)
    if not folder.exists():
        raise InputError(f"{folder}: no such file or folder")
    if moxing := _moxing():
        _by_moxing(url, moxing.file.copy_parallel if folder.is_dir() else moxing.file.copy, str(folder), url)
        return
    store = _Store(*place)
    paths = _files(folder) if folder.is_dir() else {"": folder}

    def is_new(name: str) -> bool:
        there = store.now(name)
        return there is None or not there.has_md5 or not there.is_in(paths[name])

    are_new = in_parallel(is_new, list(paths), workers=WORKERS)
    names = [name for name, new in zip(paths, are_new, strict=True) if new]
    if not names:
        return
    with progress("sending", len(names), unit="files") as bar:
        for _ in in_parallel(lambda name: store.put(paths[name], name), names, workers=WORKERS):
            bar.advance()


class _Stored(NamedTuple):
    """What a store says of an object: its size in bytes, and its ETag, for most an MD5 in hex."""

    size: int
    etag: str

    @property
    def has_md5(self) -> bool:
        """Whether the ETag can be one: that of an object sent in parts is none."""
        return bool(re.fullmatch("[0-9a-f]{32}", self.etag))

    def is_in(self, path: Path) -> bool:
        """Whether a file is the object, as far as can be told."""
        if path.stat().st_size != self.size or not self.has_md5:
            return path.stat().st_size == self.size
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == self.etag


class _Store:
    """What lies under a key. A broken connection is tried again; what else goes wrong is an InputError."""

    def __init__(self, scheme: str, bucket: str, key: str) -> None:
        self.scheme, self.bucket, self.key = scheme, bucket, key
        if scheme == "obs" and not _endpoint(scheme):
            raise InputError(
                f"obs://{self._place('')}: set OBS_ENDPOINT, as in https://obs.cn-north-4.myhuaweicloud.com"
            )
        self.files = _file_system(scheme)

    def objects(self) -> dict[str, _Stored]:
        """Return the objects by their names under the key, in one listing; one that is the key itself as ""."""
        place = self._place("")
        found = self._tried("", lambda: self.files.find(place, detail=True))
        return {
            path[len(place) + 1 :]: _Stored(int(entry["size"]), entry["ETag"].strip('"'))
            for path, entry in found.items()
            if not path.endswith("/")  # what a console makes for an empty folder
        }

    def now(self, name: str) -> _Stored | None:
        """Return what there is of an object at the moment."""

        def once() -> _Stored | None:
            with suppress(FileNotFoundError):
                return self._now(name)
            return None

        return self._tried(name, once)

    def get(self, name: str, path: Path, listed: _Stored) -> None:
        """Bring an object into a new file."""

        def once() -> None:
            self.files.get_file(self._place(name), str(path))
            # Since the listing it may have changed.
            if not listed.is_in(path) and not self._now(name).is_in(path):
                raise ConnectionError("arrived damaged")

        self._tried(name, once)

    def put(self, path: Path, name: str) -> None:
        """Bring a file to an object."""

        def once() -> None:
            data = path.read_bytes()
            # In one piece, whatever its size: of an object sent in parts no MD5 is known.
            self.files.pipe_file(self._place(name), data, chunksize=len(data) + 1)
            if not self._now(name).is_in(path):
                raise ConnectionError("arrived damaged")

        self._tried(name, once)

    def _now(self, name: str) -> _Stored:
        key = self._place(name).partition("/")[2]
        answer = self.files.call_s3("head_object", Bucket=self.bucket, Key=key)
        # Encrypted with a key of the customer's, an object has an ETag that only looks like an MD5.
        encrypted = "SSECustomerAlgorithm" in answer or "kms" in answer.get("ServerSideEncryption", "")
        return _Stored(answer["ContentLength"], "" if encrypted else answer["ETag"].strip('"'))

    def _place(self, name: str) -> str:
        return "/".join(part for part in (self.bucket, self.key, name) if part)

    def _tried(self, name: str, action: Callable[[], Result]) -> Result:
        from aiohttp import ClientError
        from botocore import exceptions

        botocores = (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError)
        passing = (OSError, ClientError, *botocores)
        lasting = (FileNotFoundError, PermissionError, FileExistsError)
        for pause in (*PAUSES, None):
            try:
                return action()
            except (ValueError, exceptions.BotoCoreError, *passing) as error:
                may_pass = isinstance(error, passing) and not isinstance(error, lasting)
                if pause is None or not may_pass or getattr(error, "errno", None) in DISK_ERRORS:
                    raise InputError(f"{self.scheme}://{self._place(name)}: {_reason(error)}") from error
                time.sleep(pause)
        raise AssertionError


def _fetch_changed(store: _Store, objects: dict[str, _Stored], folder: Path, record: Path) -> None:
    known: dict[str, list[Any]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(record.read_bytes())
    for name in filter(_is_file_name, known.keys() - objects.keys()):
        (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # the first folder that is not empty
            for parent in Path(name).parents[:-1]:
                (folder / parent).rmdir()

    def entry(name: str) -> list[Any]:
        return [objects[name].etag, (folder / name).stat().st_mtime_ns]

    def is_there(name: str) -> bool:
        path, stored = folder / name, objects[name]
        if not path.is_file() or path.stat().st_size != stored.size:
            return False
        return entry(name) == known.get(name) or (stored.has_md5 and stored.is_in(path))

    def get(name: str) -> None:
        path, part = folder / name, record.with_name(f".{_short_hash(name)}{PART}")
        try:
            store.get(name, part, objects[name])
            path.parent.mkdir(parents=True, exist_ok=True)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    there = dict(zip(objects, in_parallel(is_there, list(objects)), strict=True))
    entries = {name: entry(name) if there[name] else ["", 0] for name in objects}
    # Written down before they come, too: what a killed fetch leaves has to be known as the bucket's.
    write_whole(record, json.dumps(entries))
    names = [name for name in objects if not there[name]]
    if not names:
        return
    try:
        with progress("fetching", len(names), unit="files") as bar:
            for name, _ in zip(names, in_parallel(get, names, workers=WORKERS), strict=True):
                entries[name] = entry(name)
                bar.advance()
    finally:
        with suppress(InputError):  # without it, the files' own MD5s tell
            write_whole(record, json.dumps(entries))


@contextmanager
def _alone(folder: Path, url: str) -> Iterator[None]:
    """One process at a time: of a distributed training the first fetches, the others find everything there."""
    try:
        (folder / OURS).mkdir(parents=True, exist_ok=True)
        with (folder / OURS / "lock").open("wb") as lock:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            remove_leftovers(folder / OURS)
            yield
    except OSError as error:
        raise InputError(f"{url}: cannot be written to {folder}: {_reason(error)}") from error


def _file_system(scheme: str) -> Any:
    import s3fs

    config: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "max_pool_connections": WORKERS,
        "retries": {"total_max_attempts": 1},  # there is one place that tries again
        "request_checksum_calculation": "when_required",  # newer checksums than MD5: OBS, for one, refuses them
        "response_checksum_validation": "when_required",
    }
    given: dict[str, Any] = {}
    if scheme == "obs":
        config["s3"] = {"addressing_style": "virtual"}  # OBS refuses a bucket's name in the path
        names = {"key": "OBS_ACCESS_KEY_ID", "secret": "OBS_SECRET_ACCESS_KEY", "token": "OBS_SECURITY_TOKEN"}
        given = {"endpoint_url": _endpoint(scheme)} | {key: os.environ.get(name) for key, name in names.items()}
        region = re.match(r"https?://obs\.([\w-]+)\.", _endpoint(scheme))
        if region and "AWS_DEFAULT_REGION" not in os.environ:
            given["client_kwargs"] = {"region_name": region[1]}
    given |= {"config_kwargs": config, "use_listings_cache": False, "skip_instance_cache": True}
    files = s3fs.S3FileSystem(max_concurrency=1, **given)
    files.retries = 1
    return files


def _endpoint(scheme: str) -> str:
    names = ("OBS_ENDPOINT",) * (scheme == "obs") + ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return f"https://{endpoint}" if endpoint and "://" not in endpoint else endpoint


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme, bucket and key. Nothing is unescaped: a # or % is part of the key."""
    scheme, _, place = url.partition("://")
    bucket, _, key = place.partition("/")
    key = key.strip("/")
    if not is_url(url) or not re.fullmatch(r"\w[\w.-]*", bucket) or (key and not _is_file_name(key)):
        raise InputError(f"{url}: should be s3://bucket/key or obs://bucket/key")
    return scheme.lower(), bucket, key


def _is_file_name(name: str) -> bool:
    """Whether a key can be a file's path in a folder, and stays in it."""
    parts = name.split("/")
    foreign = "\0" if os.sep == "/" else '\0\\:*?"<>|'
    return not {"", ".", ".."} & set(parts) and parts[0] != OURS and not set(foreign) & set(name)


def _files(folder: Path) -> dict[str, Path]:
    """Return a folder's files by their names in it, but for those of a fetch or of a write that was killed."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    ours = re.compile(rf"{re.escape(OURS)}/|(.*/)?\.[^/]*\.part$")
    return {name: path for name, path in paths.items() if not ours.match(name)}


def _reason(error: Exception) -> str:
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    words = str(getattr(error, "strerror", None) or error)
    return words.splitlines()[0] if words else type(error).__name__


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _short_hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def _moxing() -> Any:
    """Return ModelArts' module; None elsewhere."""
    try:
        import moxing
    except ModuleNotFoundError:
        return None
    return moxing


def _by_moxing(url: str, function: Callable[..., Result], *arguments: str) -> Result:
    try:
        return function(*arguments)
    except Exception as error:  # of what kinds is written nowhere
        raise InputError(f"{url}: {_reason(error)}") from error


def _fetch_by_moxing(moxing: Any, url: str, folder: Path) -> Path:
    is_folder = _by_moxing(url, moxing.file.is_directory, url)
    target = folder if is_folder else folder / _name(url.rstrip("/"))
    mark, job = folder / OURS / _short_hash(url), str(os.getppid())
    with _alone(folder, url):
        # moxing copies all of it every time: a training's other processes must not do so under its first one's eyes.
        if "LOCAL_RANK" not in os.environ or not mark.exists() or mark.read_text() != job:
            _by_moxing(url, moxing.file.copy_parallel if is_folder else moxing.file.copy, url, str(target))
            write_whole(mark, job)
    return target
