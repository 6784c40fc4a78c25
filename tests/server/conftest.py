"""A real server on this machine, with the detector of the tiny run."""

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
from ssim_ae.server.serve import Server, bound
from ssim_ae.training.train import Run

Serving = Callable[..., AbstractContextManager[httpx.Client]]


class Held(Detector):
    """A detector that takes as long as the test wants it to."""

    gate: threading.Event

    def inspect(self, image):
        assert self.gate.wait(20)
        return super().inspect(image)


@contextmanager
def serving(inspector: Inspector, **how) -> Iterator[httpx.Client]:
    """Serve on a port that is free, in a thread."""
    with closing(bound("127.0.0.1", 0)) as listener:
        server = Server(create_app(inspector, **how))
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
def serve() -> Serving:
    """Serves an inspector for the length of a `with` block, and gives a client."""
    return serving


@pytest.fixture(scope="module")
def loaded(tiny_run: Run) -> Detector:
    """The detector that is served."""
    return Detector.load(tiny_run.folder, device_target="CPU")


@pytest.fixture(scope="module")
def inspector(loaded: Detector) -> Iterator[Inspector]:
    """Owns it."""
    with Inspector({"twill": loaded}) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(inspector: Inspector) -> Iterator[httpx.Client]:
    """Asks a server that nothing special is true of."""
    with serving(inspector) as asking:
        yield asking


@pytest.fixture
def held(tiny_run: Run) -> Iterator[Held]:
    """Inspects once `gate` is set."""
    detector = Held.load(tiny_run.folder, device_target="CPU")
    detector.gate = threading.Event()
    yield detector
    detector.gate.set()


@pytest.fixture(scope="session")
def images(fabric_folder: Path) -> list[Path]:
    """All test images."""
    return sorted((fabric_folder / "test").rglob("*.png"))


@pytest.fixture(scope="session")
def image(images: list[Path]) -> bytes:
    """One of them."""
    return images[0].read_bytes()
