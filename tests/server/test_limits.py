import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from statistics import median

import httpx
import pytest

from ssim_ae.server import limits
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.limits import Limits

PNG = {"Content-Type": "image/png"}
QUICK = Limits(seconds=0.5)


def post(client, data, **how):
    return client.post("/v1/inspect", content=data, headers=PNG, **how)


def connect(client, sent=b""):
    address = (client.base_url.host, client.base_url.port)
    connection = socket.create_connection(address, timeout=10)
    connection.sendall(sent)
    return connection


def heard(connection, until=None):
    """All that the server says until it closes, or until it has said something."""
    said = b""
    with suppress(ConnectionResetError):
        while (until is None or not said.endswith(until)) and (piece := connection.recv(65_536)):
            said += piece
    return said


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def head(length, *, path="/v1/inspect"):
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: image/png", f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_413(serve, loaded, image, chunked):
    small = Limits(max_bytes=len(image))
    with Inspector({"twill": loaded}, limits=small) as inspector, serve(inspector) as client:
        data = image + b"\0"
        answer = post(client, iter([data[:900], data[900:]]) if chunked else data)
        assert answer.status_code == 413
        assert answer.json() == {"detail": f"the body is larger than {len(image) / 2**20:.3g} MiB"}
        assert post(client, iter([image]) if chunked else image).status_code == 200
        form = client.post("/v1/inspect", files={"image": image})
        assert form.status_code == 413, "the limit is that of the body"


def test_what_is_said_to_be_too_large_is_refused_before_it_comes(client):
    with closing(connect(client, head(10**12))) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_is_413_and_read_no_further(client, monkeypatch):
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    start = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    piece = b"100000\r\n" + bytes(2**20) + b"\r\n"
    with closing(connect(client, start)) as connection, pytest.raises(OSError):
        begun = time.monotonic()
        while time.monotonic() < begun + 10:
            connection.sendall(piece)


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/inspect HTTP/1.1\r\nHost: local", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03"]
)
def test_a_head_that_does_not_come_is_not_waited_for(client, monkeypatch, sent):
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    begun = time.monotonic()
    with closing(connect(client, sent)) as connection:
        said = heard(connection)
    assert said == b"" or said.startswith(b"HTTP/1.1 400 ")
    assert time.monotonic() - begun < 2


def test_a_head_that_drips_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    begun = time.monotonic()
    with closing(connect(client, b"GET /healthz HTTP/1.1\r\n")) as connection, pytest.raises(OSError):
        while time.monotonic() < begun + 10:
            connection.sendall(b"X-Slow: yes\r\n")
            time.sleep(0.05)
    assert time.monotonic() - begun < 2


def test_a_connection_is_good_for_many_requests(client, monkeypatch):
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(connect(client)) as connection:
        for _ in range(4):
            time.sleep(0.15)
            connection.sendall(asked)
            assert heard(connection, until=b'{"status":"ok"}').startswith(b"HTTP/1.1 200 ")
        connection.sendall(3 * asked)
        assert heard(connection).count(b"HTTP/1.1 200 ") == 3


def test_answers_on_one_connection_follow_at_once(client):
    """And not each 40 ms later, when the head of the last one is acknowledged."""
    times = []
    for _ in range(20):
        begun = time.monotonic()
        client.get("/healthz")
        times.append(time.monotonic() - begun)
    assert median(times) < 0.03


def test_of_too_many_connections_those_that_say_nothing_are_closed(serve, inspector, monkeypatch):
    monkeypatch.setattr(limits, "max_connections", lambda: 5)
    with ExitStack() as opened:
        client = opened.enter_context(serve(inspector))
        silent = [opened.enter_context(closing(connect(client))) for _ in range(8)]
        for connection in silent[:3]:
            assert heard(connection) == b""
        assert client.get("/healthz").status_code == 200
        assert heard(silent[3]) == b""
        assert client.get("/healthz").status_code == 200
        silent[4].settimeout(0.2)
        with pytest.raises(TimeoutError):
            silent[4].recv(1)


def test_a_slow_body_is_408_and_its_place_is_free_again(serve, loaded, image):
    one = QUICK._replace(queue=0)
    with Inspector({"twill": loaded}, limits=one, threads=1) as inspector, serve(inspector) as client:
        with closing(connect(client, head(len(image)))) as connection:
            connection.sendall(image[:100])
            until(lambda: inspector.metrics.places_taken._value.get() == 1)
            assert post(client, image).status_code == 429
            said = heard(connection, until=b"}")
            assert said.startswith(b"HTTP/1.1 408 ") and b'"the body did not arrive within 0.5 s"' in said
        assert post(client, image).status_code == 200


def test_who_goes_away_leaves_a_place(serve, loaded, image):
    one = Limits(queue=0)
    with Inspector({"twill": loaded}, limits=one, threads=1) as inspector, serve(inspector) as client:
        with closing(connect(client, head(len(image)))) as connection:
            connection.sendall(image[:100])
            until(lambda: inspector.metrics.places_taken._value.get() == 1)
        until(lambda: inspector.metrics.places_taken._value.get() == 0)
        assert post(client, image).status_code == 200


def test_an_answer_that_takes_too_long_is_503_and_its_place_is_taken_until_it_ends(serve, held, image):
    one = QUICK._replace(queue=0)
    with Inspector({"twill": held}, limits=one, threads=1) as inspector, serve(inspector) as client:
        answer = post(client, image)
        assert (answer.status_code, answer.json()) == (503, {"detail": "no answer within 0.5 s"})
        assert post(client, image).status_code == 429, "the worker is still at it"
        held.gate.set()
        until(lambda: inspector.metrics.places_taken._value.get() == 0)
        assert post(client, image).status_code == 200


def test_an_answer_nobody_reads_is_not_waited_for(serve, loaded, image, monkeypatch):
    """Its place is taken until then: answers in the house are as few as images."""
    one = Limits(queue=0, seconds=2)
    monkeypatch.setattr("ssim_ae.server.inspector.b64encode", lambda _data: b"A" * 64 * 2**20)
    with Inspector({"twill": loaded}, limits=one, threads=1) as inspector, serve(inspector) as client:
        with closing(connect(client, head(len(image), path="/v1/inspect?pictures=mask") + image)) as connection:
            until(lambda: inspector.metrics.seconds.labels("twill")._sum.get() > 0)
            time.sleep(0.5)
            assert post(client, image).status_code == 429, "inspected, but not sent"
            until(lambda: inspector.metrics.places_taken._value.get() == 0)
            assert post(client, image).status_code == 200
            assert len(heard(connection)) < 64 * 2**20
        assert len(post(client, image, params={"pictures": "mask"}).json()["pictures"]["mask"]) == 64 * 2**20


def test_two_hundred_at_once_are_answered_or_refused(serve, held, image):
    with Inspector({"twill": held}, limits=Limits(queue=6), threads=2) as inspector, serve(inspector) as client:
        start = threading.Barrier(200)
        refused = threading.Semaphore(0)

        def ask(_number):
            with httpx.Client(base_url=client.base_url, trust_env=False, timeout=30) as own:
                start.wait()
                answer = post(own, image)
                if answer.status_code == 429:
                    assert answer.headers["Retry-After"] == "1"
                    refused.release()
                return answer.status_code

        with ThreadPoolExecutor(200) as clients:
            answers = clients.map(ask, range(200))
            for _ in range(192):
                assert refused.acquire(timeout=30)
            assert client.get("/healthz").status_code == 200
            held.gate.set()
            assert Counter(answers) == {200: 8, 429: 192}
        assert post(client, image).status_code == 200


def test_who_finds_no_place_is_refused_before_the_body_comes(serve, held, image):
    one = Inspector({"twill": held}, limits=Limits(queue=0), threads=1)
    with one as inspector, serve(inspector) as client, ThreadPoolExecutor(1) as first:
        answer = first.submit(post, client, image)
        until(lambda: inspector.metrics.places_taken._value.get() == 1)
        with closing(connect(client, head(32 * 2**20))) as connection:
            assert heard(connection, until=b"}").startswith(b"HTTP/1.1 429 ")
        held.gate.set()
        assert answer.result().status_code == 200


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer", "Basic dDp0", "Bearer secr\xe9t"])
def test_without_the_token_nothing_is_answered(serve, inspector, image, given):
    with serve(inspector, token="secret") as client:
        named = {"Authorization": given.encode("latin-1")} if given else {}
        for method, path in (
            ("POST", "/v1/inspect"), ("POST", "/v1/inspect/batch"), ("GET", "/v1/detectors"), ("GET", "/metrics"),
            ("GET", "/v1/watched"), ("GET", "/v1/watched/1"), ("POST", "/v1/inspect?detector=guessed"),
        ):  # fmt: skip
            answer = client.request(method, path, headers=named)
            assert (answer.status_code, answer.json()) == (401, {"detail": "a token is needed"})
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert client.get("/healthz", headers=named).status_code == 200


def test_with_the_token_all_is_answered(serve, inspector, image):
    with serve(inspector, token="secret") as client:
        client.headers["Authorization"] = "Bearer secret"
        assert post(client, image).status_code == 200
        assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""])
def test_another_host_is_refused(serve, inspector, host):
    with serve(inspector, hosts=["localhost", "127.0.0.1", "[::1]"]) as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == 400
        for own in ("localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000"):
            assert client.get("/healthz", headers={"Host": own}).status_code == 200


def test_another_page_in_the_browser_may_not_ask(client):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/v1/inspect", headers=asked)
    assert answer.status_code == 405 and not any(name.startswith("access-control") for name in answer.headers)
