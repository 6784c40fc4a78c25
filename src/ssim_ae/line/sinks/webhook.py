"""Sends each message as a POST request, signed."""

from __future__ import annotations

import hmac
import http.client
from collections.abc import Sequence

from ssim_ae import __version__
from ssim_ae.errors import InputError
from ssim_ae.line.outbox import Message
from ssim_ae.line.sinks.sink import Place, Sink, secret_of

SECRET_VARIABLE = "SSIM_AE_WEBHOOK_SECRET"
TIMEOUT = 10.0  # seconds to wait for the network
MAX_ANSWER = 2**16  # bytes that are read of a response; its content does not matter
CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class Webhook(Sink):
    """A receiver of POST requests. A message is delivered if the status is 2xx; redirects are not followed."""

    def __init__(self, place: Place) -> None:
        if place.user:
            raise InputError(f"--sink: {place.name}: takes no user; messages are signed")
        super().__init__(place.name)
        self._target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        self._secret = secret_of(SECRET_VARIABLE, "the secret that signs messages").encode()
        self._connection = CONNECTIONS[place.scheme](place.host, place.port, timeout=TIMEOUT)

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages, each as a request."""
        for message in messages:
            body = message.json.encode()
            headers = {
                "Content-Type": "application/json",
                "User-Agent": f"ssim-ae/{__version__}",
                "X-SSIM-AE-Id": message.id,
                "X-SSIM-AE-Signature": f"sha256={hmac.digest(self._secret, body, 'sha256').hex()}",
            }
            status = self._post(body, headers)
            if not 200 <= status < 300:
                raise InputError(f"status {status}{' (redirects are not followed)' if 300 <= status < 400 else ''}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        is_reused = self._connection.sock is not None
        try:
            return self._exchange(body, headers)
        except (ConnectionError, http.client.HTTPException):
            if not is_reused:
                raise
            return self._exchange(body, headers)  # the receiver had closed the connection

    def _exchange(self, body: bytes, headers: dict[str, str]) -> int:
        is_complete = False
        try:
            self._connection.request("POST", self._target, body, headers)
            with self._connection.getresponse() as response:
                response.read(MAX_ANSWER)
                is_complete = response.isclosed()
                return response.status
        finally:
            if not is_complete:
                self._connection.close()
