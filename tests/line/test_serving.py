"""A server with a log: each image that is answered is in it once, also those of a watched folder."""

import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from ssim_ae import Detector
from ssim_ae.checked_files import file_hash
from ssim_ae.cli import main
from ssim_ae.errors import InputError
from ssim_ae.images.files import read_image
from ssim_ae.line.entries import Filters
from ssim_ae.line.history import history_of
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries
from ssim_ae.line.schema import inspections
from ssim_ae.line.server_recorder import ServerRecorder
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector

from ..server.conftest import running_server
from .conftest import KEEP_ALL, record

NEVER = 3600  # seconds between two scans: the tests call scan() themselves


@pytest.fixture(scope="module")
def loaded(tiny_run):
    return Detector.load(tiny_run.folder, device_target="CPU")


@pytest.fixture
def inspector(loaded, log):
    with Inspector({"twill": loaded}, recorder=ServerRecorder(log, {"twill": 3})) as inspector:
        yield inspector


@pytest.fixture
def client(inspector, log):
    with running_server(inspector, extensions=[history_of(log)]) as client:
        yield client


@pytest.fixture(scope="session")
def images(fabric_folder):
    return sorted((fabric_folder / "test").rglob("*.png"))


def post(client, path, **params):
    return client.post("/v1/inspect", params=params, files={"image": (path.name, path.read_bytes())})


def test_each_answer_is_in_the_log(client, log, images, loaded):
    answer = post(client, images[0]).json()
    assert client.post("/v1/inspect", content=b"no image", headers={"Content-Type": "image/png"}).status_code == 400
    failed, found = client.get("/v1/log").json()["entries"]
    assert (failed["verdict"], failed["error"]) == ("error", "image: not an image, or corrupt")
    for key in ("name", "verdict", "score", "threshold", "width", "height", "defects", "detector"):
        assert found[key] == answer[key]
    assert (found["fingerprint"], found["version"], found["source"]) == (loaded.fingerprint, 3, "http")
    assert found["image_hash"] == file_hash(images[0].read_bytes()) and found["milliseconds"] > 0
    image = client.get(f"/v1/log/{found['id']}/image", params={"side": 16})
    assert image.headers["content-type"] == "image/png" and image.content.startswith(b"\x89PNG")
    assert client.get(f"/v1/log/{failed['id']}/image").status_code == 404, "no picture can be made of it"


def test_an_image_that_is_sent_again_for_a_picture_is_not_logged_twice(client, log, images):
    post(client, images[0])
    assert "image" in post(client, images[0], log=False, pictures="image").json()["pictures"]
    assert len(list(all_entries(log, Filters()))) == 1


def test_nothing_is_answered_that_cannot_be_logged(client, log, images, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(log, "_insert", lambda *_: (_ for _ in ()).throw(InputError("disk is full")))
        answer = post(client, images[0])
        assert (answer.status_code, answer.json()) == (503, {"detail": "log: cannot be written: disk is full"})
        batch = client.post("/v1/inspect/batch", files=[("images", (images[0].name, images[0].read_bytes()))])
        assert batch.json()[0]["error"] == "log: cannot be written: disk is full"
    assert post(client, images[0]).status_code == 200 and len(list(all_entries(log, Filters()))) == 1


def test_the_token_protects_the_log(inspector, log):
    record(log, data=b"image")
    with running_server(inspector, token="secret", extensions=[history_of(log)]) as client:
        for path in ("/v1/log", "/v1/log/hours", "/v1/log/detectors", "/v1/log/1/image"):
            assert client.get(path).status_code == 401
        assert client.get("/history").status_code == 200 and "secret" not in client.get("/history").text
        assert client.get("/v1/log", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_without_a_log_there_is_no_history(loaded):
    with Inspector({"twill": loaded}) as inspector, running_server(inspector) as client:
        assert client.get("/v1/log").status_code == client.get("/history").status_code == 404
        assert "/v1/log" not in client.get("/openapi.json").json()["paths"]
        assert "/history" not in client.get("/").text


# The watched folder


def put(source, target):
    shutil.copy(source, target)
    time.sleep(0.01)


def watched_names(log):
    return sorted(entry.name for entry in all_entries(log, Filters()))


def start_and_scan(folder, inspector, scans=2):
    with FolderWatcher(folder, inspector, interval=NEVER) as watcher:
        for _ in range(scans):
            watcher.scan()


def test_a_watched_folder_is_inspected_once_across_restarts(inspector, log, images, tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    put(images[0], folder / "old.png")
    start_and_scan(folder, inspector)
    assert watched_names(log) == [], "it was there before the folder was first watched"
    put(images[1], folder / os.fsdecode(b"caf\xe9.png"))
    put(images[1], folder / "corrupt.png")
    (folder / "corrupt.png").write_bytes(b"no image")
    for _ in range(2):
        start_and_scan(folder, inspector)
        assert watched_names(log) == ["caf\ufffd.png", "corrupt.png"]
    put(images[2], folder / "old.png")
    put(images[0], folder / "corrupt.png")
    for _ in range(2):
        start_and_scan(folder, inspector)
        assert watched_names(log) == ["caf\ufffd.png", "corrupt.png", "corrupt.png", "old.png"]


def test_an_empty_folder_is_known_too(inspector, log, images, tmp_path):
    start_and_scan(tmp_path, inspector)
    put(images[0], tmp_path / "new.png")
    start_and_scan(tmp_path, inspector)
    assert watched_names(log) == ["new.png"]


def test_a_file_whose_result_cannot_be_logged_is_inspected_again(inspector, log, images, tmp_path, monkeypatch, capsys):
    with FolderWatcher(tmp_path, inspector, interval=NEVER) as watcher:
        put(images[0], tmp_path / "new.png")
        with monkeypatch.context() as patched:
            patched.setattr(log, "_insert", lambda *_: (_ for _ in ()).throw(InputError("disk is full")))
            for _ in range(4):
                watcher.scan()
        assert watcher.results.after(0) == [] and watched_names(log) == []
        assert capsys.readouterr().err.count("log: cannot be written: disk is full") == 1
        watcher.scan()
        assert watched_names(log) == ["new.png"] and len(watcher.results.after(0)) == 1


def test_an_image_that_the_page_shows_again_is_not_logged_twice(inspector, log, images, tmp_path):
    with FolderWatcher(tmp_path, inspector, interval=NEVER) as watcher:
        put(images[0], tmp_path / "new.png")
        watcher.scan()
        watcher.scan()
        with running_server(inspector, watched=watcher.results) as client:
            (image,) = client.get("/v1/watched").json()
            assert client.get(f"/v1/watched/{image['number']}").status_code == 200
    assert watched_names(log) == ["new.png"]


# Predict


def test_predict_writes_to_a_log(tiny_run, images, place, tmp_path, capsys):
    corrupt = tmp_path / "corrupt.png"
    corrupt.write_bytes(b"no image")
    paths = [str(images[0]), str(corrupt)]
    assert main(["predict", str(tiny_run.folder), *paths, "--log", place, "--station", "desk", "--keep", "all"]) == 2
    shown = capsys.readouterr().out.split()
    with InspectionLog.open(place, rule=KEEP_ALL) as log:
        good, failed = sorted(all_entries(log, Filters()), key=lambda entry: entry.verdict == "error")
        assert (good.verdict, f"{good.score:.4f}", good.name) == (shown[0], shown[1], images[0].name)
        assert (good.detector, good.version, good.station, good.source) == (tiny_run.folder.name, 1, "desk", "predict")
        assert log.image_path(good.id).read_bytes() == images[0].read_bytes() and (good.width, good.height) == (64, 64)
        assert failed.error == f"{corrupt}: not an image, or corrupt" and failed.image_hash == file_hash(b"no image")


def test_predict_logs_how_images_look(run, cloth_folder, place, tmp_path, capsys):
    (tmp_path / "corrupt.png").write_bytes(b"no image")
    good = sorted((cloth_folder / "test" / "good").glob("*.png"))
    main(["predict", str(run), *map(str, good), str(tmp_path / "corrupt.png"), "--log", place, "--keep", "none"])
    with InspectionLog.open(place) as log, log.database.read() as connection:
        rows = connection.execute(select(inspections).order_by(inspections.c.name)).all()
    detector = Detector.load(run)
    look = detector.usual.look(read_image(good[0], grayscale=detector.config.grayscale))
    assert [row.brightness is None for row in rows] == [False] * len(good) + [True]
    assert [getattr(rows[0], name) for name in look._fields] == pytest.approx(list(look))


def test_predict_reads_each_file_once(tiny_run, images, place, tmp_path, capsys, monkeypatch):
    command = ["predict", str(tiny_run.folder), *map(str, images), str(tmp_path / "missing.png")]
    assert main(command) == 2
    without_log = capsys.readouterr()
    opened = Counter()
    real_open = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *rest, **named: opened.update([path]) or real_open(path, *rest, **named)
    )
    assert main([*command, "--log", place]) == 2
    assert capsys.readouterr() == without_log
    assert [opened[path] for path in images] == [1] * len(images)
    with InspectionLog.open(place) as log:
        failed, *inspected = all_entries(log, Filters())
        assert failed.verdict == "error" and failed.image_hash == ""
        assert {entry.image_hash for entry in inspected} == {file_hash(path.read_bytes()) for path in images}


FAULTS = {
    "alone": (["--keep", "all"], "--keep: no effect without --log; add --log PLACE"),
    "size": (["--log", "LOG", "--keep_gb", "-1"], "--keep_gb: should be a finite number of at least 0, not -1"),
    "days": (["--log", "LOG", "--keep_days", "nan"], "--keep_days: should be a finite number of at least 0, not nan"),
    "images": (
        ["--log", "postgresql://h/d"],
        "--log: a database keeps no images; name a folder with --log_images, or give --keep none",
    ),
    "file": (["--log", "FILE"], "FILE: a file; name a folder for the log"),
}


@pytest.mark.parametrize("command", ["predict", "serve"])
@pytest.mark.parametrize(("options", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(tiny_run, images, tmp_path, monkeypatch, capsys, command, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("of others")
    inputs = [str(images[0])] if command == "predict" else []
    assert main([command, str(tiny_run.folder), *inputs, *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"ssim-ae: {message}"
