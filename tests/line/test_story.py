"""A day at the line, in a real browser and with real servers: what the guides promise, as one story.

`ssim-ae serve` inspects a watched folder and an RTSP camera, writes a log, and tells an MQTT broker, the clients of an
OPC UA server and a webhook. Tokens give roles to people. In this order:

1. Images arrive in the folder, the camera is asked for pictures on the page Live: every inspection is in the log once,
   and the same messages, with the same ids and verdicts, arrive at all three receivers in the same order.
2. On the page History, Ana reviews three false alarms as good. She lets a candidate learn them, discards it, and makes
   one with raised thresholds. She may not adopt it.
3. Bo adopts it with one click: the three images are accepted when they come again. He goes back with one click: they
   are rejected again. The log says who did what.
4. On the inspection page, a region is drawn with the mouse over the place of a defect and downloaded. A detector with
   it ignores the defect on the page, with `ssim-ae predict`, and as an exported ONNX graph.

Each page is looked at as a phone and as a desktop computer shows it, in light and dark: it has no fault that axe finds,
and nothing is cut off. With the environment variable STORY_PICTURES, screenshots are written into that folder.
"""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("paho.mqtt.client")
pytest.importorskip("asyncua")
pytest.importorskip("av")

import httpx
from asyncua import Client, ua
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from ssim_ae import Config, Detector, train
from ssim_ae.cli import main
from ssim_ae.synthetic.connector import CONNECTOR

from ..server.conftest import page_opener
from ..server.test_page import drop, wait_for_status
from ..sources.conftest import free_port, running_rtsp_server
from .sinks.receivers import parsed, receiving
from .sinks.test_mqtt import Subscriber, broker  # noqa: F401

pytestmark = pytest.mark.long

TOKENS = {"camera": "inspect", "Ana": "review", "Bo": "administer"}
WIDTHS = {"phone": 390, "desktop": 1280}  # px
FALSE_ALARMS = 3
STAIN = (220, 60, 180)  # a color that no part has
PATIENCE = 900  # seconds: learning a few hundred images on a busy machine


def wait_until(is_so, what):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


def token(name):
    return f"token-of-{name}"


@pytest.fixture(scope="module", params=["connector", "bottle"])
def run(request, tmp_path_factory):
    """A run on drawn parts; and one on real ones, where they are at hand."""
    if request.param == "bottle":
        folder, resolution = request.getfixturevalue("bottle"), 512
    else:
        folder, resolution = CONNECTOR.make(tmp_path_factory.mktemp("parts"), train=24, size=640, seed=1)[0], 256
    config = Config(method="features", dataset_path=str(folder), resolution=resolution, drawn_defects=0)
    return train(config, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def parts(run, tmp_path):
    """Files of parts: good ones, false alarms (good ones that have moved a little too far) and a defective one."""
    detector = Detector.load(run.folder)
    folder = tmp_path / "parts"
    folder.mkdir()
    good = sorted((Path(run.dataset.root) / "test" / "good").glob("*.png"))
    accepted = [path for path in good if detector.inspect(path).score < 0.95]
    for number, path in enumerate(accepted[:6]):
        shutil.copy(path, folder / f"good-{number}.png")
    for number, path in enumerate(accepted[:FALSE_ALARMS]):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        moved = (np.roll(pixels, shift, axis=(0, 1)) for shift in zip(range(1, 80), itertools.count(1), strict=False))
        Image.fromarray(next(image for image in moved if detector.inspect(image).score > 1.01)).save(
            folder / f"moved-{number}.png"
        )
    pixels = np.asarray(Image.open(accepted[3]).convert("RGB")).copy()
    height, width = pixels.shape[:2]
    rows, columns = slice(int(0.45 * height), int(0.55 * height)), slice(int(0.45 * width), int(0.52 * width))
    pixels[rows, columns] = STAIN
    Image.fromarray(pixels).save(folder / "defective.png")
    assert detector.inspect(folder / "defective.png").score > 1.5, "with raised thresholds, too"
    return folder


class Follower(threading.Thread):
    """An OPC UA client that keeps each message that the variable Message shows."""

    def __init__(self, port, station):
        super().__init__()
        self.port, self.station, self.received, self.is_over = port, station, [], threading.Event()

    def datachange_notification(self, _node, value, _data):
        if value:
            self.received.append(parsed(value))

    def run(self):
        asyncio.run(self.follow())

    async def follow(self):
        async with Client(f"opc.tcp://127.0.0.1:{self.port}/") as client:
            subscription = await client.create_subscription(10, self)
            await subscription.subscribe_data_change(
                client.get_node(ua.NodeId(f"{self.station}/Message", 2)), queuesize=1000
            )
            while not self.is_over.is_set():
                await asyncio.sleep(0.05)


@contextmanager
def serving(*arguments):
    """Run the server; yield a client with the token that may do everything."""
    command = [sys.executable, "-m", "ssim_ae", "serve", *map(str, arguments), "--port", "0"]
    environment = {**os.environ, "SSIM_AE_WEBHOOK_SECRET": "secret"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = process.stdout.readline().rpartition(" ")[2].strip()
        headers = {"Authorization": f"Bearer {token('Bo')}"}
        with httpx.Client(base_url=url, trust_env=False, timeout=30, headers=headers) as client:
            yield client
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


@contextmanager
def following(port, station):
    follower = Follower(port, station)
    follower.start()
    try:
        yield follower
    finally:
        follower.is_over.set()
        follower.join()


class Line:
    """The server with everything that it is connected to, and the pages as people see them."""

    def __init__(self, client, watched, pages, pictures):
        self.client, self.watched, self.pages, self.pictures = client, watched, pages, pictures

    def drop(self, part, name):
        """Let an image arrive in the watched folder, and wait until it is in the log; return its entry."""
        shutil.copy(part, self.watched / name)
        wait_until(lambda: name in [entry["name"] for entry in self.entries()], f"the inspection of {name}")
        return next(entry for entry in self.entries() if entry["name"] == name)

    def entries(self):
        """All entries of the log, the latest first."""
        return self.client.get("/v1/log", params={"limit": 500}).json()["entries"]

    def open(self, path, person):
        page = self.pages(self.client, path, bypass_csp=True, timezone_id="UTC")
        page.fill("#token", token(person))
        page.get_by_role("button", name="Continue").click()
        page.locator("#token-form").wait_for(state="hidden")
        return page

    def look_at(self, page, name):
        """Look at a page on a phone and on a desktop computer, in light and dark."""
        for (device, width), scheme in itertools.product(WIDTHS.items(), ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(300)
            assert [violation["id"] for violation in Axe().run(page).response["violations"]] == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            page.screenshot(path=self.pictures / f"{name}-{device}-{scheme}.png", full_page=True)
        page.emulate_media(color_scheme="light")


@pytest.fixture
def pages(browser):
    with page_opener(browser, "/") as open_:
        yield open_


def test_a_day_at_the_line(run, parts, broker, pages, tmp_path):  # noqa: F811
    watched, camera = tmp_path / "watched", tmp_path / "camera"
    tokens, port, rtsp_port = tmp_path / "tokens", free_port(), free_port()
    pictures = Path(os.environ.get("STORY_PICTURES") or tmp_path) / Path(run.dataset.root).name
    for folder in (watched, camera, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        shutil.copy(parts / "good-4.png", camera / f"{number:02}.png")
    tokens.write_text("".join(f"{name} {role} {token(name)}\n" for name, role in TOKENS.items()))
    tokens.chmod(0o600)
    with ExitStack() as resources:
        receiver = resources.enter_context(receiving())
        subscriber = Subscriber(broker)
        resources.callback(subscriber.stop)
        resources.enter_context(running_rtsp_server(rtsp_port, camera))
        options = ["--log", tmp_path / "log", "--station", "line-1", "--keep", "all", "--tokens", tokens]
        options += ["--watch", watched, "--source", f"press1=rtsp://127.0.0.1:{rtsp_port}/parts"]
        options += ["--trigger", "press1=request"]
        sinks = [broker.url, f"opcua://127.0.0.1:{port}", receiver.url]
        with ExitStack() as server:
            client = server.enter_context(serving(run.folder, *options, *(f"--sink={url}" for url in sinks)))
            follower = server.enter_context(following(port, "line-1"))
            line = Line(client, watched, pages, pictures)
            inspect_folder_and_camera(line, parts)
            review_and_learn(line, run, parts)
            check_messages(line, receiver.received, subscriber.received, follower)
        draw_a_region(resources, run, parts, pages, pictures, options, tmp_path)


def inspect_folder_and_camera(line, parts):
    page = line.open("/", "camera")
    names = sorted(path.name for path in parts.glob("*.png"))
    verdicts = {name: line.drop(parts / name, name)["verdict"] for name in names}
    assert verdicts == {name: "ok" if name.startswith("good") else "nok" for name in names}
    page.locator("#gallery li").nth(len(names) - 1).wait_for()
    page.locator("#result-viewer .stage .original img[src^=blob]").wait_for()
    line.look_at(page, "inspect")
    page.get_by_role("link", name="Live").click()
    page.locator(".picture").wait_for()
    for number in range(1, 4):
        page.get_by_role("button", name="Inspect now").click()
        page.get_by_text(f"{number} inspected").wait_for()
    line.look_at(page, "live")
    page.close()
    counts = Counter((entry["station"], entry["source"]) for entry in line.entries())
    assert counts == {("line-1", "folder"): len(names), ("press1", "camera"): 3}


def review_and_learn(line, run, parts):
    name = run.folder.name
    page = line.open("/history", "Ana")
    page.locator("#entries li").nth(8).wait_for()
    line.look_at(page, "history")
    page.select_option("#verdict", "nok")
    page.wait_for_function("document.querySelectorAll('#entries li').length === 4")
    for number in reversed(range(FALSE_ALARMS)):
        page.locator(".row > button", has_text=f"moved-{number}.png").click()
        page.locator("#entry-image img").wait_for()
        page.keyboard.press("g")
        page.get_by_role("status").filter(has_text=f"moved-{number}.png: reviewed as good").wait_for()
    page.locator(".row > button", has_text="defective.png").click()
    page.locator("#entry-image img").wait_for()
    line.look_at(page, "review")
    page.keyboard.press("d")
    page.get_by_role("status").filter(has_text="defective.png: reviewed as defective").wait_for()
    page.reload()
    page.locator("#versions summary").click()
    line.look_at(page, "reviewed")
    page.get_by_role("button", name="Learn the good images").click()
    page.get_by_role("button", name="Discard").click(timeout=1000 * PATIENCE)
    page.get_by_role("button", name="Raise thresholds").click()
    page.get_by_text(f"{FALSE_ALARMS} verdicts would change").wait_for(timeout=1000 * PATIENCE)
    page.locator("#runs .changed img").nth(FALSE_ALARMS - 1).wait_for()
    assert page.get_by_role("button", name="Adopt").count() == 0, "Ana may not"
    page.close()
    assert line.drop(parts / "moved-0.png", "before.png")["verdict"] == "nok"

    page = line.open("/history", "Bo")
    page.locator("#runs .changed img").nth(FALSE_ALARMS - 1).wait_for()
    line.look_at(page, "candidate")
    page.get_by_role("button", name="Adopt").click()
    page.get_by_text("Version 2 of 2").wait_for()
    for number in range(FALSE_ALARMS):
        entry = line.drop(parts / f"moved-{number}.png", f"again-{number}.png")
        assert (entry["verdict"], entry["version"]) == ("ok", 2)
    assert line.drop(parts / "defective.png", "again-defective.png")["verdict"] == "nok"
    page.get_by_role("button", name="Back to the version before").click()
    page.get_by_text("Version 1 of 2").wait_for()
    line.look_at(page, "rolled-back")
    page.close()
    entry = line.drop(parts / "moved-0.png", "after.png")
    assert (entry["verdict"], entry["version"]) == ("nok", 1)
    changes = line.client.get(f"/v1/versions/{name}").json()["changes"]
    assert [(change["person"], change["action"], change["version"]) for change in changes] == [
        ("Bo", "rolled back", 1),
        ("Bo", "adopted", 2),
    ]
    reviewers = {
        review["reviewer"]
        for entry in line.entries()
        for review in line.client.get(f"/v1/log/{entry['id']}/reviews").json()
    }
    assert reviewers == {"Ana"}


def check_messages(line, *receivers):
    """Each entry of the log was sent to all receivers in the same order, with the same id and verdict."""
    *received, follower = receivers
    received.append(follower.received)
    expected = [(entry["id"], entry["station"], entry["verdict"]) for entry in reversed(line.entries())]
    for messages in received:
        wait_until(lambda messages=messages: len(messages) >= len(expected), "the arrival of all messages")
        contents = [message["data"] for message in messages]
        assert [(data["inspection"], data["station"], data["verdict"]) for data in contents] == expected
    ids = [[message["id"] for message in messages] for messages in received]
    assert ids[0] == ids[1] == ids[2] and len({*ids[0]}) == len(expected)


def draw_a_region(resources, run, parts, pages, pictures, options, tmp_path):
    with serving(run.folder, *options) as client:
        line = Line(client, None, pages, pictures)
        page = line.open("/", "camera")
        page.set_viewport_size({"width": 1280, "height": 900})
        drop(page, parts / "good-3.png")
        wait_for_status(page, "good-3.png: ok")
        page.click("#regions summary")
        page.click("#regions-start")
        stage = page.locator("#regions-stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        with Image.open(parts / "good-3.png") as image:
            width, height = image.size
        scale = min(box["width"] / width, box["height"] / height)
        left, top = (box["width"] - scale * width) / 2, (box["height"] - scale * height) / 2
        for x, y in ((0.33, 0.25), (0.64, 0.25), (0.64, 0.75), (0.33, 0.75)):
            stage.click(position={"x": left + x * scale * width, "y": top + y * scale * height})
        page.click("#regions-close")
        page.fill("#regions-list input[type=text]", "label")
        line.look_at(page, "region")
        with page.expect_download() as download:
            page.click("#regions-download")
        regions = parts / "regions.json"
        download.value.save_as(regions)
        page.close()
    assert len(json.loads(regions.read_text())["regions"][0]["polygon"]) == 4
    assert main(["threshold", str(run.folder), "--regions", str(regions), "--force"]) == 0
    defective = parts / "defective.png"
    with serving(run.folder, *options) as client:
        line = Line(client, None, pages, pictures)
        page = line.open("/", "camera")
        drop(page, defective)
        wait_for_status(page, "defective.png: ok")
        page.locator(".viewer label", has_text="regions").click()
        line.look_at(page, "ignored")
        page.close()
        shown = next(entry for entry in line.entries() if entry["source"] == "http" and entry["name"] == defective.name)
    exported = tmp_path / "exported.onnx"
    assert main(["export", str(run.folder), "--output", str(exported)]) == 0
    scores = []
    for detector in (run.folder, exported):
        rows = tmp_path / "rows.json"
        assert main(["predict", str(detector), str(defective), "--json", str(rows)]) == 0
        (row,) = json.loads(rows.read_text())
        assert row["verdict"] == "ok"
        scores.append(row["score"])
    assert scores == pytest.approx([shown["score"]] * 2, abs=1e-3)
