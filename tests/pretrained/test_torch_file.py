"""The reader of PyTorch's files agrees with PyTorch, runs nothing, and rejects what it cannot read."""

import io
import pickle
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssim_ae.pretrained.torch_file import FORMAT_VERSION, MAGIC_NUMBER, MAX_OPERATIONS, read_tensors

REFUSED = r"^not tensors in PyTorch's legacy format, or corrupt \(.+\)$"
MAX_MEMORY = 50_000_000  # bytes; of lists and tuples, not of arrays: the files have up to a few hundred kB


def saved(tensors: object) -> bytes:
    file = io.BytesIO()
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def state_dict() -> dict[str, torch.Tensor]:
    values = torch.arange(120, dtype=torch.float32).reshape(2, 3, 4, 5) / 7
    return OrderedDict(
        plain=values,
        transposed=values.permute(3, 1, 2, 0),
        part=values[1, :, 1:3, ::2],
        flat=values.view(-1)[7:],  # of the same storage, as all above
        single=values[:, :1, 0, 0],
        channels_last=torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        cube=torch.rand(3, 2, 4),
        scalar=torch.tensor(2.5),
        steps=torch.tensor(-(2**40)),
        indices=torch.arange(12).reshape(3, 4).T,
        empty=torch.zeros(0, 3),
        hollow=torch.zeros(3, 0),
    )


DATA = saved(state_dict())


def assert_as_by_torch(data: bytes) -> None:
    expected = torch.load(io.BytesIO(data), weights_only=True)
    tensors = read_tensors(data)
    assert list(tensors) == list(expected)
    for name, tensor in expected.items():
        assert tensors[name].dtype == tensor.numpy().dtype and np.array_equal(tensors[name], tensor.numpy()), name


def test_tensors_are_those_that_torch_reads():
    assert_as_by_torch(DATA)
    assert read_tensors(DATA)["transposed"].strides == tuple(4 * stride for stride in (1, 20, 5, 60))
    assert not any(array.flags.writeable for array in read_tensors(DATA).values())


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_any_number_of_tensors_is_read(count):
    assert_as_by_torch(saved({f"tensor{index}": torch.full((index % 5,), index) for index in range(count)}))


def test_the_file_of_a_module_is_read():
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2)]
    assert_as_by_torch(saved(torch.nn.Sequential(*layers).state_dict()))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": torch.zeros(3, dtype=torch.float16)}, "torch HalfStorage is not allowed"),
        ({"a": torch.zeros(3, dtype=torch.uint8)}, "torch ByteStorage is not allowed"),
        ({"a": torch.nn.Parameter(torch.zeros(3))}, "_rebuild_parameter is not allowed"),
        ({"a": {"b": torch.zeros(3)}}, "a is not a tensor"),
        ({"a": 3}, "a is not a tensor"),
        ({"a": 0.5}, "BINFLOAT is not allowed"),
        ({1: torch.zeros(3)}, "str expected, not int"),
        ([torch.zeros(3)], "items"),
        (torch.zeros(3), "items"),
        ({"a": torch.zeros(1).expand(10**6, 10**6)}, "a exceeds its storage"),
        (torch.nn.Linear(2, 2), "is not allowed"),
    ],
)
def test_other_content_is_refused(content, reason):
    with pytest.raises(ValueError, match=REFUSED) as caught:
        read_tensors(saved(content))
    assert reason in str(caught.value)


def test_other_formats_are_refused():
    file = io.BytesIO()
    torch.save(state_dict(), file)
    for data in (b"", b"GIF89a", file.getvalue(), pickle.dumps({"a": 1}, 2), DATA[:-1], DATA + b"\0"):
        with pytest.raises(ValueError, match=REFUSED):
            read_tensors(data)


class Runs:
    """Its pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def legacy_file(content: bytes, *, keys: bytes = pickle.dumps([], 2), little_endian: object = True) -> bytes:
    """Return a file with any pickle as its content."""
    start = [MAGIC_NUMBER, FORMAT_VERSION, {"little_endian": little_endian}]
    return b"".join(pickle.dumps(value, 2) for value in start) + content + keys


@pytest.mark.parametrize(
    "harmful",
    [
        Runs(eval, "__import__('pathlib').Path('harm-was-done').touch()"),
        Runs(exec, "open('harm-was-done', 'w')"),
        Runs(__import__("os").system, "touch harm-was-done"),
        Runs(Path.touch, Path("harm-was-done")),
        Runs(__import__, "this"),
        Runs(getattr, "", "join"),
    ],
    ids=["eval", "exec", "system", "touch", "import", "getattr"],
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_call_of_a_pickle_is_made(harmful, protocol, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps({"a": harmful}, protocol)
    for data in (content, legacy_file(content), legacy_file(pickle.dumps({}, 2), keys=content)):
        with pytest.raises(ValueError, match=REFUSED):
            read_tensors(data)
    assert not list(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


def code(value) -> bytes:
    """Return the operations that put a value on the stack; bytes are operations already."""
    return value if isinstance(value, bytes) else pickle.dumps(value, 2)[2:-1]  # without protocol and end


def doubling(depth: int = 99) -> bytes:
    """Return the operations for a tuple of two equal tuples of two equal tuples ...: its hash takes 2^depth steps."""
    return b")" + b"".join(b"q%c" % index + b"h%c" % index + b"\x86" for index in range(depth))


FLOAT = b"ctorch\nFloatStorage\n"


def tensor_code(
    offset=0, shape=(2,), strides=(1,), *, key="0", size=4, kind="storage", dtype=FLOAT, storage_view=None
) -> bytes:
    """Return the operations for a tensor, with these arguments whatever they are."""
    parts = (kind, dtype, key, "cpu", size, storage_view)
    storage = b"(" + b"".join(map(code, parts)) + b"tQ"
    view = code(offset) + code(shape) + code(strides)
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"\x89" + hooks + b"tR"


def file_of(tensor: bytes, size: int = 4, *, keys=("0", "1"), little_endian: object = True) -> bytes:
    """Return a file with a tensor of storage "0", 0 1 2 3, and an empty one of storage "1"."""
    content = b"\x80\x02}" + code("a") + tensor + b"s" + code("b") + tensor_code(0, (0,), key="1", size=0) + b"s."
    elements = size.to_bytes(8, "little") + np.arange(4, dtype=np.float32).tobytes() + bytes(8)
    keys = b"\x80\x02" + code(keys) + b"."
    return legacy_file(content, keys=keys, little_endian=little_endian) + elements


SMALL = file_of(tensor_code(1, (2, 2), (1, 1)))


def test_a_file_by_hand_is_read():
    assert {name: array.tolist() for name, array in read_tensors(SMALL).items()} == {"a": [[1, 2], [2, 3]], "b": []}


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (tensor_code(3), "a exceeds its storage"),
        (tensor_code(4, (1,)), "a exceeds its storage"),
        (tensor_code(0, (2,), (4,)), "a exceeds its storage"),
        (tensor_code(0, (5,)), "a exceeds its storage"),
        (tensor_code(0, (5,), (0,)), "a exceeds its storage"),
        (tensor_code(0, (10**9, 10**9), (0, 0)), "a exceeds its storage"),
        (tensor_code(0, (2**33, 2**33), (2**31, 2**31)), "a exceeds its storage"),
        (tensor_code(2**64), "a exceeds its storage"),
        (tensor_code(-1), "not natural numbers"),
        (tensor_code(0, (2,), (-1,)), "not natural numbers"),
        (tensor_code(0, (-2,)), "not natural numbers"),
        (tensor_code(None), "not natural numbers"),
        (tensor_code(0, ("2",)), "not natural numbers"),
        (tensor_code(0, (2,), (1, 1)), "a has too many dimensions, or too few strides"),
        (tensor_code(0, (2, 2), (1,)), "a has too many dimensions, or too few strides"),
        (tensor_code(0, (1,) * 40, (1,) * 40), "a has too many dimensions, or too few strides"),
        (tensor_code(0, (1,), (2**70,)), ""),
        (tensor_code(0, (0, 2**70), (1, 1)), ""),
        (tensor_code(0, (True,)), ""),
        (tensor_code(0, "2"), "tuple expected, not str"),
        (tensor_code(0, [2]), "tuple expected, not list"),
        (tensor_code(key="1"), ""),
        (tensor_code(key="2"), "0"),
        (tensor_code(key=0), "str expected, not int"),
        (tensor_code(key=doubling()), "str expected, not tuple"),
        (tensor_code(size=3), "storage 0 is truncated, or of another size"),
        (tensor_code(size="4"), "int expected, not str"),
        (tensor_code(size=doubling()), "int expected, not tuple"),
        (tensor_code(kind="module"), "not a storage"),
        (tensor_code(dtype="float32"), "not a storage"),
        (tensor_code(dtype=b"ccollections\nOrderedDict\n"), "not a storage"),
        (tensor_code(storage_view=("1", 0, 2)), "not a storage"),
        (b"K\x01Q", ""),
        (b"ctorch._utils\n_rebuild_tensor_v2\nK\x01R", ""),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(" + b"K\x04" * 6 + b"tR", "a is not a tensor"),
    ],
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tensor, reason):
    with pytest.raises(ValueError, match=REFUSED) as caught:
        read_tensors(file_of(tensor))
    assert reason in str(caught.value)


@pytest.mark.parametrize("keys", [("0",), ("0", "1", "2"), ("1", "0"), (0, "1"), b"(" + doubling() + b"t", None])
def test_keys_of_other_storages_are_refused(keys):
    with pytest.raises(ValueError, match=REFUSED):
        read_tensors(file_of(tensor_code(), keys=keys))


@pytest.mark.parametrize("little_endian", [False, None, 1])
def test_another_byte_order_is_refused(little_endian):
    with pytest.raises(ValueError, match="big-endian"):
        read_tensors(file_of(tensor_code(), little_endian=little_endian))


@pytest.mark.parametrize("size", [3, 5, 2**61, 2**63, 2**64 - 1])
def test_a_storage_of_another_size_is_refused(size):
    for stated in (4, size):
        with pytest.raises(ValueError, match=REFUSED):
            read_tensors(file_of(tensor_code(size=stated), size))


@pytest.mark.parametrize(
    "content",
    [
        b"}" + doubling() + b"Ns.",  # as a key
        doubling() + b".",
        b"}X\x01\0\0\0a" + doubling() + b"s.",
        b"(" * 1_000_000 + b".",
        b"]q\0" * 1_000_000 + b".",
        b")" + b"\x85" * (MAX_OPERATIONS - 10) + b".",  # nested deeply
        b"X\xff\xff\xff\x7fa.",  # a text of 2 GB
        b"\x8a\xff" + b"\xff" * 255 + b".",
        b"]q\0h\0a.",  # a list in itself
        b"t.",
        b"h\0.",
        b"s.",
        b"Q.",
        b"R.",
        b"b.",
        b"q\0.",
        b"cos\nsystem\n.",
        b"ctorch\n" + b"F" * 10_000_000,
        b"c\\o\n\\d\n.",  # pickletools warns of such names
        b"i__main__\nx\n.",
        b"S'\\d'\n.",  # pickletools warns of such a text
        b"ctorch\nFloatStorage\n)R.",
        b"ccollections\nOrderedDict\n(K\x01K\x02tR.",
    ],
)
def test_a_hostile_pickle_is_refused_at_once(content):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=REFUSED) as caught:
            read_tensors(legacy_file(b"\x80\x02" + content))
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 400


def read_or_refused(data: bytes) -> None:
    """Read a file, or have it refused; the tensors of one that is read lie inside of it."""
    try:
        tensors = read_tensors(data)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    else:
        assert all(array.size <= len(data) and array.copy().size == array.size for array in tensors.values())


FILES = st.sampled_from([DATA, SMALL])
POSITIONS = st.floats(0, 1, exclude_max=True)  # as a part of the length


@given(FILES, st.lists(st.tuples(POSITIONS, st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_changed_file_is_read_or_refused(data, changes):
    changed = bytearray(data)
    for position, byte in changes:
        changed[int(position * len(data))] = byte
    read_or_refused(bytes(changed))


@given(FILES, st.tuples(POSITIONS, POSITIONS, POSITIONS))
@settings(max_examples=200, deadline=None)
def test_a_file_with_a_part_repeated_or_missing_is_read_or_refused(data, positions):
    start, end, target = (int(position * len(data)) for position in positions)
    read_or_refused(data[:target] + data[start:end] + data[target:])
    read_or_refused(data[:start] + data[end:])


@pytest.mark.parametrize("data", [DATA, SMALL], ids=["by torch", "by hand"])
def test_a_truncated_file_is_refused(data):
    for length in range(len(data)):
        with pytest.raises(ValueError, match=REFUSED):
            read_tensors(data[:length])


OPERATIONS = b".()]}NabceqhjrsutQRKMJX\x80\x85\x86\x87\x88\x89\x8a"


@given(st.lists(st.sampled_from([bytes([code]) for code in OPERATIONS]) | st.binary(max_size=3), max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_operations_are_read_or_refused(parts):
    read_or_refused(legacy_file(b"\x80\x02" + b"".join(parts) + b"."))
