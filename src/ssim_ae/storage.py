"""Files that are either the old one or the new one, whole: written beside the target, then renamed over it."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssim_ae.errors import InputError

METADATA_KEY = "ssim-ae"  # the one key of the safetensors header that holds our JSON


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


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file whose header carries `metadata` as JSON."""
    from safetensors.numpy import save

    header = {METADATA_KEY: json.dumps(metadata, allow_nan=False)}
    write_whole(path, save({name: np.asarray(array, order="C") for name, array in tensors.items()}, header))


def read_tensors(path: Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the tensors and the metadata of a file written by `write_tensors` with `metadata["kind"] == kind`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a {kind} file, or damaged ({_first_line(error)})") from error
    if not isinstance(metadata, dict) or metadata.get("kind") != kind:
        raise InputError(f"{path}: not a {kind} file: written by another program")
    return tensors, metadata


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
