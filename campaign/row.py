"""A row of the table of results."""

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """A fault, the number of trials, the outcome, the guarantee that is tested, and a line for each failure."""

    fault: str
    times: int
    outcome: str
    guarantee: str
    failures: Sequence[str] = ()

    def __str__(self) -> str:
        outcome = f"{len(self.failures)} of them failed" if self.failures else self.outcome
        return f"| {self.fault} | {self.times:,} | {outcome} | {self.guarantee} |"
