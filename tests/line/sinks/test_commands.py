"""The option --sink of ssim-ae serve: what it prints, and its faults in one line."""

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from ssim_ae.cli import main
from ssim_ae.line.sinks import stdout
from ssim_ae.line.sinks.delivery import Deliveries

from ..conftest import record
from .conftest import wait_until

PNG = {"Content-Type": "image/png"}


@contextmanager
def started(tiny_run, *options):
    """Start a server whose standard output is for messages; yield it with a client."""
    command = [sys.executable, "-m", "ssim_ae", "serve", str(tiny_run.folder), "--port", "0", *options]
    server = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        url = server.stderr.readline().rpartition(" ")[2].strip()
        with httpx.Client(base_url=url, trust_env=False) as client:
            yield server, client
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        server.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_standard_output_has_messages_alone(tiny_run, fabric_folder, tmp_path):
    images = sorted((fabric_folder / "test").rglob("*.png"))[:3]
    log = ["--log", str(tmp_path / "log"), "--station", "caf\u00e9"]
    with started(tiny_run, *log, "--sink", "stdout:") as (server, client):
        answers = [client.post("/v1/inspect", content=path.read_bytes(), headers=PNG).json() for path in images]
        assert client.get("/v1/sinks").json()[0]["name"] == "stdout:"
        server.send_signal(signal.SIGTERM)
        lines, notes = server.communicate(timeout=20)
    assert server.returncode == 0 and notes == "stopped\n"
    messages = [json.loads(line) for line in lines.splitlines()]
    assert [message["number"] for message in messages] == [1, 2, 3] and messages[0]["station"] == "caf\u00e9"
    assert [message["data"]["score"] for message in messages] == [answer["score"] for answer in answers]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_a_reader_that_is_gone_stops_nothing(tiny_run, fabric_folder, tmp_path):
    image = next((fabric_folder / "test").rglob("*.png"))
    with started(tiny_run, "--log", str(tmp_path / "log"), "--sink", "stdout:") as (server, client):
        server.stdout.close()
        assert client.post("/v1/inspect", content=image.read_bytes(), headers=PNG).status_code == 200
        wait_until(lambda: client.get("/v1/sinks").json()[0]["last_error"] == "Broken pipe")
        assert client.get("/v1/sinks").json()[0]["waiting"] == 1
        assert 'ssim_ae_sink_up{sink="stdout:"} 0.0' in client.get("/metrics").text
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def test_a_line_is_written_in_parts(log, monkeypatch):
    written = bytearray()
    monkeypatch.setattr(stdout, "os", SimpleNamespace(write=lambda _file, data: written.extend(data[:7]) or 7))
    with Deliveries(log, [stdout.StandardOutput()]):
        record(log)
    assert json.loads(written)["number"] == 1


FAULTS = {
    "no log": (["stdout:"], "--sink: needs a log, which holds messages until they are delivered; add --log PLACE"),
    "scheme": (["ftp://h/x"], "--sink: ftp://h/x: not the URL of a sink; give one of https://HOST/PATH, "),
    "word": (["mosquitto"], "--sink: mosquitto: not the URL of a sink; give one of https://HOST/PATH, "),
    "slashes": (["http:h"], "--sink: http:h: not the URL of a sink; give one of https://HOST/PATH, "),
    "host": (["http:///x"], "--sink: http:///x: names no host or port; write http://HOST:PORT"),
    "port": (["http://h:99999/"], "--sink: http://h:99999/: not a valid URL: Port out of range 0-65535"),
    "no port": (["mqtt://h:0/t"], "--sink: mqtt://h:0/t: names no host or port; write mqtt://HOST:PORT"),
    "number": (["http://h:x/"], "--sink: http://h:x/: not a valid URL: Port could not be cast"),
    "space": (["http://h/a b"], "--sink: 'http://h/a b': not a valid URL; write spaces and other characters as %20"),
    "line": (["http://h/a\r\nX: y"], "--sink: 'http://h/a\\r\\nX: y': not a valid URL; write spaces and other"),
    "lines": (["x\ny"], "--sink: 'x\\ny': not a valid URL; write spaces and other"),
    "empty": ([""], "--sink: '': not a valid URL; write spaces and other"),
    "brackets": (["http://[h/"], "--sink: http://[h/: not a valid URL: Invalid IPv6 URL"),
    "fragment": (["http://h/#x"], "--sink: http://h/#x: should have no #; write %23"),
    "password": (["mqtt://u:p@h/t"], "--sink: a password in a URL is visible to all users of this machine; use "),
    "user": (["https://u@h/"], "--sink: https://h:443/: takes no user; messages are signed"),
    "twice": (["http://h/", "http://h:80/"], "--sink: http://h:80/: named twice; name each place once"),
    "topic": (["mqtt://h"], "--sink: mqtt://h:1883: names no topic; write mqtt://HOST/TOPIC, without + # $"),
    "wildcard": (["mqtt://h/a/+"], "--sink: mqtt://h:1883/a/+: names no topic; write mqtt://HOST/TOPIC"),
    "encoded": (["mqtts://h/a/%23"], "--sink: mqtts://h:8883/a/%23: names no topic; write mqtts://HOST/TOPIC"),
    "query": (["mqtt://h/a?b"], "--sink: mqtt://h:1883/a: takes no query"),
    "path": (["opcua://h/a"], "--sink: opcua://h:4840/a: should be opcua://HOST:PORT alone"),
    "in use": (["opcua://127.0.0.1:PORT"], "--sink: opcua://127.0.0.1:PORT: "),
    "address": (["opcua://192.0.2.1:4840"], "--sink: opcua://192.0.2.1:4840: "),
    "unknown host": (["opcua://none.invalid:4840"], "--sink: opcua://none.invalid:4840: "),
}


@pytest.mark.parametrize(("urls", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(tiny_run, tmp_path, capsys, urls, message):
    for package, scheme in (("paho", "mqtt"), ("asyncua", "opcua")):
        if urls[0].startswith(scheme):
            pytest.importorskip(package)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        sinks = [part for url in urls for part in ("--sink", url.replace("PORT", port))]
        log = [] if "needs a log" in message else ["--log", str(tmp_path / "log")]
        assert main(["serve", str(tiny_run.folder), "--port", "0", *log, *sinks]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"ssim-ae: {message.replace('PORT', port) if 'in use' in printed.err else message}")
    assert printed.err.count("\n") == 1 and printed.out == ""


SECRETS = {
    "SSIM_AE_WEBHOOK_SECRET": ("https://h/", "the secret that signs messages"),
    "SSIM_AE_MQTT_PASSWORD": ("mqtt://line@h/t", "the password of line"),
}


@pytest.mark.parametrize("variable", SECRETS)
def test_a_missing_secret_is_one_line(tiny_run, tmp_path, monkeypatch, capsys, variable):
    monkeypatch.delenv(variable, raising=False)
    url, purpose = SECRETS[variable]
    if url.startswith("mqtt"):
        pytest.importorskip("paho")
    assert main(["serve", str(tiny_run.folder), "--log", str(tmp_path / "log"), "--sink", url]) == 2
    message = f"ssim-ae: --sink: {variable} is not set; set this environment variable to {purpose}\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("url", "module", "package"), [("mqtt://h/t", "paho", "paho-mqtt"), ("opcua://h", "asyncua", "asyncua")]
)
def test_a_missing_package_is_named(tiny_run, tmp_path, monkeypatch, capsys, url, module, package):
    for name in [name for name in sys.modules if name.split(".")[0] == module or "line.sinks." in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(module), *sys.meta_path])
    assert main(["serve", str(tiny_run.folder), "--log", str(tmp_path / "log"), "--sink", url]) == 2
    assert capsys.readouterr().err == f"ssim-ae: {module} is not installed; pip install {package}\n"


class Missing:
    """Finds a package missing."""

    def __init__(self, module):
        self.module = module

    def find_spec(self, name, *_):
        if name.split(".")[0] == self.module:
            raise ModuleNotFoundError(f"No module named {self.module!r}", name=self.module)


def test_nothing_is_imported_without_sinks(tiny_run, tmp_path):
    code = (
        "import sys\nfrom ssim_ae.line.history import history_of\n"
        "from ssim_ae.line.inspection_log import InspectionLog\n"
        "history_of(InspectionLog.open(sys.argv[1]))\n"
        "print([name for name in sys.modules if 'line.sinks' in name or name in ('paho', 'asyncua')])"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr
