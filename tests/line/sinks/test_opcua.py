"""The variables of the OPC UA server at a real client."""

import asyncio
import socket
from math import isnan

import pytest

pytest.importorskip("asyncua")
from asyncua import Client, ua

from ssim_ae.errors import InputError
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.line.sinks.places import sinks_of

from ..conftest import KEEP_ALL, record
from .receivers import parsed


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    with InspectionLog.open(str(tmp_path_factory.mktemp("log")), station="line-1", rule=KEEP_ALL) as log:
        yield log


@pytest.fixture(scope="module")
def port(log):
    """The port of a server; it takes seconds to start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Deliveries(log, sinks_of([f"opcua://127.0.0.1:{port}"], log.station, ["press1", "press2"])):
        yield port


def variable(client, name, station="line-1"):
    return client.get_node(ua.NodeId(f"{station}/{name}", 2))


class Changes(list):
    """Keeps the values of changes."""

    def datachange_notification(self, _node, value, _data):
        self.append(value)


async def until(is_so):
    for _ in range(2000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_client_reads_and_follows(log, port):
    async def follow():
        async with Client(f"opc.tcp://127.0.0.1:{port}/") as client:
            assert await variable(client, "Counter").read_value() == 0
            messages, beats = Changes(), Changes()
            for changes, name in ((messages, "Message"), (beats, "Heartbeat")):
                subscription = await client.create_subscription(10, changes)
                await subscription.subscribe_data_change(variable(client, name), queuesize=1000)
            await until(lambda: messages == [""])
            for number in range(1, 40):
                await asyncio.to_thread(record, log, number, score=number / 20)
            await asyncio.to_thread(record, log, 40, error="no image")
            await until(lambda: len(messages) == 41)
            assert [parsed(message)["number"] for message in messages[1:]] == list(range(1, 41))
            names = ("Counter", "Verdict", "Number", "Name", "Threshold", "Score", "Detector")
            *values, score, detector = [await variable(client, name).read_value() for name in names]
            assert values[:4] == [40, "error", 40, "40.png"] and isnan(values[4]) and isnan(score)
            assert detector == "bottle" and (await variable(client, "Time").read_value()).hour == 12
            await asyncio.to_thread(record, log, 41, score=1.5)
            await until(lambda: len(messages) == 42)
            assert [await variable(client, name).read_value() for name in ("Score", "Verdict")] == [1.5, "nok"]
            await until(lambda: len(beats) > 2)

    asyncio.run(follow())


def test_each_source_has_an_object_and_is_named(log, port):
    async def follow():
        async with Client(f"opc.tcp://127.0.0.1:{port}/") as client:
            messages = Changes()
            subscription = await client.create_subscription(10, messages)
            await subscription.subscribe_data_change(variable(client, "Id"), queuesize=1000)
            await until(lambda: messages)
            sent = {"press1": "1.png", "press2": "2.png", "press-of-an-earlier-start": "3.png"}
            for count, (station, name) in enumerate(sent.items(), 2):
                await asyncio.to_thread(record, log, station=station, name=name)
                await until(lambda count=count: len(messages) == count)
                assert await variable(client, "Station").read_value() == station
            for station, counter in (("press1", 1), ("press2", 1)):
                names = ("Name", "Station", "Counter")
                values = [await variable(client, name, station).read_value() for name in names]
                assert values == [sent[station], station, counter]
            assert await variable(client, "Name").read_value() == "3.png"
            beats = await variable(client, "Heartbeat", "press1").read_value()
            assert beats > 0

    asyncio.run(follow())


@pytest.mark.parametrize("user", [None, "admin"])
def test_no_client_may_write(port, user):
    async def write():
        client = Client(f"opc.tcp://127.0.0.1:{port}/")
        if user:
            client.set_user(user)
            client.set_password("admin")
        async with client:
            with pytest.raises(ua.UaStatusCodeError):
                await variable(client, "Verdict").write_value("ok")
            with pytest.raises(ua.UaStatusCodeError):
                await client.nodes.objects.add_variable(2, "new", 1)

    asyncio.run(write())


def test_a_port_in_use_is_one_line(port, tmp_path):
    url = f"opcua://127.0.0.1:{port}"
    message = rf"^--sink: {url}: .*already in use.*; choose another address$"
    with InspectionLog.open(str(tmp_path)) as log, pytest.raises(InputError, match=message):
        Deliveries(log, sinks_of([url], log.station)).__enter__()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_an_address_of_the_network_is_noted(monkeypatch, capsys, host):
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    (sink,) = sinks_of([f"opcua://{host}:{port}"], "line-1")

    async def start():
        pass

    monkeypatch.setattr(sink, "_start", start)
    sink.open()
    sink.close()
    note = f"note: opcua://{host}:{port}: anyone on this network can read the results of this station\n"
    assert capsys.readouterr().err == (note if host == "0.0.0.0" else "")
