"""Read the tensors of a file in PyTorch's legacy format, without PyTorch and without `pickle`.

Such a file is a sequence of five pickles and the storages: a magic number, the version of the format, properties of the
machine, the tensors by name, the keys of the storages; then, in the order of the keys, the number of elements of each
storage and the elements. A tensor is a view of a storage: offset, shape and strides.

The pickles are read by a machine that knows the few operations such files consist of. It imports nothing: a name in a
pickle is one of four, each with a stand-in of ours. So no file can run code.
"""

import math
import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from ssim_ae.errors import first_line

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
FORMAT_VERSION = 1001
MAX_OPERATIONS = 100_000  # of a pickle: a fraction of a second, a few MB
MAX_DIMENSIONS = 32  # of a tensor, as in older releases of NumPy


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    size: int  # elements


class _Tensor(NamedTuple):
    """The arguments of `torch._utils._rebuild_tensor_v2`, unchecked. Offset and strides count elements."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any
    requires_grad: Any
    hooks: Any


def _ordered_dict() -> dict[str, Any]:
    return {}


FUNCTIONS: tuple[Callable[..., Any], ...] = (_ordered_dict, _Tensor)
STAND_INS = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _Tensor,
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}


def read_tensors(data: bytes) -> dict[str, np.ndarray]:
    """Return the tensors of a file by name, float32 or int64, as read-only views of `data`.

    Raises ValueError if the file is corrupt, has another format, or contains anything but named tensors.
    """
    try:
        return _read_file(data)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(f"not tensors in PyTorch's legacy format, or corrupt ({first_line(error)})") from error


def _read_file(data: bytes) -> dict[str, np.ndarray]:
    file = BytesIO(data)
    if [_read_pickle(file), _read_pickle(file)] != [MAGIC_NUMBER, FORMAT_VERSION]:
        raise ValueError("another format")
    if _read_pickle(file)["little_endian"] is not True:
        raise ValueError("written by a big-endian machine")
    tensors = _read_pickle(file)
    for name, tensor in tensors.items():
        if not (isinstance(tensor, _Tensor) and isinstance(tensor.storage, _Storage)):
            raise ValueError(f"{name} is not a tensor")
    starts = _storage_starts(file, {tensor.storage.key: tensor.storage for tensor in tensors.values()})
    return {name: _view(name, tensor, data, starts[tensor.storage]) for name, tensor in tensors.items()}


def _storage_starts(file: BytesIO, storages: dict[str, _Storage]) -> dict[_Storage, int]:
    """Return the position of the elements of each storage, of which the rest of the file consists."""
    starts = {}
    for key in _read_pickle(file):
        storage = storages[_checked(key, str)]
        start = file.tell() + 8
        size = int.from_bytes(file.read(8), "little")
        end = start + size * storage.dtype.itemsize
        if size != storage.size or end > file.getbuffer().nbytes:
            raise ValueError(f"storage {key} is truncated, or of another size")
        starts[storage] = start
        file.seek(end)
    if file.read(1):
        raise ValueError("data after the last storage")
    return starts


def _view(name: str, tensor: _Tensor, data: bytes, start: int) -> np.ndarray:
    """Return a tensor as a view of `data`, in which the elements of its storage begin at `start`."""
    storage, offset, shape, strides, *_ = tensor
    if len(_checked(shape, tuple)) > MAX_DIMENSIONS or len(_checked(strides, tuple)) != len(shape):
        raise ValueError(f"{name} has too many dimensions, or too few strides")
    if not all(isinstance(number, int) and number >= 0 for number in (offset, *shape, *strides)):
        raise ValueError(f"{name}: offset, shape or strides are not natural numbers")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    # as many elements as the storage at most: with a stride of 0, a small file would expand to an array of any size
    if math.prod(shape) > storage.size or (0 not in shape and last >= storage.size):
        raise ValueError(f"{name} exceeds its storage")
    itemsize = storage.dtype.itemsize
    return np.ndarray(shape, storage.dtype, data, start + offset * itemsize, [stride * itemsize for stride in strides])


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


class _Machine:
    """The stack and the memo that the operations of a pickle work on.

    Keys are text: the hash of nested tuples could take forever.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below_marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_global(self, name: str) -> None:
        if name not in STAND_INS:
            raise ValueError(f"the name {name} is not allowed")
        self.push(STAND_INS[name])

    def mark(self) -> None:
        self.below_marks.append(self.stack)
        self.stack = []

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below_marks.pop()
        return items

    def pop(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def drop(self) -> None:
        self.stack.pop()

    def memoize(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][_checked(key, str)] = value

    def push_storage(self) -> None:
        kind, dtype, key, _device, size, view = self.stack.pop()
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise ValueError("not a storage")
        self.push(_Storage(_checked(key, str), dtype, _checked(size, int)))

    def call(self) -> None:
        function, arguments = self.pop(2)
        if not any(function is allowed for allowed in FUNCTIONS):
            raise ValueError("a call that is not allowed")
        self.push(function(*arguments))


# What an operation does to the machine, given its argument.
OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda *_: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "LONG1": _Machine.push,
    "BINUNICODE": _Machine.push,
    "GLOBAL": _Machine.push_global,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": lambda machine, _: machine.mark(),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "BINPUT": _Machine.memoize,
    "LONG_BINPUT": _Machine.memoize,
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "BINPERSID": lambda machine, _: machine.push_storage(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.drop(),  # attributes of the ordered dict: versions of layers
}
OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def _read_pickle(file: BytesIO) -> Any:
    """Return the value of the pickle that begins at the file's position, and move behind it."""
    machine = _Machine()
    for _ in range(MAX_OPERATIONS):
        opcode = OPCODES.get(file.read(1))
        if opcode is None:
            raise ValueError("truncated, or not a pickle")
        if opcode.name == "STOP":
            (value,) = machine.stack
            return value
        if opcode.name not in OPERATIONS:
            raise ValueError(f"the operation {opcode.name} is not allowed")
        OPERATIONS[opcode.name](machine, _read_argument(file, opcode))
    raise ValueError("too many operations")


def _read_argument(file: BytesIO, opcode: pickletools.OpcodeInfo) -> Any:
    if opcode.name == "GLOBAL":  # pickletools would interpret backslashes
        return b" ".join(file.readline().removesuffix(b"\n") for _ in range(2)).decode("ascii")
    return opcode.arg.reader(file) if opcode.arg else None
