"""Measure the delay from an image to its message: python bench/messages.py DETECTOR IMAGE... --output messages.md

Clients, server, receivers and the broker (Mosquitto) run on the same machine.
"""

import argparse
import asyncio
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from machine import description
from measure import three_digits

HOST = "127.0.0.1"
START_TIMEOUT = 60.0  # seconds
SETTLE = 2.0  # seconds for the last messages
Arrived = Callable[[str], None]  # called with the JSON of a message


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until something listens on a port."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"port {port}: nothing listens on it")


@contextmanager
def webhook(arrived: Arrived) -> Iterator[str]:
    """Receive messages as requests; yield the URL of the sink."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            arrived(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as receiver:
        receiver.daemon_threads = True
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{receiver.server_port}/"
        receiver.shutdown()


@contextmanager
def mqtt(arrived: Arrived) -> Iterator[str]:
    """Receive messages from a broker of our own."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "mosquitto.conf"
        settings.write_text(f"listener {port} {HOST}\nallow_anonymous true\nuser root\n")
        broker = subprocess.Popen(["mosquitto", "-c", str(settings)], stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            subscriber = Client(CallbackAPIVersion.VERSION2)
            subscriber.on_message = lambda _client, _data, message: arrived(message.payload.decode())
            subscriber.connect(HOST, port)
            subscriber.subscribe("line/inspection", 1)
            subscriber.loop_start()
            yield f"mqtt://{HOST}:{port}/line"
            subscriber.disconnect()
            subscriber.loop_stop()
        finally:
            broker.terminate()
            broker.wait()


@contextmanager
def opcua(arrived: Arrived) -> Iterator[str]:
    """Follow the variable Message at a client, once the server runs."""
    from asyncua import ua
    from asyncua.client.client import Client

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it logs the end of the server
    port, is_over = free_port(), threading.Event()

    class Changes:
        def datachange_notification(self, _node: Any, value: str, _data: Any) -> None:
            if value:
                arrived(value)

    async def follow() -> None:
        await asyncio.to_thread(wait_for, port)
        async with Client(f"opc.tcp://{HOST}:{port}/") as client:
            subscription = await client.create_subscription(10, Changes())
            await subscription.subscribe_data_change(
                client.get_node(ua.NodeId(ua.String("bench/Message"), ua.Int16(2))), queuesize=1000
            )
            while not is_over.is_set():
                await asyncio.sleep(0.1)

    follower = threading.Thread(target=lambda: asyncio.run(follow()))
    follower.start()
    yield f"opcua://{HOST}:{port}"
    is_over.set()
    follower.join()


@contextmanager
def standard_output(_arrived: Arrived) -> Iterator[str]:
    """Yield the URL of standard output, which `server` reads."""
    yield "stdout:"


@contextmanager
def nothing(_arrived: Arrived) -> Iterator[str]:
    """Yield no URL, to compare with."""
    yield ""


SINKS = {
    "none": nothing,
    "webhook": webhook,
    "MQTT, QoS 1": mqtt,
    "OPC UA, interval 10 ms": opcua,
    "standard output": standard_output,
}


@contextmanager
def server(detector: Path, sink: str, arrived: Arrived) -> Iterator[int]:
    """Serve with a log and a sink; yield the port. Standard output is read here."""
    port = free_port()
    with tempfile.TemporaryDirectory() as log:
        command = [sys.executable, "-m", "ssim_ae", "serve", str(detector), "--port", str(port)]
        command += ["--log", log, "--station", "bench", "--keep", "none", *(["--sink", sink] if sink else [])]
        environment = {**os.environ, "SSIM_AE_WEBHOOK_SECRET": "bench"}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert process.stdout
        reader = threading.Thread(target=read_lines, args=(process.stdout, arrived))
        reader.start()
        try:
            wait_for(port)
            time.sleep(SETTLE)
            yield port
            time.sleep(SETTLE)
        finally:
            process.terminate()
            process.wait()
            reader.join()
            process.stdout.close()


def read_lines(lines: Any, arrived: Arrived) -> None:
    """Pass on the lines that are messages."""
    for line in lines:
        if line.startswith("{"):
            arrived(line)


def measure(detector: Path, images: Sequence[bytes], kind: str, count: int, pause: float) -> str:
    """Send images one after the other; return the row of a table."""
    sent: list[float] = []
    answered: list[float] = []
    arrivals: dict[int, float] = {}

    def arrived(text: str) -> None:
        moment = time.perf_counter()
        arrivals.setdefault(json.loads(text)["number"], moment)

    with ExitStack() as resources:
        sink = resources.enter_context(SINKS[kind](arrived))
        port = resources.enter_context(server(detector, sink, arrived))
        with closing(http.client.HTTPConnection(HOST, port, timeout=60)) as connection:
            for image in islice(cycle(images), count):
                time.sleep(pause)
                sent.append(time.perf_counter())
                connection.request("POST", "/v1/inspect", image, {"Content-Type": "application/octet-stream"})
                connection.getresponse().read()
                answered.append(time.perf_counter())
    answers = [1000 * (end - start) for start, end in zip(sent, answered, strict=True)]
    row = f"| {kind} | {percentiles(answers)} "
    if not sink:
        return f"{row}| | |"
    if len(arrivals) != count:
        raise SystemExit(f"{kind}: {len(arrivals)} of {count} messages arrived")
    delays = [1000 * (arrivals[number] - start) for number, start in enumerate(sent, 1)]
    later = [1000 * (arrivals[number] - end) for number, end in enumerate(answered, 1)]
    return f"{row}| {percentiles(delays)} | {median(later):+.1f} |"


def percentiles(milliseconds: Sequence[float]) -> str:
    """Return p50 and p99."""
    parts = quantiles(milliseconds, n=100)
    return f"{three_digits(parts[49])}, {three_digits(parts[98])}"


def main() -> None:
    """Measure, print the table, and write it if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", type=Path, help="detector file, or folder of a run")
    parser.add_argument("images", type=Path, nargs="+", metavar="image", help="images that the client sends")
    parser.add_argument("--count", type=int, default=500, help="images for each sink (500)")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between an answer and the next image (0.05)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table as Markdown")
    options = parser.parse_args()
    images = [path.read_bytes() for path in options.images]
    lines = ["# From an image to its message", "", description(), f"- images per sink: {options.count}", ""]
    lines += [
        "| sink | image to answer: p50, p99, ms | image to message: p50, p99, ms | answer to message: p50, ms |",
        "|---|---|---|---|",
    ]
    for kind in SINKS:
        lines.append(measure(options.detector, images, kind, options.count, options.pause))
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
