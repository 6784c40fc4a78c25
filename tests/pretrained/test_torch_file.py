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


def legacy_file(content: bytes, *, keys: bytes | None = None) -> bytes:
    """Return a file with any pickle as its content."""
    start = [MAGIC_NUMBER, FORMAT_VERSION, {"little_endian": True}]
    return b"".join(pickle.dumps(value, 2) for value in start) + content + (keys or pickle.dumps([], 2))


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
    """Return the operations that put a value on the stack."""
    return pickle.dumps(value, 2)[2:-1]  # without protocol and end


def tensor_pickle(offset=0, shape=(2,), strides=(1,), *, key="0", size=4) -> bytes:
    """Return a pickle of {"a": tensor}, with these arguments whatever they are."""
    storage = b"(" + code("storage") + b"ctorch\nFloatStorage\n" + code(key) + code("cpu") + code(size) + b"NtQ"
    view = code(offset) + code(shape) + code(strides)
    hooks = b"ccollections\nOrderedDict\n)R"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"\x89" + hooks + b"tR"
    return b"\x80\x02}" + code("a") + tensor + b"s."


def file_of(content: bytes, size: int = 4, key: str = "0") -> bytes:
    elements = size.to_bytes(8, "little") + np.arange(4, dtype=np.float32).tobytes()
    return legacy_file(content, keys=pickle.dumps([key], 2)) + elements


def test_a_file_by_hand_is_read():
    assert read_tensors(file_of(tensor_pickle(1, (2, 2), (1, 1))))["a"].tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize(
    "content",
    [
        tensor_pickle(3),
        tensor_pickle(4, (1,)),
        tensor_pickle(-1),
        tensor_pickle(0, (2,), (-1,)),
        tensor_pickle(0, (-2,)),
        tensor_pickle(0, (2,), (4,)),
        tensor_pickle(0, (5,)),
        tensor_pickle(0, (10**9, 10**9), (0, 0)),
        tensor_pickle(0, (2**33, 2**33), (2**31, 2**31)),  # the last position overflows 64 bits
        tensor_pickle(2**64),
        tensor_pickle(0, (1,), (2**70,)),
        tensor_pickle(0, (0, 2**70), (1, 1)),
        tensor_pickle(0, (2,), (1, 1)),
        tensor_pickle(0, (2, 2), (1,)),
        tensor_pickle(0, (1,) * 40, (1,) * 40),
        tensor_pickle(0, (True,)),
        tensor_pickle(0, "2"),
        tensor_pickle(0, [2]),
        tensor_pickle(None),
        tensor_pickle(key="1"),
        tensor_pickle(key=0),
        tensor_pickle(size=3),
        tensor_pickle(size=2**62),
        tensor_pickle(size="4"),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(content):
    with pytest.raises(ValueError, match=REFUSED):
        read_tensors(file_of(content))


@pytest.mark.parametrize("size", [3, 5, 2**61, 2**63, 2**64 - 1])
def test_a_storage_of_another_size_is_refused(size):
    for stated in (4, size):
        with pytest.raises(ValueError, match=REFUSED):
            read_tensors(file_of(tensor_pickle(size=stated), size))


def doubling(depth: int) -> bytes:
    """Return the code of a tuple of two equal tuples of two equal tuples ..., whose hash takes 2^depth steps."""
    return b")" + b"".join(b"q%c" % index + b"h%c" % index + b"\x86" for index in range(depth))


@pytest.mark.parametrize(
    "content",
    [
        b"}" + doubling(99) + b"Ns.",  # as a key
        doubling(99) + b".",
        b"}X\x01\0\0\0a" + doubling(99) + b"s.",
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


POSITIONS = st.integers(0, len(DATA) - 1)
CHANGES = st.lists(st.tuples(POSITIONS, st.integers(0, 255)), min_size=1, max_size=4)


@given(CHANGES)
@settings(max_examples=400, deadline=None)
def test_a_changed_file_is_read_or_refused(changes):
    data = bytearray(DATA)
    for position, byte in changes:
        data[position] = byte
    read_or_refused(bytes(data))


@given(POSITIONS)
@settings(deadline=None)
def test_a_truncated_file_is_refused(length):
    with pytest.raises(ValueError, match=REFUSED):
        read_tensors(DATA[:length])


@given(POSITIONS, POSITIONS, POSITIONS)
@settings(max_examples=200, deadline=None)
def test_a_file_with_parts_moved_is_read_or_refused(start, end, target):
    read_or_refused(DATA[:target] + DATA[start:end] + DATA[target:])


OPERATIONS = b".()]}NabceqhjrsutQRKMJX\x80\x85\x86\x87\x88\x89\x8a"


@given(st.lists(st.sampled_from([bytes([code]) for code in OPERATIONS]) | st.binary(max_size=3), max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_operations_are_read_or_refused(parts):
    read_or_refused(legacy_file(b"\x80\x02" + b"".join(parts) + b"."))
