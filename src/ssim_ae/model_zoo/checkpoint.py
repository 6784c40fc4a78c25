"""Checkpoints that MindSpore wrote, read without MindSpore.

A file is one protobuf message: repeated values, each of a name (1) and a tensor (2), which is repeated sizes (1), the
name of its type (2) and its bytes (3). A large tensor is cut into several values of one name, one after the other, all
with the sizes of the whole. Behind the message there may be its CRC-32.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.storage import read_whole

NUMBER, BYTES = 0, 2  # protobuf's kinds of fields, of those that occur
VALUE = 1
NAME, TENSOR = 1, 2
SIZE, TYPE, CONTENT = 1, 2, 3
CRC_MARK, CRC_LENGTH = b"crc_num", 10
BFLOAT16 = "BFloat16"
FLOATS: dict[str, np.dtype[Any]] = {  # NumPy has no bfloat16
    "Float32": np.dtype("<f4"),
    "Float16": np.dtype("<f2"),
    BFLOAT16: np.dtype("<u2"),
}


class _Tensor(NamedTuple):
    """A tensor, or a part of one: the sizes of the whole, the name of its type, its bytes."""

    sizes: tuple[int, ...]
    type: str
    content: bytes | memoryview


def read_mindspore_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Return the floating-point tensors of a file by name, float32; what else is there is left out.

    InputError, one line, where the file is encrypted, damaged, or of another kind.
    """
    data = read_whole(path)
    try:
        tensors = _joined(_values(_message(data)))
        return {name: _array(tensor) for name, tensor in tensors.items() if tensor.type in FLOATS}
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: not a MindSpore checkpoint, or damaged") from error


def _message(data: bytes) -> memoryview:
    """Return the message without the CRC-32 behind it. ValueError where that is not the message's."""
    mark = len(data) - CRC_LENGTH - len(CRC_MARK)
    if mark < 0 or data[mark:-CRC_LENGTH] != CRC_MARK:
        return memoryview(data)
    if zlib.crc32(data[:mark]) != int.from_bytes(data[-CRC_LENGTH:], "big"):
        raise ValueError("not as it was written")
    return memoryview(data)[:mark]


def _values(message: memoryview) -> Iterator[tuple[str, _Tensor]]:
    """Yield the names and tensors of a message, large ones in parts."""
    if not message:
        raise ValueError("empty")
    for number, value in _fields(message):
        if number != VALUE or not isinstance(value, memoryview):
            raise ValueError("not a checkpoint's message")
        fields = dict(_fields(value))
        name, tensor = fields.get(NAME), fields.get(TENSOR)
        if not isinstance(name, memoryview):
            raise ValueError("a value without a name")
        if isinstance(tensor, memoryview):  # and not a hash table
            yield str(name, "utf-8"), _tensor(tensor)


def _tensor(message: memoryview) -> _Tensor:
    fields = list(_fields(message))
    sizes = tuple(value for number, value in fields if number == SIZE and isinstance(value, int))
    within = {number: value for number, value in fields if isinstance(value, memoryview)}
    return _Tensor(sizes, str(within.get(TYPE, b""), "utf-8"), within.get(CONTENT, b""))


def _joined(values: Iterator[tuple[str, _Tensor]]) -> dict[str, _Tensor]:
    parts: dict[str, list[_Tensor]] = {}
    for name, tensor in values:
        parts.setdefault(name, []).append(tensor)
    return {
        name: found[0] if len(found) == 1 else found[0]._replace(content=b"".join(part.content for part in found))
        for name, found in parts.items()
    }


def _array(tensor: _Tensor) -> np.ndarray:
    """Return a tensor in float32. ValueError where its bytes are not as many as its sizes say."""
    sizes = () if tensor.sizes == (0,) else tensor.sizes  # how older versions write a number
    array = np.frombuffer(tensor.content, FLOATS[tensor.type]).reshape(sizes)
    if tensor.type == BFLOAT16:  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and the value of each field of a message. ValueError or IndexError where it is none."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value, position = _varint(message, position)
        if key & 7 == NUMBER:
            yield key >> 3, value
        elif key & 7 == BYTES and value <= len(message) - position:
            yield key >> 3, message[position : position + value]
            position += value
        else:
            raise ValueError("cut off, or no message")


def _varint(message: memoryview, start: int) -> tuple[int, int]:
    """Return the number that begins at `start`, and where it ends: 7 bits a byte, the lowest first."""
    number = 0
    for index in range(10):
        byte = message[start + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, start + index + 1
    raise ValueError("no number is as long")
