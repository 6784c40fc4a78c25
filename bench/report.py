"""Comparisons as rows of a Markdown table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import machine
from measure import Timing, three_digits

COLUMNS = ("", "SSIM-AE", "baseline", "ratio", "target", "met")
EMPTY = "–"
FASTER = "× as fast"


class Target(NamedTuple):
    """A lower or upper bound for a ratio."""

    sign: str  # ≥ or ≤
    value: float

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"

    def met(self, ratio: float) -> bool:
        """Return whether a ratio meets the target."""
        return ratio >= self.value if self.sign == "≥" else ratio <= self.value


class Row(NamedTuple):
    """Two measurements and their ratio, in `unit`. If the ratio is None, `baseline` holds the reason."""

    name: str
    ours: str
    baseline: str
    ratio: float | None
    unit: str = ""
    target: Target | None = None
    note: str = ""

    @classmethod
    def not_measured(cls, name: str, reason: object) -> Self:
        """Return the row of a comparison that could not be measured."""
        return cls(name, EMPTY, f"not measured: {reason}", None)

    @classmethod
    def faster(cls, name: str, ours: Timing, baseline: Timing, target: float | None = None, note: str = "") -> Self:
        """Return the row of a speedup: the duration of the baseline divided by ours."""
        bound = None if target is None else Target("≥", target)
        ratio = baseline.median / ours.median
        return cls(name, ours.duration(), baseline.duration(), ratio, FASTER, bound, note)

    @classmethod
    def longer(cls, name: str, ours: Timing, baseline: Timing, target: float | None = None) -> Self:
        """Return the row of a relative duration: ours divided by that of the baseline."""
        bound = None if target is None else Target("≤", target)
        ratio = ours.median / baseline.median
        return cls(name, ours.duration(), baseline.duration(), ratio, "× the time", bound)

    @classmethod
    def within(cls, name: str, value: float, maximum: float, unit: str = "", note: str = "") -> Self:
        """Return the row of a value that is compared with the maximum allowed."""
        ours, baseline = f"{value:.2g}{unit}", f"maximum {maximum:g}{unit}"
        return cls(name, ours, baseline, value / maximum, "× the maximum", Target("≤", 1), note)

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the table."""
        if self.ratio is None:
            return self.name, self.ours, self.baseline, EMPTY, EMPTY, EMPTY
        met = EMPTY if self.target is None else "yes" if self.target.met(self.ratio) else "no"
        ratio = f"{three_digits(self.ratio)} {self.unit}"
        return self.name, self.ours, self.baseline, ratio, str(self.target or EMPTY), met


def comparison(rows: Sequence[Row]) -> str:
    """Return the table of all rows, followed by their notes."""
    notes = [f"- {row.name}: {row.note}" for row in rows if row.note]
    return "\n\n".join([table(COLUMNS, [row.cells for row in rows]), *(["\n".join(notes)] if notes else [])])


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def document(title: str, method: str, body: str) -> str:
    """Return a complete Markdown file: the machine, the method of measurement and the results."""
    return f"# {title}\n\n{machine.description()}\n\n{method}\n\n{body}\n"
