"""A line that is disturbed at random moments: all messages arrive, in order, and nothing is inspected twice or never.

The server is killed, and the camera, the broker or the database are away for a while, as after a power failure, while
the webhook fails at random.
"""

import itertools
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

pytest.importorskip("paho.mqtt.client")
pytest.importorskip("av")

from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries
from ssim_ae.line.schema import outbox
from ssim_ae.sources.camera_source import LONGEST_DELAY

from ...sources.conftest import images, mjpeg_server, parts  # noqa: F401
from ..test_kills import Client
from .conftest import wait_until
from .receivers import first_deliveries, receiving
from .test_mqtt import Subscriber, broker  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")

SETTLE = 900  # seconds, on a busy machine, until everything that waits is done
MAX_GROWTH = 60  # MiB, above the memory before the first disturbance
# Disturbances, and how long what is away is away, in seconds.
FEW, MANY, LONG = (3, 0.5), (20, 2), (4, 60)


@pytest.fixture
def subscriber(broker):  # noqa: F811
    subscriber = Subscriber(broker)
    yield subscriber
    subscriber.stop()


class Station:
    """A server that is started again after each kill, with a client that sends images and drops some into a folder."""

    def __init__(self, command, image, watched):
        self.command, self.image, self.watched = command, image, watched
        self.answered, self.refused, self.dropped, self.starts = [], [], [], 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().rpartition(" ")[2].strip()
        self.client = Client(self.url, self.image, self.watched, self.starts)
        self.starts += 1

    def stop(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait()
        self.process.stdout.close()
        self.stop_client()

    def stop_client(self):
        self.client.stop()
        for name in ("answered", "refused", "dropped"):
            getattr(self, name).extend(getattr(self.client, name))
            getattr(self.client, name).clear()

    def memory(self):
        """The resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status")
        return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else 0


@pytest.mark.parametrize(
    ("count", "seconds"), [FEW, *(pytest.param(*how, marks=pytest.mark.long) for how in (MANY, LONG))]
)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def test_every_message_arrives(
    request,
    tiny_run,
    fabric_folder,
    tmp_path,
    broker,  # noqa: F811
    mjpeg_server,  # noqa: F811
    subscriber,
    count,
    seconds,
    database,
):
    chance = random.Random(count)
    things = {"broker": broker, "camera": mjpeg_server}
    place, name, watched = str(tmp_path / "log"), f"disturbed-{count}", tmp_path / "watched"
    if database == "postgres":
        things["database"] = request.getfixturevalue("postgres_server")
        place = things["database"].url
    watched.mkdir()
    kinds = itertools.islice(itertools.cycle(chance.sample(["server", *things], len(things) + 1)), count)
    with receiving(lambda: chance.choice((*[200] * 7, 503, "drop", "drop after"))) as receiver:
        command = [sys.executable, "-m", "ssim_ae", "serve", str(tiny_run.folder), "--port", "0", "--keep", "none"]
        command += ["--watch", str(watched), "--log", place, "--station", name, "--sink", receiver.url]
        command += ["--sink", broker.url, "--source", f"{name}-camera={mjpeg_server.url()}"]
        command += ["--trigger", f"{name}-camera=every:200ms"]
        station = Station(command, next((fabric_folder / "test").rglob("*.png")), watched)
        try:
            time.sleep(1)
            memory = [station.memory()]
            disturbances = Counter()
            for kind in kinds:
                disturbances[kind] += 1
                disturb(kind, station, things, seconds, chance)
                memory.append(station.memory())
            station.stop_client()
            connected = f'ssim_ae_source_connected{{source="{name}-camera"}} 1.0'
            wait_until(lambda: connected in metrics(station.url), "the return of the camera", 2 * LONGEST_DELAY)
            mjpeg_server.stop()  # no more inspections
            with InspectionLog.open(place, station=name) as log:
                entries = settled_entries(log, name, {*station.dropped})
        finally:
            station.stop(signal.SIGTERM)
        wait_until(lambda: len(first_deliveries(subscriber.received)) >= len(entries), "the last message")
    check(entries, station, receiver.received, subscriber.received)
    assert max(memory) <= memory[0] + MAX_GROWTH, memory
    found = ", ".join(f"{kind} {number} times" for kind, number in sorted(disturbances.items()))
    doubles = [len(received) - len(entries) for received in (receiver.received, subscriber.received)]
    sources = Counter(entry.source for entry in entries)
    print(f"{database}, {found}, {seconds} s each: {len(entries)} inspections {dict(sources)}")
    print(f"refused {len(station.refused)}; doubles {doubles}; memory {memory[0]:.0f}, at most {max(memory):.0f} MiB")


def disturb(kind, station, things, seconds, chance):
    """Wait until a random moment, and kill the server, or stop a thing for some seconds."""
    time.sleep(chance.uniform(0.2, 2))
    if kind == "server":
        station.stop()
        station.start()
        return
    things[kind].stop()
    time.sleep(seconds * chance.uniform(0.8, 1.2))
    things[kind].start()


def metrics(url):
    return httpx.get(f"{url}/metrics", trust_env=False, timeout=30).text


def settled_entries(log, name, dropped):
    """Wait until each dropped file is in the log and each message is delivered; return all entries of the log."""

    def names():
        return {entry.name for entry in all_entries(log, Filters(station=name))}

    def waiting():
        with log.database.read() as connection:
            return connection.execute(select(func.count()).where(outbox.c.station == name)).scalar_one()

    wait_until(lambda: dropped <= names(), "the inspection of each dropped file", SETTLE)
    wait_until(lambda: not waiting(), "the delivery of all messages", SETTLE)
    stations = (name, f"{name}-camera")
    return [entry for station in stations for entry in all_entries(log, Filters(station=station))]


def check(entries, station, *receivers):
    """What was answered and dropped is in the log once; each receiver got all messages, each first in order."""
    counts = Counter(entry.name for entry in entries)
    assert max(counts.values()) == 1 and {*station.answered, *station.dropped} <= counts.keys()
    assert len(station.answered) > station.starts and station.dropped
    assert {"http", "folder", "camera"} == {entry.source for entry in entries}
    for messages in receivers:
        received = [message for message in messages if message["kind"] == "inspection"]
        numbers = first_deliveries(received)
        assert numbers == sorted(numbers), "in order, when each came first"
        verdicts = {message["data"]["inspection"]: message["data"]["verdict"] for message in received}
        assert verdicts.items() >= {entry.id: entry.verdict for entry in entries}.items()
        assert len({message["id"] for message in received}) == len(numbers)
