import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from ssim_ae import storage
from ssim_ae.errors import InputError
from ssim_ae.storage import write_atomic


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    storage.write_atomic(path, "old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(InputError, match="file: cannot be written: No space left on device"):
        storage.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_into_a_missing_folder_is_a_one_line_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        storage.write_atomic(tmp_path / "none" / "file", b"")


def test_new_folders_are_numbered_and_not_reused(tmp_path):
    names = [storage.new_folder(tmp_path / "runs", "x").name for _ in range(3)]
    assert names == ["x-1", "x-2", "x-3"]


def test_links_are_followed_and_devices_are_written_directly(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    storage.write_atomic(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    storage.write_atomic(Path("/dev/null"), "gone")
    assert Path("/dev/null").is_char_device()


def test_leftovers_are_removed_by_the_next_write_and_locked_folders_are_kept(tmp_path):
    killed, folder = tmp_path / f".x.0{storage.PARTIAL_SUFFIX}", tmp_path / f".1{storage.PARTIAL_SUFFIX}"
    killed.write_text("half")
    (folder / "within").mkdir(parents=True)
    with storage.scratch_folder(tmp_path) as locked:
        assert not killed.exists() and not folder.exists()
        storage.remove_leftovers(tmp_path)
        assert locked.is_dir()
    storage.write_atomic(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folder_lock_is_exclusive(tmp_path):
    raises = pytest.raises(InputError, match="another process is writing into it")
    with storage.lock_folder(tmp_path), raises, storage.lock_folder(tmp_path):
        pass
    with storage.lock_folder(tmp_path):
        pass


def test_temporary_file_that_is_removed_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    lock, removed = storage._lock_descriptor, []

    def remove_first(descriptor):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(descriptor)

    monkeypatch.setattr(storage, "_lock_descriptor", remove_first)
    storage.write_atomic(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and removed


def test_new_folder_removes_leftovers_from_earlier_folders(tmp_path):
    before = storage.new_folder(tmp_path, "a[b]")
    (before / "images").mkdir()
    left = before / "images" / f".x.png.123{storage.PARTIAL_SUFFIX}"
    left.write_bytes(b"half")
    assert storage.new_folder(tmp_path, "a[b]").name == "a[b]-2"
    assert not left.exists()


@pytest.mark.parametrize("name", ["Line 1", "Größe 部品", "-x", "a.b", "NUL", "n" * 240])
def test_names_of_new_folders_that_every_system_accepts(tmp_path, name):
    storage.check_folder_name(name, "dataset")
    assert storage.new_folder(tmp_path, name).name == f"{name}-1"


@pytest.mark.parametrize(("name", "shortened"), [("", "images"), ("n" * 255, "n" * 240), ("ü" * 127, "ü" * 120)])
def test_a_folder_without_a_usable_name_gets_one(tmp_path, name, shortened):
    assert [storage.new_folder(tmp_path, name).name for _ in range(2)] == [f"{shortened}-1", f"{shortened}-2"]


def test_a_replaced_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "report"
    target.mkdir()
    for names in (["a", "deep/b\nc"], ["deep/d"]):
        with storage.replacement_folder(target) as new:
            for name in names:
                (new / name).parent.mkdir(exist_ok=True)
                (new / name).touch()
        (target / ".DS_Store").touch()
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert files == {"deep/d", ".files.json", ".DS_Store"} and [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("supported", [True, False])
def test_a_folder_is_replaced_where_folders_cannot_be_exchanged(tmp_path, monkeypatch, supported):
    if not supported:
        monkeypatch.setattr("ssim_ae.storage._exchange", lambda *_: False)
    for name in "ab":
        with storage.replacement_folder(tmp_path / "report") as new:
            (new / name).touch()
    assert (tmp_path / "report" / "b").exists() and not (tmp_path / "report" / "a").exists()


def test_a_folder_that_cannot_be_replaced_keeps_its_files(tmp_path):
    target = tmp_path / "report"
    with storage.replacement_folder(target) as new:
        (new / "a").touch()
    with pytest.raises(ZeroDivisionError), storage.replacement_folder(target) as new:
        (new / "b").write_text(f"{1 / 0}")
    assert (target / "a").exists() and not (target / "b").exists()
    with (
        pytest.raises(InputError, match="report: holds another file, mine"),
        storage.replacement_folder(target) as new,
    ):
        (target / "mine").touch()  # while the new folder is written
    (target / "mine").unlink()
    (target / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="report: holds another file, link"), storage.replacement_folder(target):
        pytest.fail("the folder is checked first")
    (target / "link").unlink()
    (target / ".files.json").write_text("[[")
    with pytest.raises(InputError, match="report: holds another file"), storage.replacement_folder(target):
        pytest.fail("without its list, every file is another one")
    with pytest.raises(InputError, match="a: a file; name a folder"), storage.replacement_folder(target / "a"):
        pytest.fail("the folder is checked first")
    assert (target / "a").exists()


def test_an_unused_path_has_the_next_number(tmp_path):
    path = tmp_path / "a.safetensors"
    assert storage.unused_path(path) == path
    path.touch()
    (tmp_path / "a-2.safetensors").touch()
    assert storage.unused_path(path).name == "a-3.safetensors"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges folders atomically")
def test_a_folder_is_replaced_in_one_operation(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).mkdir()
    if not storage._exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("the file system cannot exchange folders")
    with storage.replacement_folder(tmp_path / "a") as new:
        (new / "file").touch()
        monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("a moment without the folder"))
    assert (tmp_path / "a" / "file").exists()


def test_a_file_that_another_thread_is_writing_is_no_leftover(tmp_path, monkeypatch):
    """Without locks, as on Windows, the leftovers of a folder are removed before its first file is written."""
    monkeypatch.setattr("ssim_ae.storage._lock_path", lambda path: nullcontext())
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: write_atomic(folder / str(name), b"content"), range(8)))  # noqa: B023
        assert len(list(folder.iterdir())) == 8
