"""Fixtures: a video of drawn parts, servers of video streams on loopback, and a server with sources."""

import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssim_ae import Detector
from ssim_ae.server.inspector import Inspector

from ..server.conftest import BlockingDetector, running_server

if find_spec("av"):
    import av

    from ssim_ae.sources.extension import sources_of
    from ssim_ae.sources.settings import source_settings
else:
    collect_ignore_glob = ["test_*.py"]

RATE = 25  # pictures per second
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"
HAS_RTSP = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def write_video(path: Path, images: list[np.ndarray], codec: str = "mpeg4") -> Path:
    """Write images (h, w, 3) as a video of 25 pictures per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until a condition is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition is still false"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def images(fabric_folder):
    return sorted((fabric_folder / "test").rglob("*.png"))


@pytest.fixture(scope="session")
def parts(images):
    """Good and defective pieces of fabric, (64, 64, 3)."""
    return [np.asarray(Image.open(path).convert("RGB")) for path in images]


@pytest.fixture(scope="session")
def video(parts, tmp_path_factory):
    """A video of a second: each part for an equal time."""
    return write_video(
        tmp_path_factory.mktemp("video") / "parts.mp4", [parts[i * len(parts) // RATE] for i in range(RATE)]
    )


@pytest.fixture(scope="module")
def loaded(tiny_run):
    return Detector.load(tiny_run.folder, device_target="CPU")


@pytest.fixture
def blocking_detector(tiny_run):
    """A detector that inspects once its `gate` is set."""
    detector = BlockingDetector.load(tiny_run.folder, device_target="CPU")
    detector.gate = threading.Event()
    yield detector
    detector.gate.set()


@pytest.fixture
def serve_sources(loaded):
    """Return a context manager: a client of a server with sources, NAME=URL, and triggers, NAME=RULE."""

    @contextmanager
    def serving(*sources, triggers=(), recorder=None, extensions=(), **options):
        extension = sources_of(source_settings(sources, triggers))
        with (
            Inspector({"twill": loaded}, recorder=recorder) as inspector,
            extension.run(inspector),
            running_server(inspector, extensions=[*extensions, extension], **options) as client,
        ):
            yield client

    return serving


class MjpegServer:
    """An HTTP server on loopback: `/video` is an endless MJPEG stream of parts; `paths` are those that were requested.

    `/elsewhere` redirects to `/other`, `/list.m3u8` is a playlist of `/other.ts`, and `/text` is no video.
    """

    def __init__(self, parts: list[np.ndarray]) -> None:
        self.paths: list[str] = []
        self.jpegs = [jpeg(part) for part in parts]
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def url(self, path: str = "video", credentials: str = "") -> str:
        return f"http://{credentials}127.0.0.1:{self.port}/{path}"

    def playlist(self) -> str:
        """Return a playlist (HLS) that names another place."""
        head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n"
        return f"{head}{self.url('other.ts')}\n#EXT-X-ENDLIST\n"

    def start(self) -> None:
        stream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                stream.paths.append(self.path)
                if self.path == "/video":
                    return self.send_video()
                redirects = self.path == "/elsewhere"
                self.send_response(302 if redirects else 200)
                if redirects:
                    self.send_header("Location", stream.url("other"))
                self.end_headers()
                if not redirects:
                    self.wfile.write(stream.playlist().encode())
                return None

            def send_video(self):
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with suppress(OSError):
                    for data in itertools.cycle(stream.jpegs):
                        if not stream._server:
                            return
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                        self.wfile.write(head.encode() + data + b"\r\n")
                        time.sleep(1 / RATE)

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()  # waits for the streams


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@contextmanager
def running_mjpeg_server(parts: list[np.ndarray]) -> Iterator[MjpegServer]:
    """Run such a server."""
    server = MjpegServer(parts)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return free.getsockname()[1]


@contextmanager
def running_rtsp_server(port: int, folder: Path, *credentials: str) -> Iterator[None]:
    """Serve the images 00.png, 01.png, ... of a folder at rtsp://127.0.0.1:PORT/parts. Skips without GStreamer."""
    if (
        not shutil.which(SYSTEM_PYTHON)
        or subprocess.run([SYSTEM_PYTHON, "-c", HAS_RTSP], capture_output=True).returncode
    ):
        pytest.skip("no RTSP server: install gir1.2-gst-rtsp-server-1.0, python3-gi and GStreamer's plugins")
    command = [SYSTEM_PYTHON, str(RTSP_SERVER), str(port), str(folder), *credentials]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def mjpeg_server(parts):
    with running_mjpeg_server(parts) as server:
        yield server


def metric(client, name: str, source: str = "press1") -> float:
    """Return a metric of a source."""
    label = f'ssim_ae_source_{name}{{source="{source}"}} '
    return float(next(line for line in client.get("/metrics").text.splitlines() if line.startswith(label)).split()[-1])
