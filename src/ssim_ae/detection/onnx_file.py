"""What an ONNX file says of itself, read from its outermost fields alone: no ONNX library is needed.

An ONNX file is one protobuf message (onnx.proto, ModelProto): fields one after the other, each a key that holds its
number and kind, and a value.
"""

import hashlib
from collections.abc import Iterator

from ssim_ae.storage import METADATA_KEY

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5  # kinds of value
GRAPH, METADATA, ENTRY_KEY, ENTRY_VALUE = 7, 14, 1, 2  # numbers of fields


def metadata_text(model: bytes) -> str | None:
    """Return our JSON in a model's metadata, if it is there. ValueError where the file is damaged or no ONNX file."""
    for number, value in _fields(model):
        if number == METADATA:
            entry = dict(_fields(value))
            if entry.get(ENTRY_KEY) == METADATA_KEY.encode():
                return entry.get(ENTRY_VALUE, b"").decode()
    return None


def graph_hash(model: bytes) -> str:
    """Return a hash of a model's graph: its layers and weights, without the metadata."""
    digest = hashlib.sha256()
    for number, value in _fields(model):
        if number == GRAPH:
            digest.update(value)
    return digest.hexdigest()


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the value of every field; values of fixed length are empty."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        length = {EIGHT_BYTES: 8, FOUR_BYTES: 4, VARINT: 0}.get(kind)
        if kind == VARINT:
            _, position = _varint(message, position)
        elif kind == LENGTH:
            length, position = _varint(message, position)
        if number == 0 or length is None or position + length > len(message):
            raise ValueError("not an ONNX file, or damaged")
        yield number, bytes(message[position : position + length]) if kind == LENGTH else b""
        position += length


def _varint(message: bytes | memoryview, position: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, the low ones first, and the position behind it."""
    value = 0
    for index in range(10):
        if position + index >= len(message):
            break
        byte = message[position + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, position + index + 1
    raise ValueError("not an ONNX file, or damaged")
