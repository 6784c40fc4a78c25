"""Files that are either the old one or the new one, whole: written beside the target, then renamed over it.

What is being written is held, by a lock that ends with its process: so what a killed one left can be told, and removed.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ssim_ae.errors import InputError, first_line

METADATA_KEY = "ssim-ae"  # under which a file's own header holds our JSON
SEAL = "sha256"  # the key in our JSON under which a file holds its own hash
UNSEALED = "0" * 64
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL)  # file systems' answers
PART = ".ssim-ae.part"  # ends the name of what is being written


def write_whole(path: Path, data: bytes | str) -> None:
    """Write `data` to `path`, as `WholeFile` does."""
    with whole_file(path) as file:
        file.write(data)


class WholeFile(NamedTuple):
    """A file that is being written, under another name. InputError where it cannot be."""

    path: Path
    file: BinaryIO

    def write(self, data: bytes | str) -> None:
        """Append to it."""
        with _named(self.path):
            self.file.write(data.encode(errors="surrogateescape") if isinstance(data, str) else data)


@contextmanager
def whole_file(path: Path) -> Iterator[WholeFile]:
    """Give a file to write, which in the end takes its place at once: no reader, and no crash, ever sees half of it.

    A link is followed; a device or pipe is written into. InputError where it cannot be written.
    """
    path = path.resolve()
    with ExitStack() as undo:
        with _named(path):
            part = None
            if path.exists() and not path.is_file():
                file: BinaryIO = path.open("wb")
            else:
                _remove_leftovers_once(path.parent)
                descriptor, part = _new_part(path)
                undo.callback(part.unlink, missing_ok=True)
                file = os.fdopen(descriptor, "wb")
            undo.callback(_close, file)
        yield WholeFile(path, file)
        with _named(path):
            file.flush()
            if part:
                os.fsync(file.fileno())
                if sys.platform == "win32":  # where nothing open can be renamed
                    file.close()
                part.replace(path)
            file.close()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _close(file: BinaryIO) -> None:
    with suppress(OSError):  # of what it could not write it has told already
        file.close()


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder within a folder, and remove it afterwards."""
    with _named(folder):
        _remove_leftovers_once(folder)
        scratch, lock = _new_scratch(folder)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.close()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder. InputError where another process does."""
    try:
        with _held(folder):
            yield
    except BlockingIOError as error:
        raise InputError(f"{folder}: another process is writing into it") from error


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written in a folder."""
    for path in folder.glob(f".*{PART}"):
        with suppress(OSError), _held(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


_remove_leftovers_once = cache(remove_leftovers)


def _new_part(path: Path) -> tuple[int, Path]:
    """Return the descriptor and the path of a new, held file beside `path`."""
    binary = getattr(os, "O_BINARY", 0)
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | binary, 0o666)
        with suppress(BlockingIOError):
            _hold(descriptor)
            if sys.platform == "win32" or os.fstat(descriptor).st_nlink:
                return descriptor, part
        os.close(descriptor)  # another process took it for a leftover before it was held


def _new_scratch(folder: Path) -> tuple[Path, ExitStack]:
    """Return a new, held folder within a folder, and what lets it go."""
    while True:
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".", suffix=PART))
        with ExitStack() as lock, suppress(BlockingIOError, FileNotFoundError):
            lock.enter_context(_held(scratch))
            if scratch.is_dir():
                return scratch, lock.pop_all()


@contextmanager
def _held(path: Path) -> Iterator[None]:
    if sys.platform == "win32":  # which does not open folders, and does not remove what is open
        yield
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # NFS locks what can be written alone
    try:
        _hold(descriptor)
        yield
    finally:
        os.close(descriptor)


def _hold(descriptor: int) -> None:
    """Take the lock of an open file or folder. BlockingIOError where another process has it."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:  # a file system without locks: nothing is taken for a leftover on it
            if error.errno not in WITHOUT_LOCKS:
                raise


def sealed(data: bytes) -> bytes:
    """Return a file with its own hash, taken while UNSEALED stood there, in the place of UNSEALED."""
    return data.replace(UNSEALED.encode(), file_hash(data).encode(), 1)


def file_hash(data: bytes) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(data).hexdigest()


def is_whole(data: bytes, seal: str) -> bool:
    """Whether a file is, to the last bit, what was sealed."""
    return file_hash(data.replace(seal.encode(), UNSEALED.encode(), 1)) == seal


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file whose header carries `metadata` as JSON."""
    from safetensors.numpy import save

    header = {METADATA_KEY: json.dumps({**metadata, SEAL: UNSEALED}, allow_nan=False)}
    write_whole(path, sealed(save({name: np.asarray(array, order="C") for name, array in tensors.items()}, header)))


def read_tensors(path: Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the tensors and the metadata of a file written by `write_tensors` with `metadata["kind"] == kind`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_whole(path)
    try:
        tensors = load(data)
        header = parsed_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = parsed_json(header.get("__metadata__", {}).get(METADATA_KEY, "null"))
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path}: not a {kind} file, or damaged ({first_line(error)})") from error
    return tensors, checked_metadata(path, kind, data, metadata)


def parsed_json(text: str | bytes) -> Any:
    """Return what a JSON text says. ValueError where it is none, or nested without end."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_whole(path: Path) -> bytes:
    """Return a file's bytes. InputError, one line, where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def checked_metadata(path: Path, kind: str, data: bytes, metadata: Any) -> dict[str, Any]:
    """Return the metadata of a file, without its seal. InputError where the file is not of this kind, or damaged."""
    if not isinstance(metadata, dict) or metadata.get("kind") != kind:
        raise InputError(f"{path}: not a {kind} file: written by another program")
    if not is_whole(data, str(metadata.get(SEAL))):
        raise InputError(f"{path}: damaged: not as it was written")
    return {key: value for key, value in metadata.items() if key != SEAL}


def new_folder(parent: Path, name: str) -> Path:
    """Create and return `parent/name-1`, or the first higher number that is free."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for folder in {path.parent for path in parent.glob(f"{escape(name)}-*/**/.*{PART}")}:
            remove_leftovers(folder)
        for number in range(1, 1_000_000):
            folder = parent / f"{name}-{number}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise InputError(f"{parent}: cannot be written: {error.strerror}") from error
    raise InputError(f"{parent}: a million folders named {name}-<n> exist already")
