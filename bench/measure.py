"""How long work takes: the seconds of several repeats, ours and theirs in turn."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple, Self

Work = Callable[[], object]


class Timing(NamedTuple):
    """The seconds that each repeat of one piece of work took."""

    seconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: list[float]) -> Self:
        """Return the timing of repeats measured elsewhere."""
        return cls(tuple(seconds))

    @property
    def median(self) -> float:
        """The middle repeat, seconds."""
        return median(self.seconds)

    @property
    def best(self) -> float:
        """The shortest repeat, seconds."""
        return min(self.seconds)

    def duration(self) -> str:
        """Return the median and the spread, in ms or s."""
        factor, unit = (1000, "ms") if self.median < 1 else (1, "s")
        low, middle, high = (figure(factor * value) for value in (self.best, self.median, max(self.seconds)))
        return f"{middle} {unit} ({low}-{high})"

    def rate(self, amount: float, unit: str) -> str:
        """Return how much of `amount` is done a second, and the spread."""
        low, middle, high = (figure(amount / value) for value in (max(self.seconds), self.median, self.best))
        return f"{middle} {unit}/s ({low}-{high})"


def in_turn(works: Mapping[str, Work], repeats: int, *, warm: bool = False) -> dict[str, Timing]:
    """Do all works in turn, `repeats` times, after a first time that does not count unless they are warm."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for counted in range(0 if warm else -1, repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if counted >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing.of(values) for name, values in seconds.items()}


def timing(work: Work, repeats: int) -> Timing:
    """Do one piece of work `repeats` times after a warm-up."""
    return in_turn({"": work}, repeats)[""]


def figure(value: float) -> str:
    """Return three significant digits, and all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
