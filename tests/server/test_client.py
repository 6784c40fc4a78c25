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
from ssim_ae.server.serve import bound


@pytest.fixture
def asking(client):
    return Client(str(client.base_url))


def test_a_file_or_its_bytes(asking, detector, images):
    answer = asking.inspect(images[0], pictures=["mask"])
    assert (answer.score, answer.name) == (detector.inspect(images[0]).score, images[0].name)
    assert list(answer.pictures) == ["mask"]
    same = asking.inspect(images[0].read_bytes(), detector="twill", sensitivity=2)
    assert (same.score, same.name, same.limit) == (answer.score, "", 0.5)


def test_many_files_in_their_order_go_on_after_a_bad_one(asking, detector, images, tmp_path):
    bad = tmp_path / 'bad "ü\n.png'
    bad.write_bytes(b"no image")
    missing = tmp_path / "missing.png"
    paths = [*images[:2], bad, missing, *images[2:]]
    expected = [detector.inspect(path).score if path in images else None for path in paths]
    answers = list(asking.inspect_many(paths))
    assert [getattr(answer, "score", None) for answer in answers] == expected
    assert isinstance(answers[2], Failure) and answers[2].error.endswith(": not an image, or damaged")
    assert answers[3] == Failure(name="missing.png", error=f"{missing}: cannot be read: No such file or directory")


def test_the_detectors(asking, detector):
    (info,) = asking.detectors()
    assert (info.name, info.thresholds) == ("twill", detector.thresholds._asdict())


def test_what_the_server_says_is_wrong(asking, image, tmp_path):
    with pytest.raises(InputError, match=r"^no such detector 'nail'; there are: twill$"):
        asking.inspect(image, detector="nail")
    with pytest.raises(InputError, match=r"^image: an empty file$"):
        asking.inspect(b"")
    with pytest.raises(InputError, match=r"none\.png: cannot be read: No such file"):
        asking.inspect(tmp_path / "none.png")


def test_a_token(serve, inspector, image):
    with serve(inspector, token="secret") as client:
        url = str(client.base_url)
        assert Client(url, token="secret").inspect(image).detector == "twill"
        with pytest.raises(InputError, match=r"^a token is needed$"):
            Client(url).inspect(image)


def test_more_than_the_server_takes(serve, loaded, rng):
    small = Limits(max_bytes=2**20)
    with (
        Inspector({"twill": loaded}, limits=small) as inspector,
        serve(inspector) as client,
        pytest.raises(InputError, match=r"^the body is larger than 1 MiB$"),
    ):
        Client(str(client.base_url)).inspect(rng.integers(0, 255, 2**24, np.uint8).tobytes())


def test_nobody_there():
    with closing(bound("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(InputError, match=f"^{url}: no answer within 0.2 s$"):
            Client(url, timeout=0.2).detectors()
    with pytest.raises(InputError, match=f"^{url}: Connection refused$"):
        Client(url).detectors()
    with pytest.raises(InputError, match=r"^localhost:8000: should begin with http:// or https://$"):
        Client("localhost:8000")


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 502 No\r\nContent-Length: 2\r\n\r\nno", b"220\r\n"],
)
def test_another_server(said):
    with closing(bound("127.0.0.1", 0)) as listener:

        def answer():
            with closing(listener.accept()[0]) as connection:
                connection.recv(1000)
                connection.sendall(said)
                time.sleep(0.1)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(InputError, match=r"^http://127.0.0.1:[0-9]+: "):
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}/").detectors()
        thread.join()


def test_it_needs_no_server_package():
    code = "import sys, ssim_ae.server.client; print({'fastapi', 'starlette', 'uvicorn', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
