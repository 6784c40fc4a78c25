"""Files that are either the old one or the new one, whole: written beside the target, then renamed over it."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssim_ae.errors import InputError

METADATA_KEY = "ssim-ae"  # under which a file's own header holds our JSON
SEAL = "sha256"  # the key in our JSON under which a file holds its own hash
UNSEALED = "0" * 64


def write_whole(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` at once: no reader, and no crash, ever sees half of it.

    A link is followed; a device or pipe is written into.
    """
    payload = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    path = path.resolve()
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(payload)
            return
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error
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
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "null"))
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a {kind} file, or damaged ({_first_line(error)})") from error
    return tensors, checked_metadata(path, kind, data, metadata)


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


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed `write_whole` left in a folder of ours."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def new_folder(parent: Path, name: str) -> Path:
    """Create and return `parent/name-1`, or the first higher number that is free."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
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


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
