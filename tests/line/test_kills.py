"""A server that is killed at random moments: what it has answered is in the log once, and so is each watched file."""

import itertools
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import httpx
import numpy as np
import pytest

from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries

from .conftest import KEEP_ALL

START_TIMEOUT = 60  # seconds


class Client:
    """Sends images under names of their own until the server is gone; `answered` are those with a result."""

    def __init__(self, url, image, watched, number):
        self.url, self.image, self.watched = url, image, watched
        self.is_over = threading.Event()
        self.answered, self.refused, self.dropped = [], [], []
        self.threads = [
            threading.Thread(target=self.send, args=(f"sent-{number}",)),
            threading.Thread(target=self.drop, args=(f"dropped-{number}",)),
        ]
        for thread in self.threads:
            thread.start()

    def send(self, prefix):
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as client:
            for index in itertools.takewhile(lambda _: not self.is_over.is_set(), itertools.count()):
                name = f"{prefix}-{index}.png"
                try:
                    answer = client.post("/v1/inspect", files={"image": (name, self.image.read_bytes())})
                except httpx.HTTPError:
                    return
                if answer.status_code == 503 and "log: cannot be written" in answer.text:
                    self.refused.append(name)
                    time.sleep(0.1)
                    continue
                assert answer.status_code == 200, answer.text
                self.answered.append(name)

    def drop(self, prefix):
        index = 0
        while not self.is_over.wait(0.05):
            name = f"{prefix}-{index}.png"
            shutil.copy(self.image, self.watched / name)
            self.dropped.append(name)
            index += 1

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()


def client_of_killed_server(command, image, watched, number, moments) -> Client:
    """Start a server with a client, and kill it at a random moment; return the client."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        client = Client(server.stdout.readline().rpartition(" ")[2].strip(), image, watched, number)
        time.sleep(moments.uniform(0.2, 2.5))
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.stdout.close()
    client.stop()
    return client


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.long)])
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def test_nothing_is_lost_or_doubled(request, tiny_run, fabric_folder, tmp_path, kills, database):
    place = str(tmp_path / "log") if database == "sqlite" else request.getfixturevalue("postgres")
    station = f"killed-{kills}"
    watched, images = tmp_path / "watched", tmp_path / "images"
    watched.mkdir()
    image = next((fabric_folder / "test").rglob("*.png"))
    command = [sys.executable, "-m", "ssim_ae", "serve", str(tiny_run.folder), "--port", "0", "--watch", str(watched)]
    command += ["--log", place, "--keep", "all", "--log_images", str(images), "--station", station]
    answered, dropped = [], []
    moments = np.random.default_rng(kills)

    def entries():
        with InspectionLog.open(place, rule=KEEP_ALL, images=images) as log:
            return list(all_entries(log, Filters(station=station)))

    for number in range(kills):
        client = client_of_killed_server(command, image, watched, number, moments)
        answered += client.answered
        dropped += client.dropped
        time.sleep(0.02)
    shutil.copy(image, watched / "while-it-was-down.png")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT
        wanted = {*dropped, "while-it-was-down.png"}
        while not wanted <= {entry.name for entry in entries()}:
            assert time.monotonic() < deadline, wanted - {entry.name for entry in entries()}
            time.sleep(0.3)
        time.sleep(1.5)  # another scan
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    found = entries()
    counts = Counter(entry.name for entry in found)
    assert max(counts.values()) == 1 and wanted <= counts.keys()
    assert len(answered) > kills and {*answered} <= counts.keys()
    assert all((images / entry.image_file).read_bytes() == image.read_bytes() for entry in found)
    print(f"{kills} kills: {len(answered)} answers, {len(dropped)} watched files, {len(found)} rows")
