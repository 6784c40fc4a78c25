import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from ssim_ae import InputError
from ssim_ae.server.client import Client
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.limits import Limits
from ssim_ae.server.schemas import Failure
from ssim_ae.server.serve import listening_socket


@pytest.fixture
def api_client(client):
    return Client(str(client.base_url))


def test_inspect_a_file_or_its_bytes(api_client, detector, images):
    response = api_client.inspect(images[0], pictures=["mask"])
    assert (response.score, response.name) == (detector.inspect(images[0]).score, images[0].name)
    assert list(response.pictures) == ["mask"]
    same = api_client.inspect(images[0].read_bytes(), detector="twill", sensitivity=2)
    assert (same.score, same.name, same.threshold) == (response.score, "", 0.5)


def test_inspect_many_keeps_the_order_and_continues_after_a_failure(api_client, detector, images, tmp_path):
    corrupt = tmp_path / 'corrupt "ü\n.png'
    corrupt.write_bytes(b"no image")
    missing = tmp_path / "missing.png"
    paths = [*images[:2], corrupt, missing, *images[2:]]
    expected = [detector.inspect(path).score if path in images else None for path in paths]
    results = list(api_client.inspect_many(paths))
    assert [getattr(result, "score", None) for result in results] == expected
    assert isinstance(results[2], Failure) and results[2].error.endswith(": not an image, or corrupt")
    assert results[3] == Failure(name="missing.png", error=f"{missing}: cannot be read: No such file or directory")


def test_detectors(api_client, detector):
    (info,) = api_client.detectors()
    assert (info.name, info.thresholds) == ("twill", detector.thresholds)


def test_errors_of_the_server_are_raised(api_client, image, tmp_path):
    with pytest.raises(InputError, match=r"^detector: no detector 'nail'; choose one of twill$"):
        api_client.inspect(image, detector="nail")
    with pytest.raises(InputError, match=r"^image: an empty file$"):
        api_client.inspect(b"")
    with pytest.raises(InputError, match=r"none\.png: cannot be read: No such file"):
        api_client.inspect(tmp_path / "none.png")


@pytest.mark.parametrize("image", [None, 3, np.zeros((8, 8, 3), np.uint8), "a\0b.png"])
def test_anything_but_a_path_or_bytes_is_an_error_in_one_line(api_client, image):
    with pytest.raises(
        InputError, match=r"^(image: should be a path or the bytes of a file, not|.*not a valid path)[^\n]*$"
    ):
        api_client.inspect(image)


def test_token(serve, inspector, image):
    with serve(inspector, token="secret") as client:
        url = str(client.base_url)
        assert Client(url, token="secret").inspect(image).detector == "twill"
        with pytest.raises(InputError, match=r"^token: missing or wrong; send a valid Bearer token$"):
            Client(url).inspect(image)


def test_a_body_over_the_limit(serve, loaded, rng):
    small = Limits(max_bytes=2**20)
    with (
        Inspector({"twill": loaded}, limits=small) as inspector,
        serve(inspector) as client,
        pytest.raises(InputError, match=r"^body: larger than 1 MiB; send smaller or fewer images$"),
    ):
        Client(str(client.base_url)).inspect(rng.integers(0, 255, 2**24, np.uint8).tobytes())


def test_an_unreachable_server():
    with closing(listening_socket("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(InputError, match=f"^{url}: no response within 0.2 s$"):
            Client(url, timeout=0.2).detectors()
    with pytest.raises(InputError, match=f"^{url}: Connection refused$"):
        Client(url).detectors()
    with pytest.raises(InputError, match=r"^localhost:8000: should start with http:// or https://$"):
        Client("localhost:8000")


@pytest.mark.parametrize(
    "response",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 502 No\r\nContent-Length: 2\r\n\r\nno", b"220\r\n"],
)
def test_a_server_of_another_kind(response):
    with closing(listening_socket("127.0.0.1", 0)) as listener:

        def respond():
            with closing(listener.accept()[0]) as connection:
                connection.recv(1000)
                connection.sendall(response)
                time.sleep(0.1)

        thread = threading.Thread(target=respond)
        thread.start()
        with pytest.raises(InputError, match=r"^http://127.0.0.1:[0-9]+: "):
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}/").detectors()
        thread.join()


def test_the_client_imports_no_server_package():
    code = "import sys, ssim_ae.server.client; print({'fastapi', 'starlette', 'uvicorn', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
