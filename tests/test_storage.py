from pathlib import Path

import numpy as np
import pytest

from ssim_ae import storage
from ssim_ae.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    storage.write_whole(path, "old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(InputError, match="file: cannot be written: No space left on device"):
        storage.write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        storage.write_whole(tmp_path / "none" / "file", b"")


def test_tensors_come_back_with_their_metadata(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.array(3.0)}
    storage.write_tensors(path, tensors, {"kind": "test", "n": [1, None, "x"]})
    read, metadata = storage.read_tensors(path, "test")
    assert metadata == {"kind": "test", "n": [1, None, "x"]}
    assert all(np.array_equal(read[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\xff" * 8 + b"{}", b"\x80\x02]q\x00."])
def test_a_foreign_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(InputError, match="foreign: not a detector file") as caught:
        storage.read_tensors(path, "detector")
    assert "\n" not in str(caught.value)


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "t.safetensors"
    storage.write_tensors(path, {"a": np.zeros(1)}, {"kind": "checkpoint"})
    with pytest.raises(InputError, match="not a detector file"):
        storage.read_tensors(path, "detector")


def test_new_folders_are_numbered_and_never_reused(tmp_path):
    names = [storage.new_folder(tmp_path / "runs", "x").name for _ in range(3)]
    assert names == ["x-1", "x-2", "x-3"]


def test_links_are_followed_and_pipes_written_into(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    storage.write_whole(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    storage.write_whole(Path("/dev/null"), "gone")
    assert Path("/dev/null").is_char_device()


def test_what_a_killed_write_left_goes_with_the_next_and_what_is_held_stays(tmp_path):
    killed, folder = tmp_path / f".x.0{storage.PART}", tmp_path / f".1{storage.PART}"
    killed.write_text("half")
    (folder / "within").mkdir(parents=True)
    with storage.scratch_folder(tmp_path) as held:
        assert not killed.exists() and not folder.exists()
        storage.remove_leftovers(tmp_path)
        assert held.is_dir()
    storage.write_whole(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_held_by_one(tmp_path):
    held = pytest.raises(InputError, match="another process is writing into it")
    with storage.alone_in(tmp_path), held, storage.alone_in(tmp_path):
        pass
    with storage.alone_in(tmp_path):
        pass


def test_a_file_taken_for_a_leftover_is_made_anew(tmp_path, monkeypatch):
    hold, taken = storage._hold, []

    def late(descriptor):
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        hold(descriptor)

    monkeypatch.setattr(storage, "_hold", late)
    storage.write_whole(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and taken


def test_a_new_folder_clears_what_a_killed_process_left_in_those_before(tmp_path):
    before = storage.new_folder(tmp_path, "a[b]")
    (before / "images").mkdir()
    left = before / "images" / f".x.png.123{storage.PART}"
    left.write_bytes(b"half")
    assert storage.new_folder(tmp_path, "a[b]").name == "a[b]-2"
    assert not left.exists()
