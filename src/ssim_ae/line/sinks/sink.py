"""The interface of a sink, and the URL that names its place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from ssim_ae.errors import InputError
from ssim_ae.line.outbox import Message


class Sink:
    """A place that receives messages. One thread calls its methods.

    `send` and `beat` raise an error, of any type, if the place cannot be reached now: they are called again later.
    """

    at_once = 1  # messages that `send` takes at most; after an error they are all sent again

    def __init__(self, name: str) -> None:
        self.name = name  # its URL, without what may be secret

    def open(self) -> None:
        """Prepare on this machine what the sink needs. Raises InputError if that is not available."""

    def beat(self) -> None:
        """Show that the server is alive. Called every second at least."""

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages in their order, and return when the place has confirmed them all."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what the sink holds."""


class Place(NamedTuple):
    """The parts of a URL."""

    scheme: str
    host: str
    port: int
    user: str
    path: str
    query: str

    @property
    def name(self) -> str:
        """The URL without user and query, which may be secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def place_of(url: str, default_port: int) -> Place:
    """Return the parts of a URL. Raises InputError if it is not valid, or holds a password."""
    try:
        parts = urlsplit(url)
        port = default_port if parts.port is None else parts.port
    except ValueError as error:
        raise InputError(f"--sink: {url}: not a valid URL: {error}") from error
    if parts.password is not None:
        raise InputError(
            "--sink: a password in a URL is visible to all users of this machine; use SSIM_AE_MQTT_PASSWORD"
        )
    if not parts.hostname or not port:
        raise InputError(f"--sink: {url}: names no host or port; write {parts.scheme}://HOST:PORT")
    if parts.fragment:
        raise InputError(f"--sink: {url}: should have no #; write %23")
    return Place(parts.scheme, parts.hostname, port, parts.username or "", parts.path, parts.query)


def secret_of(variable: str, purpose: str) -> str:
    """Return a secret from an environment variable. Raises InputError if it is not set."""
    secret = os.environ.get(variable, "")
    if not secret:
        raise InputError(f"--sink: {variable} is not set; set this environment variable to {purpose}")
    return secret
