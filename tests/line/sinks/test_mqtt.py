"""Messages at a subscriber of a real broker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import chain

import pytest

pytest.importorskip("paho.mqtt.client")
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from ssim_ae.line.sinks import mqtt
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.line.sinks.places import sinks_of

from ..conftest import record
from .conftest import wait_until
from .receivers import first_deliveries, parsed

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
PASSWORD = "a secret"


class Broker:
    """Mosquitto on a free port of this machine."""

    def __init__(self, folder, *options):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.settings = folder / "mosquitto.conf"
        keeping = ["user root", "persistence true", f"persistence_location {folder}/"]  # of what it has confirmed
        self.settings.write_text("\n".join([f"listener {self.port} 127.0.0.1", *keeping, *options]))
        self.url = f"mqtt://127.0.0.1:{self.port}/hall%203/line-1"

    def start(self):
        self.process = subprocess.Popen([PROGRAM, "-c", self.settings], stderr=subprocess.DEVNULL)
        wait_until(self.answers, "the start of Mosquitto")

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Subscriber:
    """Keeps all messages of a broker; connects again by itself."""

    def __init__(self, broker, user=""):
        self.received, self.states, self.is_ready = [], [], False
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "subscriber", clean_session=False)
        if user:
            self.client.username_pw_set(user, PASSWORD)
        self.client.reconnect_delay_set(0.05, 0.1)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_subscribe = lambda *_: setattr(self, "is_ready", True)
        self.client.on_message = self.keep
        self.client.connect_async("127.0.0.1", broker.port)
        self.client.loop_start()
        wait_until(lambda: self.is_ready, "the subscription")

    def keep(self, _client, _data, message):
        if message.topic == "hall 3/line-1/state":
            self.states.append(message.payload.decode())
        else:
            self.received.append(parsed(message.payload) | {"topic": message.topic})

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    if not PROGRAM:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no MQTT broker: install mosquitto")
    broker = Broker(tmp_path, "allow_anonymous true")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def subscriber(broker):
    subscriber = Subscriber(broker)
    yield subscriber
    subscriber.stop()


def test_messages_and_state(log, broker, subscriber):
    with Deliveries(log, sinks_of([broker.url], log.station)) as deliveries:
        wait_until(lambda: subscriber.states == ["online"])
        for number in range(50):
            record(log, number)
        wait_until(lambda: len(subscriber.received) == 50)
        assert deliveries.states[0].last_error == ""
    wait_until(lambda: subscriber.states == ["online", "offline"])
    assert [message["number"] for message in subscriber.received] == list(range(1, 51))
    assert {message["topic"] for message in subscriber.received} == {"hall 3/line-1/inspection"}


def test_a_broker_that_is_away_for_a_while(log, broker, subscriber):
    with Deliveries(log, sinks_of([broker.url], log.station)) as deliveries:
        record(log, 0)
        wait_until(lambda: len(subscriber.received) == 1)
        broker.stop()
        for number in range(1, 60):
            record(log, number)
        wait_until(lambda: deliveries.states[0].waiting == 59 and deliveries.states[0].failing_since)
        subscriber.is_ready = False
        broker.start()
        wait_until(lambda: len(first_deliveries(subscriber.received)) == 60)
        wait_until(lambda: deliveries.states[0].failing_since is None)
    assert first_deliveries(subscriber.received) == list(range(1, 61))


def test_a_message_is_delivered_once_the_broker_has_confirmed_it(log, monkeypatch):
    monkeypatch.setattr(mqtt, "TIMEOUT", 0.3)

    def answer(listener):
        """Accept connections and confirm the first message of each, its state, but no other."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answers = iter((b"\x20\x02\x00\x00", b"\x40\x02\x00\x01"))  # connected; the first is confirmed
                while connection.recv(4096):
                    connection.sendall(next(answers, b""))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        url = f"mqtt://127.0.0.1:{listener.getsockname()[1]}/line-1"
        with Deliveries(log, sinks_of([url], log.station)) as deliveries:
            record(log)
            wait_until(lambda: deliveries.states[0].last_error == "no answer within 0.3 s")
            assert deliveries.states[0].delivered == 0
            wait_until(lambda: deliveries.states[0].waiting == 1)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_the_broker_says_that_a_server_was_killed(log, broker, subscriber):
    code = (
        "import sys, time; from ssim_ae.line.sinks.places import sinks_of\n"
        "sinks_of([sys.argv[1]], 'line-1')[0].beat(); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, broker.url])
    wait_until(lambda: subscriber.states == ["online"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: subscriber.states == ["online", "offline"])


def test_a_connection_that_a_dead_server_has_left_is_ended(log, broker, subscriber):
    left, new = chain.from_iterable(sinks_of([broker.url], log.station) for _ in range(2))
    left.beat()
    left._client.loop_stop()  # its machine has no power
    new.beat()
    wait_until(lambda: len(subscriber.states) == 3)
    time.sleep(0.1)
    assert subscriber.states == ["online", "offline", "online"]
    new.close()
    left._is_connected = False
    left.close()


# Paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_certificate_of_a_broker_is_checked(log, tmp_path, certificate, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = [f"certfile {certificate[0]}", f"keyfile {certificate[1]}"]
    broker = Broker(tmp_path, "allow_anonymous true", f"listener {port} 127.0.0.1", *files)
    broker.start()
    try:
        subscriber = Subscriber(broker)
        url = f"mqtts://127.0.0.1:{port}/hall%203/line-1"
        with Deliveries(log, sinks_of([url], log.station)) as deliveries:
            record(log)
            wait_until(lambda: "certificate verify failed" in deliveries.states[0].last_error)
            assert deliveries.states[0].delivered == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with Deliveries(log, sinks_of([url], log.station)):
            wait_until(lambda: len(subscriber.received) == 1)
        wait_until(lambda: subscriber.states == ["online", "offline"])
        with Deliveries(log, sinks_of([url.replace("127.0.0.1", "localhost")], log.station)) as deliveries:
            record(log, 1)
            wait_until(lambda: deliveries.states[0].last_error)
            assert "certificate" in deliveries.states[0].last_error, "it is that of another name"
        subscriber.stop()
    finally:
        broker.stop()


def test_user_and_password(log, tmp_path, broker, monkeypatch):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "line", PASSWORD], check=True, capture_output=True)
    passwords.chmod(0o644)
    closed = Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    closed.start()
    try:
        subscriber = Subscriber(closed, "line")
        monkeypatch.setenv("SSIM_AE_MQTT_PASSWORD", "wrong")
        url = closed.url.replace("//", "//line@")
        with Deliveries(log, sinks_of([url], log.station)) as deliveries:
            record(log)
            wait_until(lambda: deliveries.states[0].last_error == "Not authorized")
        monkeypatch.setenv("SSIM_AE_MQTT_PASSWORD", PASSWORD)
        with Deliveries(log, sinks_of([url], log.station)):
            wait_until(lambda: len(subscriber.received) == 1)
        subscriber.stop()
    finally:
        closed.stop()
