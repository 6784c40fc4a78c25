"""Shows the last inspection of a station, and of each of its sources, as variables of an OPC UA server."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from math import nan
from threading import Thread
from typing import Any, Self

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

from ssim_ae.console import print_note
from ssim_ae.errors import InputError
from ssim_ae.line.outbox import Message
from ssim_ae.line.sinks.sink import Place, Sink

NAMESPACE = "urn:ssim-ae"
TIMEOUT = 20.0  # seconds for some messages
HEARTBEAT = 1.0  # seconds
NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)  # as OPC UA defines it
VARIABLES = {  # in the order in which they are written: who waits for Counter to change then reads what belongs to it
    "Message": ua.Variant("", ua.VariantType.String),  # JSON
    "Id": ua.Variant("", ua.VariantType.String),
    "Number": ua.Variant(0, ua.VariantType.Int64),
    "Time": ua.Variant(NO_TIME, ua.VariantType.DateTime),
    "Station": ua.Variant("", ua.VariantType.String),  # the source, if it has a name of its own
    "Name": ua.Variant("", ua.VariantType.String),
    "Detector": ua.Variant("", ua.VariantType.String),
    "Verdict": ua.Variant("", ua.VariantType.String),
    "Score": ua.Variant(nan, ua.VariantType.Double),
    "Threshold": ua.Variant(nan, ua.VariantType.Double),
    "Counter": ua.Variant(0, ua.VariantType.UInt32),  # of inspections since the start
    "Heartbeat": ua.Variant(0, ua.VariantType.UInt32),
}


class Readers(UserManager):
    """All clients may read, and none may write: asyncua takes any that calls itself admin for one."""

    def get_user(self, *_arguments: Any, **_more: Any) -> User:
        """Return a user that may not change anything."""
        return User(UserRole.User)


class StationObject:
    """The variables of an object with the name of a station."""

    def __init__(self, variables: Mapping[str, Node]) -> None:
        self._variables = variables
        self._values = {"Counter": 0, "Heartbeat": 0}

    @classmethod
    async def add_to(cls, server: Server, namespace: ua.Int16, station: str) -> Self:
        """Add the object to a server."""
        parent = await server.nodes.objects.add_object(ua.NodeId(ua.String(station), namespace), station)
        variables = {}
        for name, initial in VARIABLES.items():
            node = ua.NodeId(ua.String(f"{station}/{name}"), namespace)
            variables[name] = await parent.add_variable(node, name, initial)
        return cls(variables)

    async def show(self, message: Message) -> None:
        """Write the values of a message."""
        values = {"Message": message.json, "Id": message.id, "Number": message.number, "Time": message.time}
        if message.kind == "inspection":
            data = message.data
            values |= {name.capitalize(): data[name] for name in ("station", "name", "detector", "verdict")}
            values |= {name.capitalize(): _number(data[name]) for name in ("score", "threshold")}
            values["Counter"] = (self._values["Counter"] + 1) % 2**32
        await self._write(**values)

    async def beat(self) -> None:
        """Count the heartbeat up."""
        await self._write(Heartbeat=(self._values["Heartbeat"] + 1) % 2**32)

    async def _write(self, **values: Any) -> None:
        for name, initial in VARIABLES.items():
            if name in values:
                await self._variables[name].write_value(ua.Variant(values[name], initial.VariantType))
        self._values |= {name: values[name] for name in self._values if name in values}


class OpcUa(Sink):
    """An OPC UA server on this machine, with an object for the station, and one for each of its sources.

    The object of the station shows all messages, that of a source those of this source. A message is delivered once its
    values are written; a client that is away then sees the last one alone.
    """

    at_once = 100

    def __init__(self, place: Place, station: str, sources: Sequence[str] = ()) -> None:
        super().__init__(place.name)
        if place.query or place.path.strip("/") or place.user:
            raise InputError(f"--sink: {place.name}: should be opcua://HOST:PORT alone")
        self._place = place
        self._station = station
        self._sources = sources
        self._server: Server | None = None
        self._objects: dict[str, StationObject] = {}
        self._last_beat = 0.0

    def open(self) -> None:
        """Start the server. Raises InputError if the address is not available."""
        address = (self._place.host, self._place.port)
        try:  # before the seconds that the server takes
            family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
            with socket.create_server(address, family=family) as listener:
                is_loopback = ip_address(listener.getsockname()[0]).is_loopback
        except OSError as error:
            raise InputError(f"--sink: {self.name}: {error.strerror or error}; choose another address") from error
        if not is_loopback:
            print_note(f"{self.name}: anyone on this network can read the results of this station")
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=self.name, daemon=True)
        self._thread.start()
        try:
            self._run(self._start(), timeout=None)
        except BaseException:
            self.close()
            raise

    def beat(self) -> None:
        """Count the heartbeat up every second."""
        if time.monotonic() - self._last_beat >= HEARTBEAT:
            self._last_beat = time.monotonic()
            self._run(self._beat())

    def send(self, messages: Sequence[Message]) -> None:
        """Write the values of messages, one after the other."""
        self._run(self._show(messages))

    def close(self) -> None:
        """Stop the server."""
        if self._server:
            self._run(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None], timeout: float | None = TIMEOUT) -> None:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(timeout)
        finally:
            future.cancel()  # of no effect if it is done

    async def _start(self) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it logs every client that disconnects
        server = Server(user_manager=Readers())
        await server.init()
        host = f"[{self._place.host}]" if ":" in self._place.host else self._place.host
        server.set_endpoint(f"opc.tcp://{host}:{self._place.port}/")
        server.set_server_name("SSIM-AE")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        namespace = ua.Int16(await server.register_namespace(NAMESPACE))
        for name in dict.fromkeys((self._station, *self._sources)):
            self._objects[name] = await StationObject.add_to(server, namespace, name)
        await server.start()
        self._server = server

    async def _show(self, messages: Sequence[Message]) -> None:
        for message in messages:
            for name in dict.fromkeys((message.data["station"], self._station)):
                if name in self._objects:  # not the one of a source that the server had before
                    await self._objects[name].show(message)

    async def _beat(self) -> None:
        for station in self._objects.values():
            await station.beat()


def _number(value: float | None) -> float:
    return nan if value is None else value
