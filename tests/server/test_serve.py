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
from ssim_ae.server.serve import detectors_by_name, listening_socket


@contextmanager
def running(*arguments, **environment):
    """Run a server in a new process, and yield the process and the URL."""
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


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_server_runs_until_a_signal_stops_it(tiny_run, detector, images, stop_signal):
    with running(f"fabric={tiny_run.folder}", tiny_run.detector_path) as (process, url):
        client = Client(url)
        assert [info.name for info in client.detectors()] == ["fabric", tiny_run.folder.name]
        assert client.inspect(images[0]).score == detector.inspect(images[0]).score
        process.send_signal(stop_signal)
        assert stopped(process) == (0, "stopped\n", "")


def test_it_can_be_stopped_while_it_starts(capsys, tiny_run, monkeypatch):
    def load(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssim_ae.server.serve.Detector.load", load)
    assert main(["serve", str(tiny_run.folder), "--port", "0"]) == 0
    assert capsys.readouterr() == ("stopped\n", "")


def test_running_requests_are_finished_before_it_stops(tiny_run, images):
    data = images[0].read_bytes()
    form = [("images", ("image.png", data))] * 64
    with (
        running(tiny_run.folder, "--threads", 1) as (process, url),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        responses = []
        thread = threading.Thread(
            target=lambda: responses.append(
                client.post("/v1/inspect/batch", files=form, params={"pictures": "heatmap"})
            )
        )
        thread.start()
        while "queue_slots_used 1.0" not in httpx.get(f"{url}/metrics", trust_env=False).text:
            assert not responses
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with pytest.raises(InputError, match="Connection refused"):
            Client(url).detectors()
        thread.join()
        assert responses[0].status_code == 200 and len(responses[0].json()) == 64
        assert stopped(process) == (0, "stopped\n", "")


def test_incomplete_requests_do_not_keep_it_from_stopping(tiny_run):
    with running(tiny_run.folder, "--timeout", 1) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        request = (
            b"POST /v1/inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n"
        )
        with closing(socket.create_connection((host, int(port)))) as body:
            body.sendall(request)
            with closing(socket.create_connection((host, int(port)))) as head:
                head.sendall(request[:20])
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                assert stopped(process) == (0, "stopped\n", "")


def test_invalid_requests_print_nothing(tiny_run):
    with running(tiny_run.folder) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        for request in (
            b"\x16\x03\x01\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET http://\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            with closing(socket.create_connection((host, int(port)))) as connection:
                connection.sendall(request)
                assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
        process.send_signal(signal.SIGTERM)
        assert stopped(process) == (0, "stopped\n", "")


def test_the_options_are_applied(tiny_run, image, tmp_path):
    options = ("--watch", tmp_path, "--max_mb", 1, "--max_megapixels", 1)
    with running(tiny_run.folder, *options, SSIM_AE_TOKEN="secret") as (_, url):
        assert httpx.get(f"{url}/healthz", trust_env=False, headers={"Host": "evil.example"}).status_code == 400
        with pytest.raises(InputError, match="token: missing or wrong"):
            Client(url).inspect(image)
        client = Client(url, token="secret")
        assert client.inspect(image).detector == tiny_run.folder.name
        with pytest.raises(InputError, match="body: larger than 1 MiB"):
            client.inspect(bytes(2**20))
        headers = {"Authorization": "Bearer secret"}
        assert httpx.get(f"{url}/v1/watched", headers=headers, trust_env=False).json() == []


def test_a_public_server_without_a_token_prints_a_note(tiny_run, image):
    with running(tiny_run.folder, "--host", "0.0.0.0") as (process, url):
        port = url.rpartition(":")[2]
        assert Client(f"http://127.0.0.1:{port}").inspect(image).detector == tiny_run.folder.name
        process.send_signal(signal.SIGTERM)
        status, _, errors = stopped(process)
        assert status == 0 and errors.startswith("note: 0.0.0.0: anyone on this network can use the server")


def test_detectors_by_name(tiny_run, tmp_path, monkeypatch):
    folder = tiny_run.folder
    monkeypatch.chdir(folder)
    exported = tmp_path / "bottle.onnx"
    assert detectors_by_name([str(folder)]) == {folder.name: folder}
    assert detectors_by_name([f"{folder}/"]) == detectors_by_name(["."]) | {folder.name: folder}
    assert list(detectors_by_name([".", "detector.onnx"][1:])) == [folder.name]
    assert detectors_by_name([str(folder / "detector.safetensors")]) == {folder.name: folder / "detector.safetensors"}
    assert detectors_by_name([str(exported), f"a-1={exported}"]) == {"bottle": exported, "a-1": exported}
    with pytest.raises(InputError, match=r"^bottle: two detectors have this name; rename one with NAME=x\.onnx$"):
        detectors_by_name([str(exported), "bottle=x.onnx"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: no such file"),
        ([], "required: DETECTOR"),
        (["RUN", "RUN"], ": two detectors have this name; rename one with NAME="),
        (["RUN", "--port", "70000"], "port: should be from 0 to 65535, not 70000"),
        (["RUN", "--port", "http"], "--port"),
        (["RUN", "--host", "no.such.host.invalid"], "no.such.host.invalid:8000: "),
        (["RUN", "--watch", "none"], "none: no such folder"),
        (["RUN", "--queue", "-1"], "--queue: should be at least 0, not -1"),
        (["RUN", "--max-mb", "0"], "--max_mb: should be at least 1, not 0"),
        (["RUN", "--timeout", "nan"], "--timeout: should be a finite number above 0, not nan"),
        (["RUN", "--threads", "0"], "threads: should be at least 1"),
        (["RUN", "--token", "café"], "token: should consist of"),
        (["RUN", "--token", "secret", "--tokens", "x"], "--tokens: contradicts the single token of --token"),
        (["RUN", "--tokens", "none"], "none: "),
    ],
)
def test_an_invalid_argument_is_one_line_and_exit_2(capsys, tiny_run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status = main(["serve", *(str(tiny_run.folder) if argument == "RUN" else argument for argument in arguments)])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("ssim-ae: ") and message in err and err.count("\n") == 1


def test_a_port_that_is_in_use(capsys, tiny_run):
    with closing(listening_socket("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert main(["serve", str(tiny_run.folder), "--port", str(port)]) == 2
    assert capsys.readouterr().err == f"ssim-ae: 127.0.0.1:{port}: already in use; choose another port with --port\n"


def test_ipv6(tiny_run, image):
    try:
        listening_socket("::1", 0).close()
    except InputError:
        pytest.skip("no IPv6 on this machine")
    with running(tiny_run.folder, "--host", "::1") as (_, url):
        assert url.startswith("http://[::1]:") and Client(url).inspect(image).verdict in ("ok", "nok")


def test_a_missing_package_is_named(capsys, tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("ssim_ae.server.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["serve", str(tiny_run.folder)]) == 2
    assert (
        capsys.readouterr().err
        == "ssim-ae: fastapi is not installed; pip install fastapi uvicorn python-multipart prometheus-client\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_many_connections_do_not_use_up_the_open_files(tiny_run):
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
