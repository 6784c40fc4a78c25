import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager

import httpx
import pytest

from ssim_ae import InputError
from ssim_ae.cli import main
from ssim_ae.server.client import Client
from ssim_ae.server.serve import bound, named


@contextmanager
def running(*arguments, **environment):
    """A server in a process of its own, and its URL."""
    command = [sys.executable, "-m", "ssim_ae", "serve", *map(str, arguments), "--port", "0", "--device_target", "CPU"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("serving "), process.stderr.read()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


def stopped(process):
    output, errors = process.communicate(timeout=20)
    return process.returncode, output, errors


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_server_runs_until_it_is_told_to_stop(tiny_run, detector, image, images, how):
    with running(f"fabric={tiny_run.folder}", tiny_run.detector_path) as (process, url):
        client = Client(url)
        assert [info.name for info in client.detectors()] == ["fabric", tiny_run.folder.name]
        assert client.inspect(images[0]).score == detector.inspect(images[0]).score
        process.send_signal(how)
        assert stopped(process) == (0, "stopped\n", "")


def test_it_can_be_stopped_while_it_starts(capsys, tiny_run, monkeypatch):
    def load(*_arguments, **_how):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssim_ae.server.serve.Detector.load", load)
    assert main(["serve", str(tiny_run.folder), "--port", "0"]) == 0
    assert capsys.readouterr() == ("stopped\n", "")


def test_what_is_running_is_finished_before_it_stops(tiny_run, images):
    data = images[0].read_bytes()
    form = [("images", ("image.png", data))] * 64
    with (
        running(tiny_run.folder, "--threads", 1) as (process, url),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(client.post("/v1/inspect/batch", files=form, params={"pictures": "heatmap"}))
        )
        thread.start()
        while "places_taken 1.0" not in httpx.get(f"{url}/metrics", trust_env=False).text:
            assert not answers
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with pytest.raises(InputError, match="Connection refused"):
            Client(url).detectors()
        thread.join()
        assert answers[0].status_code == 200 and len(answers[0].json()) == 64
        assert stopped(process) == (0, "stopped\n", "")


def test_who_asks_for_nothing_does_not_keep_it_from_stopping(tiny_run):
    with running(tiny_run.folder, "--timeout", 1) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        begun = b"POST /v1/inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n"
        with closing(socket.create_connection((host, int(port)))) as body:
            body.sendall(begun)
            with closing(socket.create_connection((host, int(port)))) as head:
                head.sendall(begun[:20])
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                assert stopped(process) == (0, "stopped\n", "")


def test_what_it_says_to_bad_requests_is_nothing(tiny_run):
    with running(tiny_run.folder) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        for said in (
            b"\x16\x03\x01\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET http://\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            with closing(socket.create_connection((host, int(port)))) as connection:
                connection.sendall(said)
                assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
        process.send_signal(signal.SIGTERM)
        assert stopped(process) == (0, "stopped\n", "")


def test_the_settings_arrive(tiny_run, image, tmp_path):
    options = ("--watch", tmp_path, "--max_mb", 1, "--max_megapixels", 1)
    with running(tiny_run.folder, *options, SSIM_AE_TOKEN="secret") as (_, url):
        assert httpx.get(f"{url}/healthz", trust_env=False, headers={"Host": "evil.example"}).status_code == 400
        with pytest.raises(InputError, match="a token is needed"):
            Client(url).inspect(image)
        client = Client(url, token="secret")
        assert client.inspect(image).detector == tiny_run.folder.name
        with pytest.raises(InputError, match="the body is larger than 1 MiB"):
            client.inspect(bytes(2**20))
        headers = {"Authorization": "Bearer secret"}
        assert httpx.get(f"{url}/v1/watched", headers=headers, trust_env=False).json() == []


def test_everybody_may_ask_is_said(tiny_run, image):
    with running(tiny_run.folder, "--host", "0.0.0.0") as (process, url):
        port = url.rpartition(":")[2]
        assert Client(f"http://127.0.0.1:{port}").inspect(image).detector == tiny_run.folder.name
        process.send_signal(signal.SIGTERM)
        status, _, errors = stopped(process)
        assert status == 0 and errors.startswith("note: anyone on this network can use the server")


def test_names(tiny_run, tmp_path, monkeypatch):
    folder = tiny_run.folder
    monkeypatch.chdir(folder)
    exported = tmp_path / "bottle.onnx"
    assert named([str(folder)]) == {folder.name: folder}
    assert named([f"{folder}/"]) == named(["."]) | {folder.name: folder}
    assert list(named([".", "detector.onnx"][1:])) == [folder.name]
    assert named([str(folder / "detector.safetensors")]) == {folder.name: folder / "detector.safetensors"}
    assert named([str(exported), f"a-1={exported}"]) == {"bottle": exported, "a-1": exported}
    with pytest.raises(InputError, match="two detectors are called 'bottle'"):
        named([str(exported), "bottle=x.onnx"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: no such file"),
        ([], "required: DETECTOR"),
        (["RUN", "RUN"], "two detectors are called "),
        (["RUN", "--port", "70000"], "port: should be from 0 to 65535, not 70000"),
        (["RUN", "--port", "http"], "--port"),
        (["RUN", "--host", "no.such.host.invalid"], "no.such.host.invalid:8000: "),
        (["RUN", "--watch", "none"], "none: no such folder"),
        (["RUN", "--queue", "-1"], "--queue should be at least 0"),
        (["RUN", "--max-mb", "0"], "--max_mb"),
        (["RUN", "--timeout", "nan"], "--timeout"),
        (["RUN", "--threads", "0"], "threads: should be at least 1"),
        (["RUN", "--token", "café"], "token: should be"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(capsys, tiny_run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status = main(["serve", *(str(tiny_run.folder) if given == "RUN" else given for given in arguments)])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("ssim-ae: ") and message in err and err.count("\n") == 1


def test_a_port_that_is_in_use(capsys, tiny_run):
    with closing(bound("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert main(["serve", str(tiny_run.folder), "--port", str(port)]) == 2
    assert capsys.readouterr().err == f"ssim-ae: 127.0.0.1:{port}: already in use\n"


def test_ipv6_where_there_is_any(tiny_run, image):
    try:
        bound("::1", 0).close()
    except InputError:
        pytest.skip("no IPv6 here")
    with running(tiny_run.folder, "--host", "::1") as (_, url):
        assert url.startswith("http://[::1]:") and Client(url).inspect(image).verdict in ("ok", "nok")


def test_what_it_needs_is_named(capsys, tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("ssim_ae.server.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["serve", str(tiny_run.folder)]) == 2
    assert capsys.readouterr().err == "ssim-ae: needs fastapi: pip install 'ssim-ae[serve]'\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_crowd_does_not_take_the_last_file(tiny_run):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))"
    program = f"{limited}; from ssim_ae.cli import main; main({['serve', str(tiny_run.folder), '--port', '0']})"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        host, port = process.stdout.readline().split("/")[-1].split(":")
        with ExitStack() as opened:
            for _ in range(400):
                opened.enter_context(closing(socket.create_connection((host, int(port)))))
            assert httpx.get(f"http://{host}:{port.strip()}/healthz", timeout=10, trust_env=False).status_code == 200
        process.terminate()
        assert stopped(process) == (0, "stopped\n", "")
    finally:
        process.kill()
        process.communicate()
