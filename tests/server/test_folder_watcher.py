import os
import shutil
import time

import pytest

from ssim_ae import InputError
from ssim_ae.server.folder_watcher import FolderWatcher

NEVER = 3600  # of itself: the tests look


def copied(path, target):
    """Copy, with a time of its own however coarse the file system's clock."""
    shutil.copy(path, target)
    time.sleep(0.01)


def results(watch):
    return [entry.result for entry in watch.after(0)]


@pytest.fixture
def folder(tmp_path, images):
    """A folder with an image that is there already."""
    copied(images[0], tmp_path / "old.png")
    return tmp_path


@pytest.fixture
def watch(folder, inspector):
    with FolderWatcher(folder, inspector, interval=NEVER) as watching:
        watching.number = 0
        yield watching


def test_numbers_go_on_rising_when_a_server_is_started_again(folder, inspector):
    first = FolderWatcher(folder, inspector).number
    time.sleep(0.01)
    assert FolderWatcher(folder, inspector).number > first


def test_what_comes_in_is_inspected_and_what_was_there_is_not(watch, folder, images, detector):
    for path in images[1:3]:
        watch.look()
        copied(path, folder / f"{path.parent.name}_{path.name}")
        watch.look()
    watch.look()
    watch.look()
    first, second = watch.after(0)
    assert (first.number, second.number) == (1, 2)
    for path, entry in zip(images[1:3], (first, second), strict=True):
        assert entry.result.name == f"{path.parent.name}_{path.name}" and entry.result.detector == "twill"
        assert entry.result.score == detector.inspect(path).score
    assert watch.after(1) == [second] and watch.after(2) == []


def test_it_looks_of_itself(folder, inspector, images):
    with FolderWatcher(folder, inspector, interval=0.02) as watch:
        copied(images[1], folder / "new.png")
        while not watch.after(0):
            time.sleep(0.01)
    assert [answer.name for answer in results(watch)] == ["new.png"]
    copied(images[1], folder / "late.png")
    time.sleep(0.1)
    assert len(watch.after(0)) == 1 and not watch.thread.is_alive()


def test_a_file_that_is_being_written_is_waited_for(watch, folder, images):
    data = images[1].read_bytes()
    with (folder / "slow.png").open("wb", buffering=0) as file:
        for start in range(0, len(data), 2000):
            file.write(data[start : start + 2000])
            watch.look()
            assert watch.after(0) == []
    watch.look()
    watch.look()
    (answer,) = results(watch)
    assert answer.verdict in ("ok", "nok")


def test_a_file_that_is_written_anew_is_inspected_anew(watch, folder, images, detector):
    for number, path in enumerate(images[1:3], 1):
        copied(path, folder / "old.png")
        assert watch.path(number - 1) is None, "it is another image now"
        watch.look()
        watch.look()
        assert watch.path(number) == folder / "old.png"
        assert [answer.score for answer in results(watch)][-1] == detector.inspect(path).score
    assert len(watch.after(0)) == 2


def test_a_file_that_is_no_image_is_named_and_others_go_on(watch, folder, images):
    (folder / "notes.txt").write_text("no image")
    copied(images[1], folder / ".hidden.png")
    (folder / "bad.png").write_text("no image")
    copied(images[1], folder / "good.png")
    watch.look()
    watch.look()
    bad, good = results(watch)
    assert (bad.name, bad.error) == ("bad.png", "bad.png: not an image, or damaged")
    assert good.name == "good.png"


def test_whatever_goes_wrong_with_one_image_the_next_is_inspected(watch, folder, images, monkeypatch):
    def broken(*_given):
        raise NotImplementedError("no such compression")

    copied(images[1], folder / os.fsdecode(b"caf\xe9.png"))
    watch.look()
    with monkeypatch.context() as patched:
        patched.setattr(watch.inspector, "submit", broken)
        watch.look()
    copied(images[1], folder / "next.png")
    watch.look()
    watch.look()
    first, second = results(watch)
    assert first.error == "caf\ufffd.png: NotImplementedError('no such compression')"
    assert second.verdict in ("ok", "nok") and second.model_dump_json()


def test_a_name_that_is_no_text_can_be_sent(watch, folder, images):
    copied(images[1], folder / os.fsdecode(b"caf\xe9.png"))
    watch.look()
    watch.look()
    assert [answer.model_dump()["name"] for answer in results(watch)] == ["caf\ufffd.png"]
    assert watch.after(0)[0].model_dump_json()


def test_nothing_in_the_folder_is_changed(watch, folder, images):
    copied(images[1], folder / "new.png")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    watch.look()
    watch.look()
    assert len(watch.after(0)) == 1
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_a_folder_that_is_away_for_a_while(watch, folder, images):
    away = folder.with_name(f"{folder.name}-away")
    folder.rename(away)
    watch.look()
    watch.look()
    away.rename(folder)
    copied(images[1], folder / "new.png")
    watch.look()
    watch.look()
    assert [answer.name for answer in results(watch)] == ["new.png"]


def test_only_so_many_answers_are_remembered(folder, inspector, images, monkeypatch):
    monkeypatch.setattr("ssim_ae.server.folder_watcher.REMEMBERED", 2)
    with FolderWatcher(folder, inspector, interval=NEVER) as watch:
        watch.number = 0
        for number in range(3):
            copied(images[1], folder / f"{number}.png")
        watch.look()
        watch.look()
        assert [entry.number for entry in watch.after(0)] == [2, 3]
        assert watch.path(1) is None and watch.path(3) == folder / "2.png"


def test_a_folder_there_is_not(tmp_path, inspector):
    with pytest.raises(InputError, match="none: no such folder"):
        FolderWatcher(tmp_path / "none", inspector)


def test_over_http(watch, folder, inspector, serve, images, detector):
    with serve(inspector, watch=watch) as client:
        assert client.get("/v1/watched").json() == []
        copied(images[1], folder / "new.png")
        watch.look()
        watch.look()
        (entry,) = client.get("/v1/watched").json()
        assert entry["number"] == 1 and entry["result"]["score"] == detector.inspect(images[1]).score
        assert client.get("/v1/watched", params={"after": 1}).json() == []
        answer = client.get("/v1/watched/1").json()
        assert list(answer["pictures"]) == ["inspected", "reconstruction", "levels"]
        assert (answer["name"], answer["score"]) == ("new.png", entry["result"]["score"])
        (folder / "new.png").unlink()
        for number in ("1", "2", "999999999999999999999"):
            gone = client.get(f"/v1/watched/{number}")
            assert gone.status_code == 404
            assert gone.json() == {"detail": f"{number}: no such image, or it is gone"}
        for number in ("0", "-1", "old.png", "..%2fold.png"):
            assert client.get(f"/v1/watched/{number}").status_code in (404, 422)
        assert client.get("/v1/watched", params={"after": -1}).status_code == 422
        assert str(folder) not in client.get("/v1/watched").text
