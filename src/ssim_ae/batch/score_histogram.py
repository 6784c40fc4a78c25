"""Counts of scores relative to the threshold, which can be added, shown and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import erfc, floor, log2, sqrt
from typing import NamedTuple, Self

BINS_PER_DOUBLING = 16
SHOWN_PER_DOUBLING = 4
FINE_PER_SHOWN = BINS_PER_DOUBLING // SHOWN_PER_DOUBLING
LOWEST_BIN, HIGHEST_BIN = -4 * BINS_PER_DOUBLING, 4 * BINS_PER_DOUBLING - 1  # 1/16 to 16 times the threshold


class ShownBin(NamedTuple):
    """The limits of a bin in multiples of the threshold, the upper one included, and its number of images."""

    low: float
    high: float
    images: int


class Comparison(NamedTuple):
    """Of all pairs of a score here and one there, the share in which that here is higher; and the p-value of that."""

    higher: float
    p_value: float


@dataclass
class ScoreHistogram:
    """The number of scores in bins of 4 %. Scores beyond 1/16 and 16 times the threshold are in the outer bins."""

    counts: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, scores: Iterable[float], threshold: float) -> Self:
        """Count scores."""
        return cls(Counter(_bin(score / threshold) for score in scores))

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, other: ScoreHistogram) -> None:
        """Add the counts of other scores."""
        self.counts += other.counts

    def accepted(self) -> ScoreHistogram:
        """Return the scores that are not above the threshold."""
        return ScoreHistogram(Counter({number: count for number, count in self.counts.items() if number < 0}))

    def shown(self, *others: ScoreHistogram) -> Iterator[ShownBin]:
        """Yield wider bins, from the lowest to the highest score of this and other histograms."""
        sums: Counter[int] = Counter()
        for number, count in self.counts.items():
            sums[number // FINE_PER_SHOWN] += count
        numbers = [number // FINE_PER_SHOWN for item in (self, *others) for number in item.counts]
        for number in range(min(numbers, default=0), max(numbers, default=-1) + 1):
            yield ShownBin(2 ** (number / SHOWN_PER_DOUBLING), 2 ** ((number + 1) / SHOWN_PER_DOUBLING), sums[number])

    def compared_with(self, other: ScoreHistogram) -> Comparison:
        """Compare by ranks: the test of Mann and Whitney (1947), one-sided, normal approximation with ties.

        Scores of one bin are tied. Neither histogram may be empty.
        """
        here, there = len(self), len(other)
        total = here + there
        pairs, below, ties = 0.0, 0, 0
        for number in sorted(self.counts.keys() | other.counts.keys()):
            own, their = self.counts[number], other.counts[number]
            pairs += own * (below + their / 2)
            below += their
            ties += (own + their) ** 3 - (own + their)
        higher = pairs / (here * there)
        variance = (total + 1 - ties / (total * (total - 1))) / (12 * here * there)
        if variance <= 0:  # all scores are in one bin
            return Comparison(higher, 1.0)
        return Comparison(higher, erfc((higher - 0.5) / sqrt(2 * variance)) / 2)


def _bin(ratio: float) -> int:
    """Return the bin of a score; a score at the threshold, which is ok, is in the bin below it."""
    if ratio <= 0:
        return LOWEST_BIN
    number = floor(BINS_PER_DOUBLING * log2(ratio))
    return max(LOWEST_BIN, min(number - (ratio == 1), HIGHEST_BIN))
