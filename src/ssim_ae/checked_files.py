"""Files with a checksum in their own content: safetensors files, and what other formats need for it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssim_ae.errors import InputError, first_line
from ssim_ae.storage import parse_json, read_file, write_atomic

METADATA_KEY = "ssim-ae"  # key of our JSON in the header of a file
CHECKSUM_KEY = "sha256"  # key in our JSON of the checksum of the file
CHECKSUM_PLACEHOLDER = "0" * 64  # value of the checksum while the checksum is computed
EMPTY_CHECKSUM = {CHECKSUM_KEY: CHECKSUM_PLACEHOLDER}  # entry of our JSON that `with_checksum` fills in


def with_checksum(data: bytes) -> bytes:
    """Return a file with its SHA-256 in place of `CHECKSUM_PLACEHOLDER`.

    The SHA-256 is that of the file with the placeholder.
    """
    return data.replace(CHECKSUM_PLACEHOLDER.encode(), file_hash(data).encode(), 1)


def file_hash(data: bytes) -> str:
    """Return the SHA-256 of the content of a file, in hex."""
    return hashlib.sha256(data).hexdigest()


def checksum_matches(data: bytes, checksum: str) -> bool:
    """Return whether `checksum` is the one that `with_checksum` put into the file."""
    return file_hash(data.replace(checksum.encode(), CHECKSUM_PLACEHOLDER.encode(), 1)) == checksum


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file with a checksum and with `metadata` as JSON in its header."""
    from safetensors.numpy import save

    header = {METADATA_KEY: json.dumps({**metadata, **EMPTY_CHECKSUM}, allow_nan=False)}
    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    write_atomic(path, with_checksum(save(contiguous, header)))


def read_tensors(path: Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file that `write_tensors` wrote with `metadata["kind"] == kind`; return its tensors and its metadata.

    Raises InputError if the file cannot be read, is of another kind or is corrupt.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_file(path)
    try:
        tensors = load(data)
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = parse_json(header.get("__metadata__", {}).get(METADATA_KEY, "null"))
    except (SafetensorError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path}: not a {kind} file, or corrupt ({first_line(error)})") from error
    return tensors, verify_metadata(path, kind, data, metadata)


def verify_metadata(path: Path, kind: str, data: bytes, metadata: Any) -> dict[str, Any]:
    """Verify kind and checksum of a file; return its metadata.

    `data` is the content of the file at `path`. Raises InputError if the file is of another kind or is corrupt.
    """
    if not isinstance(metadata, dict) or metadata.get("kind") != kind:
        raise InputError(f"{path}: not a {kind} file: written by another program")
    if not checksum_matches(data, str(metadata.get(CHECKSUM_KEY))):
        raise InputError(f"{path}: corrupt: the checksum does not match")
    return metadata
