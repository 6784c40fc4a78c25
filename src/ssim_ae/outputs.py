"""Output files: checks before the work starts that none replaces an input or any other file, and short names."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ssim_ae.errors import InputError

HEAD_BYTES = 1024  # of a file that are searched for its mark
MAX_NAME_BYTES = 180  # of a name without its suffix; file systems accept 255 bytes, and temporary names are longer
HASH_DIGITS = 8


class Output(NamedTuple):
    """An output file. A file that has `mark` near its start is one that SSIM-AE wrote before, and may be replaced."""

    option: str
    path: Path
    mark: bytes


def check_outputs(outputs: Iterable[Output], inputs: Iterable[Path]) -> None:
    """Raise InputError, one line, if a file to be written is an input or exists, and is not an earlier output."""
    outputs, inputs = list(outputs), list(inputs)
    names = {_path_key(path) for path in inputs}
    files = {file for path in inputs if (file := _file_id(path))}
    taken: dict[str, str] = {}
    for option, path, mark in outputs:
        key = _path_key(path)
        if key in names or _file_id(path) in files:
            raise InputError(f"{path}: an input, {option} would replace it; choose another place for {option}")
        if key in taken:
            raise InputError(f"{path}: written by both {taken[key]} and {option}; choose different names")
        taken[key] = option
        if not _is_replaceable(path, mark):
            raise InputError(f"{path}: exists, and ssim-ae did not write it; choose another place for {option}")


def name_key(name: str) -> str:
    """Return a key that is equal for names that some file system takes for the same (case, composed characters)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def short_name(name: str, digest: str = "") -> str:
    """Return a name of at most MAX_NAME_BYTES; a cut one ends with the digest of the whole name, or the given one."""
    encoded = os.fsencode(name)
    if len(encoded) <= MAX_NAME_BYTES and not digest:
        return name
    digest = (digest or hashlib.sha256(encoded).hexdigest())[:HASH_DIGITS]
    cut = encoded[: MAX_NAME_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{cut}~{digest}"


def short_path(name: str) -> str:
    """Return a name with slashes in which each part is a `short_name`."""
    return "/".join(short_name(part) for part in name.split("/"))


def _path_key(path: Path) -> str:
    return name_key(os.path.abspath(path))  # noqa: PTH100 (Path.resolve() reads every folder of every path)


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_replaceable(path: Path, mark: bytes) -> bool:
    """Whether nothing is lost if a file is written to `path`: it is new, empty, a device, or an earlier output."""
    try:
        if not path.is_file():
            return True  # writing to a folder is an error of its own
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return not path.is_file()
    return not head or mark in head
