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
SHORT_TIMEOUT = Limits(timeout=0.5)


def post(client, data, **options):
    return client.post("/v1/inspect", content=data, headers=PNG, **options)


def connect(client, sent=b""):
    address = (client.base_url.host, client.base_url.port)
    connection = socket.create_connection(address, timeout=10)
    connection.sendall(sent)
    return connection


def received(connection, until=None):
    """Return what the server sends until it closes the connection, or up to the bytes `until`."""
    content = b""
    with suppress(ConnectionResetError):
        while (until is None or not content.endswith(until)) and (piece := connection.recv(65_536)):
            content += piece
    return content


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def head(length, *, path="/v1/inspect"):
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: image/png", f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_returns_413(serve, loaded, image, chunked):
    small = Limits(max_bytes=len(image))
    with Inspector({"twill": loaded}, limits=small) as inspector, serve(inspector) as client:
        data = image + b"\0"
        response = post(client, iter([data[:900], data[900:]]) if chunked else data)
        assert response.status_code == 413
        assert response.json() == {
            "detail": f"body: larger than {len(image) / 2**20:.3g} MiB; send smaller or fewer images"
        }
        assert post(client, iter([image]) if chunked else image).status_code == 200
        form = client.post("/v1/inspect", files={"image": image})
        assert form.status_code == 413, "the limit applies to the body, not to the image"


def test_a_content_length_over_the_limit_is_refused_before_the_body(client):
    with closing(connect(client, head(10**12))) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_is_not_read_to_the_end(client, monkeypatch):
    monkeypatch.setattr(limits, "HEAD_TIMEOUT", 0.3)
    start = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    piece = b"100000\r\n" + bytes(2**20) + b"\r\n"
    with closing(connect(client, start)) as connection, pytest.raises(OSError):
        started = time.monotonic()
        while time.monotonic() < started + 10:
            connection.sendall(piece)


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/inspect HTTP/1.1\r\nHost: local", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03"]
)
def test_a_connection_without_a_complete_head_is_closed(client, monkeypatch, sent):
    monkeypatch.setattr(limits, "HEAD_TIMEOUT", 0.3)
    started = time.monotonic()
    with closing(connect(client, sent)) as connection:
        content = received(connection)
    assert content == b"" or content.startswith(b"HTTP/1.1 400 ")
    assert time.monotonic() - started < 2


def test_a_head_that_arrives_slowly_is_cut_off(client, monkeypatch):
    monkeypatch.setattr(limits, "HEAD_TIMEOUT", 0.3)
    started = time.monotonic()
    with closing(connect(client, b"GET /healthz HTTP/1.1\r\n")) as connection, pytest.raises(OSError):
        while time.monotonic() < started + 10:
            connection.sendall(b"X-Slow: yes\r\n")
            time.sleep(0.05)
    assert time.monotonic() - started < 2


def test_a_connection_serves_many_requests(client, monkeypatch):
    monkeypatch.setattr(limits, "HEAD_TIMEOUT", 0.3)
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with closing(connect(client)) as connection:
        for _ in range(4):
            time.sleep(0.15)
            connection.sendall(request)
            assert received(connection, until=b'{"status":"ok"}').startswith(b"HTTP/1.1 200 ")
        connection.sendall(3 * request)
        assert received(connection).count(b"HTTP/1.1 200 ") == 3


def test_responses_on_one_connection_are_not_delayed(client):
    """Without TCP_NODELAY each takes 40 ms: its body waits until the client acknowledges its head."""
    times = []
    for _ in range(20):
        started = time.monotonic()
        client.get("/healthz")
        times.append(time.monotonic() - started)
    assert median(times) < 0.03


def test_the_longest_idle_of_too_many_connections_is_closed(serve, inspector, monkeypatch):
    monkeypatch.setattr(limits, "max_connections", lambda: 5)
    with ExitStack() as opened:
        client = opened.enter_context(serve(inspector))
        idle = [opened.enter_context(closing(connect(client))) for _ in range(8)]
        for connection in idle[:3]:
            assert received(connection) == b""
        assert client.get("/healthz").status_code == 200
        assert received(idle[3]) == b""
        assert client.get("/healthz").status_code == 200
        idle[4].settimeout(0.2)
        with pytest.raises(TimeoutError):
            idle[4].recv(1)


def test_a_slow_body_returns_408_and_releases_its_slot(serve, loaded, image):
    one = SHORT_TIMEOUT._replace(queue=0)
    with Inspector({"twill": loaded}, limits=one, threads=1) as inspector, serve(inspector) as client:
        with closing(connect(client, head(len(image)))) as connection:
            connection.sendall(image[:100])
            wait_until(lambda: inspector.metrics.queue_slots_used._value.get() == 1)
            assert post(client, image).status_code == 429
            response = received(connection, until=b"}")
            assert response.startswith(b"HTTP/1.1 408 ")
            assert b'"body: not received within 0.5 s; send it again"' in response
        assert post(client, image).status_code == 200


def test_a_disconnected_client_releases_its_slot(serve, loaded, image):
    one = Limits(queue=0)
    with Inspector({"twill": loaded}, limits=one, threads=1) as inspector, serve(inspector) as client:
        with closing(connect(client, head(len(image)))) as connection:
            connection.sendall(image[:100])
            wait_until(lambda: inspector.metrics.queue_slots_used._value.get() == 1)
        wait_until(lambda: inspector.metrics.queue_slots_used._value.get() == 0)
        assert post(client, image).status_code == 200


def test_a_slow_inspection_returns_503_and_keeps_its_slot_until_it_ends(serve, blocking_detector, image):
    one = SHORT_TIMEOUT._replace(queue=0)
    with Inspector({"twill": blocking_detector}, limits=one, threads=1) as inspector, serve(inspector) as client:
        response = post(client, image)
        assert (response.status_code, response.json()) == (
            503,
            {"detail": "response: not ready within 0.5 s; try again"},
        )
        assert post(client, image).status_code == 429, "the worker is still busy"
        blocking_detector.gate.set()
        wait_until(lambda: inspector.metrics.queue_slots_used._value.get() == 0)
        assert post(client, image).status_code == 200


def test_a_response_that_is_not_read_times_out(serve, loaded, image, monkeypatch):
    """It keeps its queue slot until then, so the slots also bound the responses in memory."""
    one = Limits(queue=0, timeout=4)
    monkeypatch.setattr("ssim_ae.server.inspector.b64encode", lambda _data: b"A" * 64 * 2**20)
    with Inspector({"twill": loaded}, limits=one, threads=1) as inspector, serve(inspector) as client:
        with closing(connect(client, head(len(image), path="/v1/inspect?pictures=mask") + image)) as connection:
            wait_until(lambda: inspector.metrics.inspection_seconds.labels("twill")._sum.get() > 0)
            time.sleep(0.5)
            assert post(client, image).status_code == 429, "inspected, but not sent"
            wait_until(lambda: inspector.metrics.queue_slots_used._value.get() == 0)
            assert post(client, image).status_code == 200
            assert len(received(connection)) < 64 * 2**20
        assert len(post(client, image, params={"pictures": "mask"}).json()["pictures"]["mask"]) == 64 * 2**20


def test_two_hundred_clients_are_served_or_refused(serve, blocking_detector, image):
    with (
        Inspector({"twill": blocking_detector}, limits=Limits(queue=6), threads=2) as inspector,
        serve(inspector) as client,
    ):
        start = threading.Barrier(200)
        refused = threading.Semaphore(0)

        def post_image(_number):
            with httpx.Client(base_url=client.base_url, trust_env=False, timeout=30) as own_client:
                start.wait()
                response = post(own_client, image)
                if response.status_code == 429:
                    assert response.headers["Retry-After"] == "1"
                    refused.release()
                return response.status_code

        with ThreadPoolExecutor(200) as clients:
            statuses = clients.map(post_image, range(200))
            for _ in range(192):
                assert refused.acquire(timeout=30)
            assert client.get("/healthz").status_code == 200
            blocking_detector.gate.set()
            assert Counter(statuses) == {200: 8, 429: 192}
        assert post(client, image).status_code == 200


def test_a_request_without_a_free_slot_is_refused_before_its_body(serve, blocking_detector, image):
    one = Inspector({"twill": blocking_detector}, limits=Limits(queue=0), threads=1)
    with one as inspector, serve(inspector) as client, ThreadPoolExecutor(1) as first:
        response = first.submit(post, client, image)
        wait_until(lambda: inspector.metrics.queue_slots_used._value.get() == 1)
        with closing(connect(client, head(32 * 2**20))) as connection:
            assert received(connection, until=b"}").startswith(b"HTTP/1.1 429 ")
        blocking_detector.gate.set()
        assert response.result().status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic dDp0", "Bearer secr\xe9t"])
def test_requests_without_the_token_are_refused(serve, inspector, image, header):
    with serve(inspector, token="secret") as client:
        headers = {"Authorization": header.encode("latin-1")} if header else {}
        for method, path in (
            ("POST", "/v1/inspect"), ("POST", "/v1/inspect/batch"), ("GET", "/v1/detectors"), ("GET", "/metrics"),
            ("GET", "/v1/watched"), ("GET", "/v1/watched/1"), ("POST", "/v1/inspect?detector=guessed"),
        ):  # fmt: skip
            response = client.request(method, path, headers=headers)
            assert (response.status_code, response.json()) == (
                401,
                {"detail": "token: missing or wrong; send a valid Bearer token"},
            )
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert client.get("/healthz", headers=headers).status_code == 200


def test_requests_with_the_token_are_served(serve, inspector, image):
    with serve(inspector, token="secret") as client:
        client.headers["Authorization"] = "Bearer secret"
        assert post(client, image).status_code == 200
        assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""])
def test_a_foreign_host_header_is_refused(serve, inspector, host):
    with serve(inspector, allowed_hosts=["localhost", "127.0.0.1", "[::1]"]) as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == 400
        for own in ("localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000"):
            assert client.get("/healthz", headers={"Host": own}).status_code == 200


def test_cross_origin_requests_are_refused(client):
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = client.options("/v1/inspect", headers=preflight)
    assert response.status_code == 405 and not any(name.startswith("access-control") for name in response.headers)
