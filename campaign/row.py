"""What the campaign tells: a row a fault."""

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """A fault, how often it was tried, what came of it, the promise it backs, and where it went wrong, if it did."""

    fault: str
    times: int
    outcome: str
    promise: str
    failures: Sequence[str] = ()

    def __str__(self) -> str:
        ended = f"{len(self.failures)} of them failed" if self.failures else self.outcome
        return f"| {self.fault} | {self.times:,} | {ended} | {self.promise} |"
