"""Fixtures: a real server on this machine, with the detector of the tiny run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from ssim_ae import Detector
from ssim_ae.server.app import create_app
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.roles import only_token
from ssim_ae.server.serve import Server, listening_socket
from ssim_ae.training.train import Run

ServerFactory = Callable[..., AbstractContextManager[httpx.Client]]


class BlockingDetector(Detector):
    """A detector that waits for `gate` before each inspection."""

    gate: threading.Event

    def inspect(self, image):
        assert self.gate.wait(20)
        return super().inspect(image)


@contextmanager
def running_server(inspector: Inspector, *, token: str = "", **options) -> Iterator[httpx.Client]:
    """Run a server on a free port in a thread, and yield a client of it; with a `token`, it requires this one."""
    if token:
        options["tokens"] = only_token(token)
    with closing(listening_socket("127.0.0.1", 0)) as listener:
        server = Server(create_app(inspector, **options))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def serve() -> ServerFactory:
    """Return a context manager that serves an inspector and yields a client."""
    return running_server


@pytest.fixture(scope="module")
def loaded(tiny_run: Run) -> Detector:
    """The detector of the tiny run, loaded once per module."""
    return Detector.load(tiny_run.folder, device_target="CPU")


@pytest.fixture(scope="module")
def inspector(loaded: Detector) -> Iterator[Inspector]:
    """An open inspector with this detector, named twill."""
    with Inspector({"twill": loaded}) as inspector:
        yield inspector


@pytest.fixture(scope="module")
def client(inspector: Inspector) -> Iterator[httpx.Client]:
    """A client of a server with default options."""
    with running_server(inspector) as client:
        yield client


@pytest.fixture
def blocking_detector(tiny_run: Run) -> Iterator[BlockingDetector]:
    """A detector that inspects once its `gate` is set."""
    detector = BlockingDetector.load(tiny_run.folder, device_target="CPU")
    detector.gate = threading.Event()
    yield detector
    detector.gate.set()


@pytest.fixture(scope="session")
def images(fabric_folder: Path) -> list[Path]:
    """All test images."""
    return sorted((fabric_folder / "test").rglob("*.png"))


@pytest.fixture(scope="session")
def image(images: list[Path]) -> bytes:
    """The first test image, as the bytes of its file."""
    return images[0].read_bytes()


@contextmanager
def page_opener(browser, default_path: str, **defaults: object) -> Iterator[Callable]:
    """Return a function that opens a page of a server. No script error and no request to another server may occur."""
    contexts, problems = [], []

    def open_(client, path=default_path, width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **defaults, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: "Failed to load resource" in message.text or problems.append(message.text))
        own = (str(client.base_url), "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(own) or problems.append(request.url))
        page.goto(f"{client.base_url}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []
