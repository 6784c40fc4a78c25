"""Timing of functions. Those that are compared run alternately, so that a slow phase of the machine affects all."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple, Self

Function = Callable[[], object]


class Timing(NamedTuple):
    """The duration of each repeat of one function, in seconds."""

    seconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: list[float]) -> Self:
        """Return the timing of repeats that were measured elsewhere."""
        return cls(tuple(seconds))

    @property
    def median(self) -> float:
        """The median duration, in seconds."""
        return median(self.seconds)

    @property
    def minimum(self) -> float:
        """The duration of the fastest repeat, in seconds."""
        return min(self.seconds)

    def duration(self) -> str:
        """Return the median, and minimum and maximum in brackets, in ms or s."""
        factor, unit = (1000, "ms") if self.median < 1 else (1, "s")
        low, middle, high = (three_digits(factor * value) for value in (self.minimum, self.median, max(self.seconds)))
        return f"{middle} {unit} ({low}-{high})"

    def rate(self, amount: float, unit: str) -> str:
        """Return the median rate if a repeat processes `amount` units, and minimum and maximum in brackets."""
        low, middle, high = (three_digits(amount / value) for value in (max(self.seconds), self.median, self.minimum))
        return f"{middle} {unit}/s ({low}-{high})"


def alternate(functions: Mapping[str, Function], repeats: int, *, warm: bool = False) -> dict[str, Timing]:
    """Call all functions alternately, `repeats` times each, after a warm-up call unless they are `warm`."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(0 if warm else -1, repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing.of(values) for name, values in seconds.items()}


def timing(function: Function, repeats: int) -> Timing:
    """Call one function `repeats` times after a warm-up call."""
    return alternate({"": function}, repeats)[""]


def three_digits(value: float) -> str:
    """Format a value with three significant digits, but with all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
