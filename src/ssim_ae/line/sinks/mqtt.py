"""Publishes messages to an MQTT broker, with a state that the broker changes if the server is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from threading import Condition
from typing import Any
from urllib.parse import unquote

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ssim_ae.errors import InputError
from ssim_ae.line.outbox import Message
from ssim_ae.line.sinks.sink import Place, Sink, secret_of

PASSWORD_VARIABLE = "SSIM_AE_MQTT_PASSWORD"
KEEP_ALIVE = 10  # seconds: after one and a half of them, the broker says that the server is gone
TIMEOUT = 10.0  # seconds to wait for the broker
AT_LEAST_ONCE = 1  # quality of service


class Mqtt(Sink):
    """A topic of a broker. Messages are published to TOPIC/KIND, `online` or `offline` is retained in TOPIC/state.

    A message is delivered once the broker has confirmed it.
    """

    at_once = 20

    def __init__(self, place: Place, station: str) -> None:
        super().__init__(place.name)
        if place.query:
            raise InputError(f"--sink: {place.name}: takes no query")
        self._place = place
        self._topic = unquote(place.path).strip("/")
        if not self._topic or self._topic.startswith("$") or any(sign in self._topic for sign in "+#\0"):
            raise InputError(f"--sink: {place.name}: names no topic; write {place.scheme}://HOST/TOPIC, without + # $")
        self._user = unquote(place.user)
        self._password = secret_of(PASSWORD_VARIABLE, f"the password of {self._user}") if self._user else ""
        # The broker ends a connection of this name that a power failure has left, and its state, before a new one.
        self._client_id = f"ssim-ae-{sha256(f'{self._topic} {station}'.encode()).hexdigest()[:15]}"
        self._client: Client | None = None
        self._changed = Condition()  # of what the client's thread tells:
        self._is_connected = False
        self._error = ""
        self._confirmed: set[int] = set()

    def beat(self) -> None:
        """Connect again, if the connection is lost."""
        self._connected()

    def send(self, messages: Sequence[Message]) -> None:
        """Publish messages, and wait until the broker has confirmed them all."""
        client = self._connected()
        self._publish(client, [(f"{self._topic}/{message.kind}", message.json, False) for message in messages])

    def close(self) -> None:
        """Say that the server is offline, and disconnect."""
        if self._client and self._is_connected:
            with suppress(InputError):  # the broker says it
                self._publish(self._client, [(f"{self._topic}/state", "offline", True)])
        self._drop_client()

    def _connected(self) -> Client:
        if self._client and self._is_connected:
            return self._client
        self._drop_client()
        client = self._client = self._new_client()
        client.connect(self._place.host, self._place.port, KEEP_ALIVE)
        client.loop_start()
        self._wait(lambda: self._is_connected)
        self._publish(client, [(f"{self._topic}/state", "online", True)])
        return client

    def _new_client(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=MQTTv311, reconnect_on_failure=False)
        client.connect_timeout = TIMEOUT
        if self._user:
            client.username_pw_set(self._user, self._password)
        if self._place.scheme == "mqtts":
            client.tls_set()
        client.will_set(f"{self._topic}/state", "offline", AT_LEAST_ONCE, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _drop_client(self) -> None:
        if self._client:
            self._client.disconnect()
            self._client.loop_stop()
        self._client, self._is_connected, self._error = None, False, ""
        self._confirmed.clear()

    def _publish(self, client: Client, messages: Sequence[tuple[str, str, bool]]) -> None:
        """Publish texts to topics, retained or not, and wait until all are confirmed."""
        sent = {client.publish(topic, text, AT_LEAST_ONCE, retain).mid for topic, text, retain in messages}
        self._wait(lambda: sent <= self._confirmed)
        self._confirmed.clear()

    def _wait(self, is_done: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: is_done() or self._error, TIMEOUT)
            if not is_done():
                self._is_connected = False
                raise InputError(self._error or f"no answer within {TIMEOUT:g} s")

    # Called by the client's thread

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        with self._changed:
            self._is_connected = not reason.is_failure
            self._error = str(reason) if reason.is_failure else ""
            self._changed.notify()

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        with self._changed:
            self._is_connected = False
            self._error = self._error or f"connection lost: {reason}"
            self._changed.notify()

    def _on_publish(self, _client: Client, _data: Any, number: int, _reason: ReasonCode, _properties: Any) -> None:
        with self._changed:
            self._confirmed.add(number)
            self._changed.notify()
