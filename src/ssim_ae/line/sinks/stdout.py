"""Prints each message on standard output, which has nothing else then."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from ssim_ae.line.outbox import Message
from ssim_ae.line.sinks.sink import Sink

NAME = "stdout:"
STANDARD_OUTPUT = 1  # file descriptor


class StandardOutput(Sink):
    """Standard output, a line of JSON for a message. What the server prints itself goes to standard error."""

    at_once = 100

    def __init__(self) -> None:
        super().__init__(NAME)
        self._redirection = redirect_stdout(sys.stderr)

    def open(self) -> None:
        """Redirect what is printed otherwise."""
        sys.stdout.flush()
        self._redirection.__enter__()

    def send(self, messages: Sequence[Message]) -> None:
        """Print messages, and wait until they are written."""
        left = "".join(f"{message.json}\n" for message in messages).encode()
        while left:  # a pipe may take a part
            left = left[os.write(STANDARD_OUTPUT, left) :]

    def close(self) -> None:
        """End the redirection."""
        self._redirection.__exit__(None, None, None)
