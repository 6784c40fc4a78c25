import os
import shutil
import time
from copy import copy as copy_of

import pytest

from ssim_ae import InputError
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector

NEVER = 3600  # seconds between two scans: the tests call scan() themselves


def copy(path, target):
    """Copy a file, and wait so that the next copy gets another modification time."""
    shutil.copy(path, target)
    time.sleep(0.01)


def results(watcher):
    return [image.result for image in watcher.results.after(0)]


@pytest.fixture
def folder(tmp_path, images):
    """A folder that contains an image before it is watched."""
    copy(images[0], tmp_path / "old.png")
    return tmp_path


@pytest.fixture
def watcher(folder, inspector):
    with FolderWatcher(folder, inspector, interval=NEVER) as watcher:
        watcher.results.last_number = 0
        yield watcher


def test_numbers_keep_increasing_after_a_restart(folder, inspector):
    first = FolderWatcher(folder, inspector).results.last_number
    time.sleep(0.01)
    assert FolderWatcher(folder, inspector).results.last_number > first


def test_new_images_are_inspected_and_existing_ones_are_not(watcher, folder, images, detector):
    for path in images[1:3]:
        watcher.scan()
        copy(path, folder / f"{path.parent.name}_{path.name}")
        watcher.scan()
    watcher.scan()
    watcher.scan()
    first, second = watcher.results.after(0)
    assert (first.number, second.number) == (1, 2)
    for path, image in zip(images[1:3], (first, second), strict=True):
        assert image.result.name == f"{path.parent.name}_{path.name}" and image.result.detector == "twill"
        assert image.result.score == detector.inspect(path).score
    assert watcher.results.after(1) == [second] and watcher.results.after(2) == []


def test_the_folder_is_scanned_periodically(folder, inspector, images):
    with FolderWatcher(folder, inspector, interval=0.02) as watcher:
        copy(images[1], folder / "new.png")
        while not watcher.results.after(0):
            time.sleep(0.01)
    assert [result.name for result in results(watcher)] == ["new.png"]
    copy(images[1], folder / "late.png")
    time.sleep(0.1)
    assert len(watcher.results.after(0)) == 1 and not watcher._thread.is_alive()


def test_a_file_is_inspected_once_it_is_complete(watcher, folder, images):
    data = images[1].read_bytes()
    with (folder / "slow.png").open("wb", buffering=0) as file:
        for start in range(0, len(data), 2000):
            file.write(data[start : start + 2000])
            watcher.scan()
            assert watcher.results.after(0) == []
    watcher.scan()
    watcher.scan()
    (result,) = results(watcher)
    assert result.verdict in ("ok", "nok")


def test_a_file_that_is_overwritten_is_inspected_again(watcher, folder, images, detector):
    for number, path in enumerate(images[1:3], 1):
        copy(path, folder / "old.png")
        assert watcher.results.path_of(number - 1) is None, "the file has changed"
        watcher.scan()
        watcher.scan()
        assert watcher.results.path_of(number) == folder / "old.png"
        assert [result.score for result in results(watcher)][-1] == detector.inspect(path).score
    assert len(watcher.results.after(0)) == 2


def test_a_corrupt_image_yields_a_failure_and_the_others_are_inspected(watcher, folder, images):
    (folder / "notes.txt").write_text("no image")
    copy(images[1], folder / ".hidden.png")
    (folder / "corrupt.png").write_text("no image")
    copy(images[1], folder / "good.png")
    watcher.scan()
    watcher.scan()
    corrupt, good = results(watcher)
    assert (corrupt.name, corrupt.error) == ("corrupt.png", "corrupt.png: not an image, or corrupt")
    assert good.name == "good.png"


def test_an_unexpected_error_does_not_stop_the_watcher(watcher, folder, images, monkeypatch):
    def broken(*_arguments):
        raise NotImplementedError("no such compression")

    copy(images[1], folder / os.fsdecode(b"caf\xe9.png"))
    watcher.scan()
    with monkeypatch.context() as patched:
        patched.setattr(watcher.inspector, "submit", broken)
        watcher.scan()
    copy(images[1], folder / "next.png")
    watcher.scan()
    watcher.scan()
    first, second = results(watcher)
    assert first.error == "caf\ufffd.png: NotImplementedError('no such compression')"
    assert second.verdict in ("ok", "nok") and second.model_dump_json()


def test_a_file_name_that_is_not_utf8(watcher, folder, images):
    copy(images[1], folder / os.fsdecode(b"caf\xe9.png"))
    watcher.scan()
    watcher.scan()
    assert [result.model_dump()["name"] for result in results(watcher)] == ["caf\ufffd.png"]
    assert watcher.results.after(0)[0].model_dump_json()


def test_the_folder_is_not_changed(watcher, folder, images):
    copy(images[1], folder / "new.png")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    watcher.scan()
    watcher.scan()
    assert len(watcher.results.after(0)) == 1
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_a_folder_that_is_unreachable_for_a_while(watcher, folder, images):
    away = folder.with_name(f"{folder.name}-away")
    folder.rename(away)
    watcher.scan()
    watcher.scan()
    away.rename(folder)
    copy(images[1], folder / "new.png")
    watcher.scan()
    watcher.scan()
    assert [result.name for result in results(watcher)] == ["new.png"]


def test_the_oldest_results_are_dropped(folder, inspector, images, monkeypatch):
    monkeypatch.setattr("ssim_ae.server.watched_results.MAX_REMEMBERED_RESULTS", 2)
    with FolderWatcher(folder, inspector, interval=NEVER) as watcher:
        watcher.results.last_number = 0
        for number in range(3):
            copy(images[1], folder / f"{number}.png")
        watcher.scan()
        watcher.scan()
        assert [image.number for image in watcher.results.after(0)] == [2, 3]
        assert watcher.results.path_of(1) is None and watcher.results.path_of(3) == folder / "2.png"


def test_a_missing_folder(tmp_path, inspector):
    with pytest.raises(InputError, match="none: no such folder"):
        FolderWatcher(tmp_path / "none", inspector)


def test_over_http(watcher, folder, inspector, serve, images, detector):
    with serve(inspector, watched=watcher.results) as client:
        assert client.get("/v1/watched").json() == []
        copy(images[1], folder / "new.png")
        watcher.scan()
        watcher.scan()
        (image,) = client.get("/v1/watched").json()
        assert image["number"] == 1 and image["result"]["score"] == detector.inspect(images[1]).score
        assert client.get("/v1/watched", params={"after": 1}).json() == []
        result = client.get("/v1/watched/1").json()
        assert list(result["pictures"]) == ["inspected", "reconstruction", "levels"]
        assert (result["name"], result["score"]) == ("new.png", image["result"]["score"])
        (folder / "new.png").unlink()
        for number in ("1", "2", "999999999999999999999"):
            missing = client.get(f"/v1/watched/{number}")
            assert missing.status_code == 404
            assert missing.json() == {"detail": f"{number}: unknown number, or the image was changed or deleted"}
        for number in ("0", "-1", "old.png", "..%2fold.png"):
            assert client.get(f"/v1/watched/{number}").status_code in (404, 422)
        assert client.get("/v1/watched", params={"after": -1}).status_code == 422
        assert str(folder) not in client.get("/v1/watched").text


def test_only_images_with_the_suffix_of_the_training_are_inspected(folder, loaded, images):
    loaded = copy_of(loaded)
    loaded.config = loaded.config.replace(img_suffix="_rgb.png")
    with Inspector({"rgb": loaded}) as inspector, FolderWatcher(folder, inspector, interval=NEVER) as watcher:
        for name in ("1_rgb.png", "1_depth.png"):
            copy(images[1], folder / name)
        watcher.scan()
        watcher.scan()
        assert [result.name for result in results(watcher)] == ["1_rgb.png"]
