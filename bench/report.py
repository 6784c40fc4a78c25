"""Comparisons as rows of a Markdown table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import machine
from measure import Timing, figure

COLUMNS = ("", "ours", "the other", "ratio", "target", "met")
NOTHING = "–"
FASTER = "× as fast"


class Target(NamedTuple):
    """What a ratio should be: at least or at most a value."""

    sign: str  # ≥ or ≤
    value: float

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"

    def met(self, ratio: float) -> bool:
        """Return whether a ratio is as it should be."""
        return ratio >= self.value if self.sign == "≥" else ratio <= self.value


class Row(NamedTuple):
    """Two measurements and their ratio, which `unit` explains. Without a ratio, `other` says why there is none."""

    name: str
    ours: str
    other: str
    ratio: float | None
    unit: str = ""
    target: Target | None = None
    note: str = ""

    @classmethod
    def left_out(cls, name: str, reason: object) -> Self:
        """Return the row of a comparison that could not be made."""
        return cls(name, NOTHING, f"left out: {reason}", None)

    @classmethod
    def faster(cls, name: str, ours: Timing, other: Timing, target: float | None = None, note: str = "") -> Self:
        """Return how many times as fast as the other we do the same work."""
        wanted = None if target is None else Target("≥", target)
        return cls(name, ours.duration(), other.duration(), other.median / ours.median, FASTER, wanted, note)

    @classmethod
    def longer(cls, name: str, ours: Timing, other: Timing, target: float | None = None) -> Self:
        """Return how many times as long as the other we take."""
        wanted = None if target is None else Target("≤", target)
        return cls(name, ours.duration(), other.duration(), ours.median / other.median, "× the time", wanted)

    @classmethod
    def within(cls, name: str, value: float, limit: float, unit: str = "", note: str = "") -> Self:
        """Return a value as a share of its limit."""
        ours, other = f"{value:.2g}{unit}", f"limit {limit:g}{unit}"
        return cls(name, ours, other, value / limit, "of the limit", Target("≤", 1), note)

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in the table."""
        if self.ratio is None:
            return self.name, self.ours, self.other, NOTHING, NOTHING, NOTHING
        met = NOTHING if self.target is None else "yes" if self.target.met(self.ratio) else "no"
        return self.name, self.ours, self.other, f"{figure(self.ratio)} {self.unit}", str(self.target or NOTHING), met


def comparison(rows: Sequence[Row]) -> str:
    """Return the table of all rows, and their notes below."""
    notes = [f"- {row.name}: {row.note}" for row in rows if row.note]
    return "\n\n".join([table(COLUMNS, [row.cells for row in rows]), *(["\n".join(notes)] if notes else [])])


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def document(title: str, how: str, body: str) -> str:
    """Return a whole Markdown file: what was measured on, how, and what came out."""
    return f"# {title}\n\n{machine.description()}\n\n{how}\n\n{body}\n"
