"""A server that is killed at random moments, with receivers that fail: all messages arrive, in order."""

import random
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import pytest
from sqlalchemy import func, select

pytest.importorskip("paho.mqtt.client")

from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries
from ssim_ae.line.schema import outbox

from ..test_kills import client_of_killed_server
from .conftest import wait_until
from .receivers import first_deliveries, receiving
from .test_mqtt import Subscriber, broker  # noqa: F401


@pytest.fixture
def subscriber(broker):  # noqa: F811
    subscriber = Subscriber(broker)
    yield subscriber
    subscriber.stop()


def interrupt(broker, chance, is_over):  # noqa: F811
    """Stop the broker at random moments, and start it again."""
    while not is_over.wait(chance.uniform(0.5, 2)):
        broker.stop()
        time.sleep(chance.uniform(0.1, 1))
        broker.start()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def test_every_message_arrives(request, tiny_run, fabric_folder, tmp_path, broker, subscriber, kills, database):  # noqa: F811
    place = str(tmp_path / "log") if database == "sqlite" else request.getfixturevalue("postgres")
    station = f"killed-{kills}"
    watched = tmp_path / "watched"
    watched.mkdir()
    image = next((fabric_folder / "test").rglob("*.png"))
    chance = random.Random(kills)
    moments = np.random.default_rng(kills)
    is_over = threading.Event()
    with receiving(lambda: chance.choice((*[200] * 7, 503, "drop", "drop after"))) as receiver:
        command = [sys.executable, "-m", "ssim_ae", "serve", str(tiny_run.folder), "--port", "0", "--keep", "none"]
        command += ["--watch", str(watched), "--log", place, "--station", station]
        command += ["--sink", receiver.url, "--sink", broker.url]

        interruption = threading.Thread(target=interrupt, args=(broker, chance, is_over))
        interruption.start()
        try:
            for number in range(kills):
                client_of_killed_server(command, image, watched, number, moments)
        finally:
            is_over.set()
            interruption.join()
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = server.stdout.readline().rpartition(" ")[2].strip()
            with InspectionLog.open(place, station=station) as log:

                def waiting():
                    with log.database.read() as connection:
                        of_station = outbox.c.station == station
                        return connection.execute(select(func.count()).where(of_station)).scalar_one()

                deadline = time.monotonic() + 60 * (1 + (kills > 2))
                time.sleep(1.5)  # a scan of the watched folder
                while waiting():
                    assert time.monotonic() < deadline, httpx.get(f"{url}/v1/sinks", trust_env=False).text
                    time.sleep(0.1)
                entries = list(all_entries(log, Filters(station=station)))
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()
        wait_until(lambda: len(first_deliveries(subscriber.received)) >= len(entries))
        assert len(entries) > 2 * kills
        for messages in (receiver.received, subscriber.received):
            received = [message for message in messages if message["kind"] == "inspection"]
            numbers = first_deliveries(received)
            assert numbers == sorted(numbers), "in order, when each came first"
            assert {message["data"]["inspection"] for message in received} >= {entry.id for entry in entries}
            assert len({message["id"] for message in received}) == len(numbers)
        doubles = [len(received) - len(entries) for received in (receiver.received, subscriber.received)]
        print(f"{kills} kills: {len(entries)} messages, doubles at webhook and broker {doubles}")
