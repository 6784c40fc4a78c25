import subprocess
import sys
import tracemalloc
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ssim_ae import InputError
from ssim_ae.model_zoo.checkpoint import read_mindspore_checkpoint

SAVED = Path(__file__).parents[1] / "saved"
CHECKPOINT = SAVED / "reference" / "reference.ckpt"
DAMAGED = "x.ckpt: not a MindSpore checkpoint, or corrupt"
BY_MINDSPORE = """
import numpy as np, mindspore
from mindspore.train import serialization

serialization.SLICE_SIZE = 1  # kB
values = np.linspace(-3, 3, 3003, dtype=np.float32).reshape(7, 11, 13, 3)

def save(name, type, **settings):
    tensors = {"large": mindspore.Tensor(values, type), "rate": mindspore.Tensor(0.5), "step": mindspore.Tensor(3)}
    tensors = [{"name": name, "data": tensor} for name, tensor in tensors.items()]
    mindspore.save_checkpoint(tensors, f"{name}.ckpt", **settings)

save("whole", mindspore.float32, append_dict={"text": "encoded"})
save("crc", mindspore.float32, crc_check=True)
save("half", mindspore.float16)
save("bfloat16", mindspore.bfloat16)
save("secret", mindspore.float32, enc_key=b"0123456789abcdef")
"""


def varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(name: str, sizes: tuple[int, ...], kind: str, content: bytes) -> bytes:
    tensor = b"".join(field(1, size) for size in sizes) + field(2, kind.encode()) + field(3, content)
    return field(1, field(1, name.encode()) + field(2, tensor))


@pytest.fixture
def read(tmp_path):
    def reading(data: bytes) -> dict[str, np.ndarray]:
        path = tmp_path / "x.ckpt"
        path.write_bytes(data)
        return read_mindspore_checkpoint(path)

    return reading


def test_training_checkpoint_is_read():
    tensors = read_mindspore_checkpoint(CHECKPOINT)
    assert list(tensors)[:3] == ["encoded.0.weight", "encoded.0.bias", "encoded.2.weight"]
    assert tensors["encoded.16.weight"].shape == (4, 2, 8, 8) and tensors["decoded.16.bias"].shape == (3,)
    assert len([name for name in tensors if name.startswith("adam_m.")]) == 36
    assert tensors["learning_rate"] == np.float32(2e-4) and "global_step" not in tensors
    assert all(array.dtype == np.float32 for array in tensors.values())


def test_all_float_types_become_float32(read):
    values = np.array([[1.5, -2], [0, 0.15625]], np.float32)
    bfloat16 = (values.view(np.uint32) >> 16).astype("<u2")
    tensors = read(
        entry("a", (2, 2), "Float32", values.tobytes())
        + entry("b", (2, 2), "Float16", values.astype(np.float16).tobytes())
        + entry("c", (2, 2), "BFloat16", bfloat16.tobytes())
        + entry("d", (2, 2), "Int32", values.tobytes())
        + entry("e", (0,), "Float32", values[:1, :1].tobytes())
        + entry("f", (), "Float32", values[:1, :1].tobytes())
        + field(1, field(1, b"g") + field(3, b""))  # a hash table
    )
    assert list(tensors) == ["a", "b", "c", "e", "f"]
    assert all(np.array_equal(tensors[name], values) and tensors[name].dtype == np.float32 for name in "abc")
    assert tensors["e"] == tensors["f"] == np.float32(1.5)


def test_parts_of_a_large_tensor_are_joined(read):
    values = np.arange(300, dtype=np.float32).reshape(20, 15)
    data = values.tobytes()
    parts = [entry("large", (20, 15), "Float32", data[start : start + 500]) for start in range(0, len(data), 500)]
    assert len(parts) == 3
    tensors = read(b"".join(parts) + entry("after", (1,), "Float32", data[:4]))
    assert np.array_equal(tensors["large"], values) and list(tensors) == ["large", "after"]
    with pytest.raises(InputError, match=DAMAGED):
        read(parts[0] + parts[2])


def test_crc_is_verified(read):
    message = entry("a", (1,), "Float32", np.float32(7).tobytes())
    assert read(message + b"crc_num" + zlib.crc32(message).to_bytes(10, "big"))["a"] == 7
    with pytest.raises(InputError, match=DAMAGED):
        read(message + b"crc_num" + (zlib.crc32(message) ^ 1).to_bytes(10, "big"))


@pytest.mark.parametrize("name", ["reference.safetensors", "network.onnx", "network.mindir", "good.png", "half.xml"])
def test_file_of_another_kind_is_a_one_line_error(read, name):
    with pytest.raises(InputError, match=DAMAGED) as caught:
        read((SAVED / "format-1" / name).read_bytes())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 another's checkpoint",
        field(1, field(2, field(3, b"nameless"))),
        field(1, field(1, b"\xff\xfe") + field(2, b"")),
        entry("a", (3,), "Float32", b"\0" * 4),
        entry("a", (2**40, 2**40), "Float32", b"\0" * 4),
        entry("a", (2**64 - 2,), "Float32", b"\0" * 4),
        entry("a", (0, 2**64 - 1), "Float32", b""),
        entry("a", (0, 2**40), "Float32", b"\0" * 4),
        varint(1 << 3 | 2) + varint(2**62) + b"abc",
        varint(1 << 3 | 2) + b"\xff" * 50,
        field(2, entry("a", (1,), "Float32", b"\0" * 4)[2:]),
        field(1, field(1, 5) + field(2, b"")),
        field(1, 5),
        varint(1 << 3 | 2),
        varint(1 << 3 | 2) + b"\x80",
    ],
)
def test_damaged_file_is_a_one_line_error_and_allocates_little(read, data):
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=DAMAGED):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_truncated_or_altered_file_is_read_or_rejected(read, rng):
    data = CHECKPOINT.read_bytes()
    rejected = 0
    for length in rng.integers(0, len(data), 200):
        try:
            assert len(read(data[:length])) < 110
        except InputError as error:
            rejected += DAMAGED in str(error)
    assert rejected > 190, "all except those truncated between two tensors"
    for position in rng.integers(0, len(data), 200):
        altered = bytearray(data)
        altered[position] ^= int(rng.integers(1, 256))
        try:
            read(bytes(altered))
        except InputError as error:
            assert DAMAGED in str(error)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.ckpt: no such file"):
        read_mindspore_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.long
@pytest.mark.skipif(not find_spec("mindspore"), reason="MindSpore is not installed: pip install mindspore")
def test_checkpoints_of_mindspore_are_read(tmp_path):
    subprocess.run([sys.executable, "-W", "ignore", "-c", BY_MINDSPORE], cwd=tmp_path, check=True)
    values = np.linspace(-3, 3, 3003, dtype=np.float32).reshape(7, 11, 13, 3)
    for name, tolerance in {"whole": 0, "crc": 0, "half": 2**-10, "bfloat16": 2**-7}.items():
        tensors = read_mindspore_checkpoint(tmp_path / f"{name}.ckpt")
        assert list(tensors) == ["large", "rate"] and tensors["rate"] == np.float32(0.5)
        assert np.abs(tensors["large"] - values).max() <= tolerance * 3
    with pytest.raises(InputError, match="not a MindSpore checkpoint, or corrupt"):
        read_mindspore_checkpoint(tmp_path / "secret.ckpt")
