"""Atomic file writes, locks, and names of new folders.

A file is written under a temporary name beside its target and then renamed, so that a reader or a crash never meets a
half-written file. A temporary file is locked while its process runs. A temporary file without a lock is therefore the
leftover of a killed process and can be removed.
"""

import ctypes
import errno
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from glob import escape
from itertools import chain, count
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

from ssim_ae.errors import InputError

PARTIAL_SUFFIX = ".ssim-ae.part"  # suffix of temporary files and folders
FILE_LIST = ".files.json"  # in a folder of `replacement_folder`: the files that it wrote there
FILES_OF_VIEWERS = (".DS_Store", "Thumbs.db", "desktop.ini")  # that file managers write into any folder they show
LEFTOVERS = Lock()  # held while leftovers are removed
AT_FDCWD, EXCHANGE = -100, 2  # arguments of Linux's renameat2
LOCKS_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL)  # by a file system
MAX_NAME_BYTES = 240  # of the name of a folder, to which a number is added; file systems accept 255 in all
NOT_IN_NAMES = '/\\:*?"<>|'  # characters that Windows accepts in no name
RESERVED_NAMES = ("CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10)))
UNNAMED = "images"  # name of the root of a file system, for new folders


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` atomically; see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


class AtomicFile(NamedTuple):
    """A file that `atomic_file` opened for writing."""

    path: Path
    file: BinaryIO

    def write(self, data: bytes | str) -> None:
        """Append `data`. Raises InputError if the file cannot be written."""
        with _write_errors(self.path):
            self.file.write(data.encode(errors="surrogateescape") if isinstance(data, str) else data)


@contextmanager
def atomic_file(path: Path) -> Iterator[AtomicFile]:
    """Open a file that replaces `path` atomically at the end of the block.

    If the block raises, `path` keeps its content. Links are followed; devices and pipes are written directly.
    Raises InputError if the file cannot be written.
    """
    path = path.resolve()
    with _write_errors(path):
        is_special = path.exists() and not path.is_file()
    with _special_file(path) if is_special else _replacement_file(path) as file:
        yield AtomicFile(path, file)


@contextmanager
def _special_file(path: Path) -> Iterator[BinaryIO]:
    """Open a device or a pipe for writing."""
    with _write_errors(path):
        file = path.open("wb")
    try:
        yield file
        with _write_errors(path):
            file.close()
    finally:
        _close_quietly(file)


@contextmanager
def _replacement_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to `path` at the end of the block, or removed if the block raises."""
    with ExitStack() as cleanup:
        with _write_errors(path):
            _remove_leftovers_once(path.parent)
            descriptor, partial = _create_partial_file(path)
            cleanup.callback(partial.unlink, missing_ok=True)
            file = os.fdopen(descriptor, "wb")
            cleanup.callback(_close_quietly, file)
        yield file
        with _write_errors(path):
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # Windows cannot rename an open file
                file.close()
            partial.replace(path)
            file.close()


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Convert OSError to InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _close_quietly(file: BinaryIO) -> None:
    with suppress(OSError):  # an earlier write has already reported the error
        file.close()


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Create an empty folder inside `folder` and remove it at the end of the block."""
    with _write_errors(folder):
        _remove_leftovers_once(folder)
        scratch, lock = _create_scratch_folder(folder)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        lock.close()


@contextmanager
def replacement_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` as a whole at the end of the block.

    If the block raises, `target` stays as it was. The replaced folder is removed, but only if it is empty or holds
    nothing except the files that an earlier call wrote into it. Raises InputError if it holds other files.
    """
    _check_replaceable(target)
    place = target.resolve()  # a link stays a link
    with _write_errors(target):
        place.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(place.parent) as scratch:
        new = scratch / "new"
        new.mkdir()
        yield new
        files = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
        write_atomic(new / FILE_LIST, json.dumps([*files, FILE_LIST], indent=0) + "\n")
        _check_replaceable(target)
        with _write_errors(target):
            _swap(new, place, scratch / "old")


def _check_replaceable(folder: Path) -> None:
    """Raise InputError if a folder holds files that are not in its list of files."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; name a folder")
    try:
        known = set(parse_json((folder / FILE_LIST).read_bytes()))
    except (OSError, ValueError, TypeError):
        known = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name not in known and path.name not in FILES_OF_VIEWERS and (path.is_symlink() or not path.is_dir()):
            raise InputError(f"{folder}: holds another file, {name}; move it, or name another folder")


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put `new` in the place of `target`; move what was there to `old` or `new`. Atomic where Linux supports it."""
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        target.rename(old)
        new.rename(target)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders atomically; return False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    return bool(rename(AT_FDCWD, os.fsencode(first.resolve()), AT_FDCWD, os.fsencode(second.resolve()), EXCHANGE) == 0)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for the block. Raises InputError if another process holds the lock."""
    try:
        with _lock_path(folder):
            yield
    except BlockingIOError as error:
        raise InputError(f"{folder}: another process is writing into it; wait until it has ended") from error


def is_locked(folder: Path) -> bool:
    """Return whether another process holds the lock of a folder."""
    try:
        with _lock_path(folder):
            return False
    except BlockingIOError:
        return True


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in `folder`."""
    for path in folder.glob(f".*{PARTIAL_SUFFIX}"):
        with suppress(OSError), _lock_path(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


_remove_leftovers_of_earlier_processes = cache(remove_leftovers)


def _remove_leftovers_once(folder: Path) -> None:
    with LEFTOVERS:  # another thread would take for a leftover what this one is writing: Windows locks no files here
        _remove_leftovers_of_earlier_processes(folder)


def _create_partial_file(path: Path) -> tuple[int, Path]:
    """Create and lock a temporary file beside `path`; return its descriptor and its path."""
    binary = getattr(os, "O_BINARY", 0)
    while True:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | binary, 0o666)
        with suppress(BlockingIOError):
            _lock_descriptor(descriptor)
            if sys.platform == "win32" or os.fstat(descriptor).st_nlink:
                return descriptor, partial
        os.close(descriptor)  # another process removed it as a leftover before it was locked


def _create_scratch_folder(folder: Path) -> tuple[Path, ExitStack]:
    """Create and lock a temporary folder inside `folder`; return its path and the lock."""
    while True:
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".", suffix=PARTIAL_SUFFIX))
        with ExitStack() as lock, suppress(BlockingIOError, FileNotFoundError):
            lock.enter_context(_lock_path(scratch))
            if scratch.is_dir():  # another process can remove it as a leftover before it is locked
                return scratch, lock.pop_all()


@contextmanager
def _lock_path(path: Path) -> Iterator[None]:
    """Lock a file or folder for the block. Raises BlockingIOError if another process holds the lock."""
    if sys.platform == "win32":  # Windows cannot open folders, and does not remove open files
        yield
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # NFS locks only files open for writing
    try:
        _lock_descriptor(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock_descriptor(descriptor: int) -> None:
    """Lock an open file or folder. Raises BlockingIOError if another process holds the lock."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in LOCKS_UNSUPPORTED:
                raise


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if the text is not JSON or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_file(path: Path) -> bytes:
    """Return the content of a file. Raises InputError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def check_folder_name(name: str, setting: str) -> None:
    """Raise InputError if the value of a setting cannot name new folders, see `new_folder`, on every system."""
    wrong = sorted({character for character in name if character in NOT_IN_NAMES or not character.isprintable()})
    if wrong:
        reason = f"the name of a folder cannot contain {' '.join(map(repr, wrong))}"
    elif name.startswith("."):
        reason = "a name cannot start with a dot"
    elif f"{name}-1".split(".")[0].upper() in RESERVED_NAMES:
        reason = "the name is reserved on Windows"
    elif len(os.fsencode(name)) > MAX_NAME_BYTES:
        reason = f"a name of more than {MAX_NAME_BYTES} bytes is too long"
    else:
        return
    raise InputError(f"{setting}: {name:.60}: {reason}; give another name")


def unused_path(path: Path) -> Path:
    """Return `path`, or if it exists the first of `<stem>-2<suffix>`, `<stem>-3<suffix>`, ... that does not."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not candidate.exists())


def new_folder(parent: Path, name: str) -> Path:
    """Create and return `parent/name-1`, or the folder with the first higher number that does not exist.

    A name that is too long is cut off, an empty one replaced.
    Also removes leftovers from the existing `parent/name-*`. Raises InputError if no folder can be created.
    """
    name = os.fsencode(name)[:MAX_NAME_BYTES].decode(errors="ignore") or UNNAMED
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for folder in {path.parent for path in parent.glob(f"{escape(name)}-*/**/.*{PARTIAL_SUFFIX}")}:
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
    raise InputError(f"{parent}: a million folders are named {name}-<n>; remove some")
