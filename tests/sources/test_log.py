"""What a source inspects is in the log as a posted image is, under the name of the source."""

import os
import shutil
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sqlalchemy")

from ssim_ae.checked_files import file_hash
from ssim_ae.errors import InputError
from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.kept_images import KeepRule
from ssim_ae.line.queries import all_entries
from ssim_ae.line.server_recorder import ServerRecorder

from .conftest import metric, wait_until, write_video


@pytest.fixture
def log(tmp_path):
    with InspectionLog.open(str(tmp_path / "log"), station="line-1", rule=KeepRule("all")) as log:
        yield log


def entries(log):
    return sorted(all_entries(log, Filters()), key=lambda entry: entry.id)


def test_a_video_is_inspected_at_intervals_and_logged(serve_sources, video, log, loaded):
    recorder = ServerRecorder(log, {"twill": 3})
    with serve_sources(f"press1={video}", triggers=["press1=every:200ms"], recorder=recorder) as client:
        wait_until(lambda: client.get("/v1/sources/press1").json()["state"] == "ended")
        wait_until(lambda: metric(client, "dropped_total") + client.get("/v1/sources/press1").json()["results"] == 5)
        described = client.get("/v1/sources").json()
        assert [metric(client, name) for name in ("pictures_total", "failed_total")] == [25, 0]
    logged = entries(log)
    assert 1 <= len(logged) <= 5
    assert {(entry.station, entry.source, entry.detector, entry.version) for entry in logged} == {
        ("press1", "camera", "twill", 3)
    }
    assert all(entry.name.startswith("press1-") and entry.milliseconds > 0 for entry in logged)
    for entry in logged:
        data = log.image_path(entry.id).read_bytes()
        assert file_hash(data) == entry.image_hash
        assert loaded.inspect(log.image_path(entry.id)).score == entry.score, "the image that is kept was inspected"
    (source,) = described
    assert (source["name"], source["trigger"], source["pictures"]) == ("press1", "every:200ms", 25)
    assert source["result"]["score"] == logged[-1].score and source["result"]["name"] == logged[-1].name


def test_pictures_that_cannot_be_logged_are_counted_and_said_once(
    serve_sources, mjpeg_server, log, monkeypatch, capsys
):
    recorder = ServerRecorder(log, {"twill": 3})
    with serve_sources(f"press1={mjpeg_server.url()}", triggers=["press1=every:40ms"], recorder=recorder) as client:
        with monkeypatch.context() as patched:
            patched.setattr(log, "_insert", lambda *_: (_ for _ in ()).throw(InputError("disk is full")))
            wait_until(lambda: metric(client, "failed_total") >= 3)
            answer = client.post("/v1/sources/press1/trigger")
            assert (answer.status_code, answer.json()["detail"]) == (503, "log: cannot be written: disk is full")
            assert client.get("/v1/sources/press1").json()["result"]["error"] == "log: cannot be written: disk is full"
            assert capsys.readouterr().err.count("log: cannot be written: disk is full") == 1
        wait_until(lambda: entries(log))


def test_each_part_that_rests_on_a_belt_is_inspected_once(serve_sources, parts, log, tmp_path):
    def belt(part=None, left=0):
        pixels = np.full((96, 192, 3), 70, np.uint8)
        if part is not None:
            pixels[16:80, left : left + 64] = part[:, : 192 - left]
        return pixels

    images = [belt()] * 15
    for part in parts[:2]:
        images += [belt(part, left) for left in range(0, 64, 8)] + [belt(part, 64)] * 15
        images += [belt(part, left) for left in range(64, 192, 16)] + [belt()] * 12
    video = write_video(tmp_path / "belt.mp4", images)
    recorder = ServerRecorder(log, {"twill": 3})
    with serve_sources(f"press1={video}", triggers=["press1=still"], recorder=recorder) as client:
        wait_until(lambda: client.get("/v1/sources/press1").json()["state"] == "ended")
        wait_until(lambda: client.get("/v1/sources/press1").json()["results"] == 2)
    for entry, part in zip(entries(log), parts[:2], strict=True):
        inspected = np.asarray(Image.open(log.image_path(entry.id))).astype(int)
        assert np.abs(inspected - belt(part, 64)).mean() < 10, "the part is where it rests"


def running(*arguments):
    command = [sys.executable, "-m", "ssim_ae", "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("serving "), process.stderr.read()
    return process, line.split()[-1]


def test_what_was_answered_survives_a_kill(tiny_run, mjpeg_server, tmp_path):
    place = tmp_path / "log"
    source = ("--source", f"press1={mjpeg_server.url()}", "--trigger", "press1=request")
    process, url = running(tiny_run.folder, "--log", place, *source)
    answered = []
    try:
        with httpx.Client(base_url=url, trust_env=False) as client:
            wait_until(lambda: client.get("/v1/sources/press1").json()["state"] == "connected")
            answered += [client.post("/v1/sources/press1/trigger").json()["name"] for _ in range(5)]
            process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    with InspectionLog.open(str(place)) as log:
        assert [entry.name for entry in entries(log)] == answered


def test_folders_are_sources_with_stations_of_their_own(tiny_run, images, tmp_path):
    """Each is inspected exactly once across restarts, also the folder without a name."""
    place = tmp_path / "log"
    folders = [tmp_path / name for name in ("press1", "press2", "plain")]
    for folder in folders:
        folder.mkdir()
    options = [f"--source={folder.name}={folder}" for folder in folders[:2]] + [f"--watch={folders[2]}"]
    for start in range(2):
        process, url = running(tiny_run.folder, "--log", place, "--station", "line-1", *options)
        try:
            for number, folder in enumerate(folders):
                shutil.copy(images[number], folder / f"{folder.name}-{start}.png")
                os.utime(folder / f"{folder.name}-{start}.png", ns=(start, time.time_ns()))
            with httpx.Client(base_url=url, trust_env=False) as client:
                wait_until(lambda client=client: len(client.get("/v1/watched").json()) == 3)
                number = client.get("/v1/watched").json()[-1]["number"]
                assert client.get(f"/v1/watched/{number}").status_code == 200
                assert client.get("/v1/sources").status_code == 404, "there is no camera"
            process.terminate()
            assert process.communicate(timeout=20) == ("stopped\n", "")
        finally:
            process.kill()
            process.communicate()
    with InspectionLog.open(str(place)) as log:
        found = sorted((entry.station, entry.name, entry.source) for entry in entries(log))
    stations = ("line-1", "press1", "press2")
    names = ("plain", "press1", "press2")
    assert found == [
        (station, f"{name}-{start}.png", "folder")
        for station, name in zip(stations, names, strict=True)
        for start in range(2)
    ]
