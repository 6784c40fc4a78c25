import numpy as np
import pytest

from ssim_ae import checked_files
from ssim_ae.errors import InputError


def test_tensors_and_metadata_round_trip(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.array(3.0)}
    checked_files.write_tensors(path, tensors, {"kind": "test", "n": [1, None, "x"]})
    read, metadata = checked_files.read_tensors(path, "test")
    assert metadata | {"sha256": ""} == {"kind": "test", "n": [1, None, "x"], "sha256": ""}
    assert all(np.array_equal(read[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\xff" * 8 + b"{}", b"\x80\x02]q\x00."])
def test_file_of_another_program_is_a_one_line_error(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(InputError, match="foreign: not a detector file") as caught:
        checked_files.read_tensors(path, "detector")
    assert "\n" not in str(caught.value)


def test_file_of_another_kind_is_an_error(tmp_path):
    path = tmp_path / "t.safetensors"
    checked_files.write_tensors(path, {"a": np.zeros(1)}, {"kind": "checkpoint"})
    with pytest.raises(InputError, match="not a detector file"):
        checked_files.read_tensors(path, "detector")
