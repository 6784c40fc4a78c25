"""Streams of real servers on loopback: they go away and come back; no picture waits, no password is shown."""

import socket
import subprocess
import sys
import threading
from contextlib import closing
from io import BytesIO
from typing import ClassVar

import httpx
import pytest
from PIL import Image

from ssim_ae.errors import InputError
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.limits import Limits
from ssim_ae.sources import camera_source
from ssim_ae.sources.cameras import pictures_of
from ssim_ae.sources.extension import sources_of
from ssim_ae.sources.settings import source_settings

from ..server.conftest import running_server
from .conftest import RATE, free_port, metric, running_rtsp_server, wait_until

CREDENTIALS = "admin:s3cr3t"


@pytest.fixture(autouse=True)
def short_delays(monkeypatch):
    monkeypatch.setattr(camera_source, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(camera_source, "LONGEST_DELAY", 0.2)


def state(client, name="press1"):
    return client.get(f"/v1/sources/{name}").json()["state"]


def results(client, name="press1"):
    return client.get(f"/v1/sources/{name}").json()["results"]


def test_a_stream_that_goes_away_is_found_again(serve_sources, mjpeg_server, capsys):
    with serve_sources(f"press1={mjpeg_server.url()}", triggers=["press1=every:40ms"]) as client:
        for round_ in (1, 2):
            wait_until(lambda: state(client) == "connected")
            before = results(client)
            wait_until(lambda before=before: results(client) > before)
            assert metric(client, "connected") == 1 and metric(client, "disconnections_total") == round_ - 1
            mjpeg_server.stop()
            wait_until(lambda: state(client) == "away")
            assert metric(client, "connected") == 0 and metric(client, "disconnections_total") == round_
            answer = client.post("/v1/sources/press1/trigger")
            assert answer.status_code == 503
            assert answer.json() == {"detail": "press1: away; try again when it is connected"}
            mjpeg_server.start()
    notes = [line.removeprefix("note: press1: ") for line in capsys.readouterr().err.splitlines()]
    assert len(notes) in (3, 4), "each of them is said once"
    assert all(note.startswith("away: ") for note in notes[::2]) and set(notes[1::2]) == {"connected again"}


def test_a_busy_inspector_gets_the_newest_picture(blocking_detector, mjpeg_server):
    extension = sources_of(source_settings([f"press1={mjpeg_server.url()}"], ["press1=every:10ms"]))
    with (
        Inspector({"twill": blocking_detector}) as inspector,
        extension.run(inspector),
        running_server(inspector, extensions=[extension]) as client,
    ):
        answers = []
        waits = [
            threading.Thread(target=lambda: answers.append(client.post("/v1/sources/press1/trigger"))) for _ in range(3)
        ]
        wait_until(lambda: metric(client, "pictures_total") > 1)
        for thread in waits:
            thread.start()
        wait_until(lambda: metric(client, "pictures_total") >= 20)
        assert metric(client, "dropped_total") >= 10 and results(client) == 0
        blocking_detector.gate.set()
        for thread in waits:
            thread.join()
        pictures = metric(client, "pictures_total")
        wait_until(lambda: metric(client, "pictures_total") > pictures + 5)
        assert metric(client, "pictures_total") >= results(client) + metric(client, "dropped_total")
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["name"] for answer in answers}) == 1, "the newest picture answers all that waited"


def test_a_request_inspects_the_next_picture(serve_sources, mjpeg_server, parts, loaded):
    with serve_sources(f"press1={mjpeg_server.url()}", triggers=["press1=request"]) as client:
        wait_until(lambda: state(client) == "connected")
        answer = client.post("/v1/sources/press1/trigger").json()
        assert answer["name"].startswith("press1-") and answer["verdict"] in ("ok", "nok") and answer["pictures"] == {}
        expected = [loaded.inspect(Image.open(BytesIO(data))).score for data in mjpeg_server.jpegs]
        assert any(abs(answer["score"] - score) < 0.05 * score for score in expected)
        described = client.get("/v1/sources/press1").json()
        assert (described["results"], described["result"]["score"]) == (1, answer["score"])
        assert client.post("/v1/sources/none/trigger").status_code == 404


def test_a_file_is_read_at_its_own_speed(video):
    class Stopped(threading.Event):
        waits: ClassVar[list[float]] = []

        def wait(self, timeout=None):
            self.waits.append(timeout)
            return False

    (source,) = source_settings([f"press1={video}"], [])
    times = [picture.time for picture in pictures_of(source, Stopped())]
    assert times == pytest.approx([index / RATE for index in range(RATE)])
    assert 0 < max(Stopped.waits) <= times[-1] and Stopped.waits[0] == 0


def test_live_pictures_are_sent_one_by_one(serve_sources, mjpeg_server):
    with serve_sources(f"press1={mjpeg_server.url()}", triggers=["press1=request"]) as client:
        wait_until(lambda: state(client) == "connected")
        number = 0
        for _ in range(5):
            response = client.get("/v1/sources/press1/picture", params={"after": number})
            assert response.headers["content-type"] == "image/jpeg" and response.content.startswith(b"\xff\xd8")
            assert int(response.headers["x-picture"]) > number
            assert (response.headers["x-state"], response.headers["x-result"]) == ("connected", "0")
            number = int(response.headers["x-picture"])
        mjpeg_server.stop()
        wait_until(lambda: state(client) == "away")
        last = client.get("/v1/sources/press1").json()["pictures"]
        assert client.get("/v1/sources/press1/picture", params={"after": last}).status_code == 204


def test_the_token_protects_the_sources(serve_sources, mjpeg_server):
    with serve_sources(f"press1={mjpeg_server.url()}", token="secret") as client:
        assert "press1" not in client.get("/live").text
        for method, path in (("GET", ""), ("GET", "/press1"), ("GET", "/press1/picture"), ("POST", "/press1/trigger")):
            assert client.request(method, f"/v1/sources{path}").status_code == 401


@pytest.mark.parametrize("path", ["elsewhere", "list.m3u8", "text"])
def test_no_other_place_is_requested(serve_sources, mjpeg_server, path, capsys):
    with serve_sources(f"press1={mjpeg_server.url(path, f'{CREDENTIALS}@')}") as client:
        wait_until(lambda: state(client) == "away")
        wait_until(lambda: mjpeg_server.paths.count(f"/{path}") > 1)
        shown = client.get("/v1/sources").text + client.get("/live").text + client.get("/metrics").text
    assert set(mjpeg_server.paths) == {f"/{path}"}
    out, err = capsys.readouterr()
    assert "s3cr3t" not in shown + out + err and err.count("\n") == 1


def test_a_file_that_names_others_is_not_followed(serve_sources, mjpeg_server, tmp_path):
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(mjpeg_server.playlist())
    with (
        pytest.raises(InputError, match=r"^--source press1: not a video of a supported format; give a video file$"),
        serve_sources(f"press1={playlist}"),
    ):
        pass
    assert mjpeg_server.paths == []


def test_pictures_that_are_too_large_are_not_decoded_further(loaded, mjpeg_server, capsys):
    extension = sources_of(source_settings([f"press1={mjpeg_server.url()}"], []))
    with (
        Inspector({"twill": loaded}, limits=Limits(max_pixels=4000)) as inspector,
        extension.run(inspector),
        running_server(inspector, extensions=[extension]) as client,
    ):
        wait_until(lambda: state(client) == "away")
        assert metric(client, "pictures_total") == 0
    reason = "its pictures of 64 x 64 px are larger than 0.004 megapixels; raise --max_megapixels"
    assert capsys.readouterr().err == f"note: press1: away: {reason}; tried again until it answers\n"


def test_a_camera_that_is_not_plugged_in_is_away(serve_sources, capsys):
    with serve_sources("press1=usb:99") as client:
        wait_until(lambda: state(client) == "away")
        assert client.get("/v1/sources/press1/picture").status_code == 204
    assert capsys.readouterr().err.startswith("note: press1: away: No such file or directory; tried again until")


def test_an_rtsp_camera_with_a_password(serve_sources, parts, tmp_path, capsys):
    for index in range(10):
        Image.fromarray(parts[index % len(parts)]).resize((128, 128)).save(tmp_path / f"{index:02}.png")
    port = free_port()
    url = f"127.0.0.1:{port}/parts"
    sources = (f"press1=rtsp://{CREDENTIALS}@{url}", f"wrong=rtsp://admin:s3cr3t-but-wrong@{url}")
    with serve_sources(*sources, triggers=["press1=every:100ms"]) as client:
        for _ in range(2):
            with running_rtsp_server(port, tmp_path, *CREDENTIALS.split(":")):
                before = results(client)
                wait_until(lambda before=before: results(client) > before + 2)
                assert client.get("/v1/sources/press1").json()["result"]["width"] == 128
                wait_until(lambda: state(client, "wrong") == "away")
            wait_until(lambda: state(client) == "away")
        assert results(client, "wrong") == 0
    out, err = capsys.readouterr()
    assert "press1: connected again" in err and "s3cr3t" not in out + err


PROGRAM = """
import sys
from ssim_ae.cli import main
from ssim_ae.sources import cameras

cameras.TIMEOUT = 60  # seconds: a thread that reads is still waiting when the signal comes
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_stops_a_server_whose_sources_hang(tiny_run, mjpeg_server):
    """One source streams, another one accepts the connection and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        sources = ("--source", f"press1={mjpeg_server.url()}", "--source", f"hangs={hanging}")
        command = [sys.executable, "-c", PROGRAM, "serve", str(tiny_run.folder), "--port", "0", *sources]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            url = process.stdout.readline().split()[-1]
            with httpx.Client(base_url=url, trust_env=False) as client:
                wait_until(lambda: state(client) == "connected")
                process.terminate()
                out, err = process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
    assert (process.returncode, out) == (0, "stopped\n") and "Traceback" not in err
