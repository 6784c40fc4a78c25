"""Read MindSpore checkpoints without MindSpore.

A checkpoint is one protobuf message of repeated entries. An entry has a name (field 1) and a tensor (field 2). A tensor
has repeated sizes (field 1), the name of its type (field 2) and its bytes (field 3). A large tensor is split into
consecutive entries of the same name, each with the sizes of the whole tensor. A CRC-32 can follow the message.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.storage import read_file

VARINT = 0  # protobuf wire type of a number
LENGTH_DELIMITED = 2  # protobuf wire type of bytes, strings and messages
MAX_VARINT_BYTES = 10

ENTRY_FIELD = 1  # of the message
NAME_FIELD = 1  # of an entry
TENSOR_FIELD = 2  # of an entry
SIZE_FIELD = 1  # of a tensor
TYPE_FIELD = 2  # of a tensor
CONTENT_FIELD = 3  # of a tensor

CRC_MARK = b"crc_num"  # follows the message if a CRC-32 does
CRC_LENGTH = 10  # bytes of the CRC-32 after the mark, big-endian

BFLOAT16 = "BFloat16"
FLOAT_TYPES: dict[str, np.dtype[Any]] = {
    "Float32": np.dtype("<f4"),
    "Float16": np.dtype("<f2"),
    BFLOAT16: np.dtype("<u2"),  # NumPy has no bfloat16
}


class _Tensor(NamedTuple):
    """A tensor or a part of one. `sizes` are those of the whole tensor."""

    sizes: tuple[int, ...]
    type: str
    content: bytes | memoryview


def read_mindspore_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Return the floating-point tensors of a checkpoint by name, converted to float32.

    Raises InputError if the file cannot be read, is encrypted, corrupt or not a checkpoint.
    """
    data = read_file(path)
    try:
        tensors = _join_parts(_entries(_verified_message(data)))
        return {name: _to_float32(tensor) for name, tensor in tensors.items() if tensor.type in FLOAT_TYPES}
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: not a MindSpore checkpoint, or corrupt") from error


def _verified_message(data: bytes) -> memoryview:
    """Return the message without its CRC-32. Raises ValueError if the CRC-32 does not match."""
    mark = len(data) - CRC_LENGTH - len(CRC_MARK)
    if mark < 0 or data[mark:-CRC_LENGTH] != CRC_MARK:
        return memoryview(data)
    if zlib.crc32(data[:mark]) != int.from_bytes(data[-CRC_LENGTH:], "big"):
        raise ValueError("the CRC-32 does not match")
    return memoryview(data)[:mark]


def _entries(message: memoryview) -> Iterator[tuple[str, _Tensor]]:
    """Yield the names and tensors of a message. A large tensor comes in several parts."""
    if not message:
        raise ValueError("empty")
    for number, entry in _fields(message):
        if number != ENTRY_FIELD or not isinstance(entry, memoryview):
            raise ValueError("not the message of a checkpoint")
        fields = dict(_fields(entry))
        name, tensor = fields.get(NAME_FIELD), fields.get(TENSOR_FIELD)
        if not isinstance(name, memoryview):
            raise ValueError("an entry without a name")
        if isinstance(tensor, memoryview):  # other entries hold hash tables
            yield str(name, "utf-8"), _parse_tensor(tensor)


def _parse_tensor(message: memoryview) -> _Tensor:
    fields = list(_fields(message))
    sizes = tuple(value for number, value in fields if number == SIZE_FIELD and isinstance(value, int))
    parts = {number: value for number, value in fields if isinstance(value, memoryview)}
    return _Tensor(sizes, str(parts.get(TYPE_FIELD, b""), "utf-8"), parts.get(CONTENT_FIELD, b""))


def _join_parts(entries: Iterator[tuple[str, _Tensor]]) -> dict[str, _Tensor]:
    """Return the whole tensors by name."""
    parts: dict[str, list[_Tensor]] = {}
    for name, tensor in entries:
        parts.setdefault(name, []).append(tensor)
    return {
        name: found[0] if len(found) == 1 else found[0]._replace(content=b"".join(part.content for part in found))
        for name, found in parts.items()
    }


def _to_float32(tensor: _Tensor) -> np.ndarray:
    """Return a tensor as a float32 array. Raises ValueError if its bytes do not match its sizes."""
    sizes = () if tensor.sizes == (0,) else tensor.sizes  # older versions write (0,) for a scalar
    array = np.frombuffer(tensor.content, FLOAT_TYPES[tensor.type]).reshape(sizes)
    if tensor.type == BFLOAT16:  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message. Raises ValueError or IndexError for an invalid message."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        value, position = _read_varint(message, position)
        if key & 7 == VARINT:
            yield key >> 3, value
        elif key & 7 == LENGTH_DELIMITED and value <= len(message) - position:
            yield key >> 3, message[position : position + value]
            position += value
        else:
            raise ValueError("truncated, or not a message")


def _read_varint(message: memoryview, start: int) -> tuple[int, int]:
    """Return the number at `start` and the position after it. It has 7 bits per byte, the lowest first."""
    number = 0
    for index in range(MAX_VARINT_BYTES):
        byte = message[start + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, start + index + 1
    raise ValueError("a number is too long")
