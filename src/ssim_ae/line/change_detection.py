"""Sequential tests of whether values still come as before, with a stated rate of false alarms.

The p-value of a value is its rank among all values before it, those of the calibration included, with ties broken at
random. While values come in a random order, p-values are independent and uniform, exactly, whatever the distribution
(Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World"). A bet against that multiplies its capital
by a function of the p-value whose mean is 1: its capital is a martingale. Capital moves slowly between the bets, so
that a change at any time is noticed ("Simple Jumper", Vovk et al. 2021, "Retrain or not retrain: conformal test
martingales for change-point detection").

A new capital of 1 is added in each hour with images (Shiryaev-Roberts). So the mean of the evidence is the number of
hours, and the mean number of hours until the evidence reaches a limit without a change is at least the limit (Shin,
Ramdas and Rinaldo 2023, "E-detectors: a nonparametric framework for sequential change detection").
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import numpy as np

JUMP = 0.01  # share of the capital that moves to all bets at each value
SLOPES = (-2.0, -1.0, 1.0, 2.0)  # of bets on values that move up (negative) or down
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of the highest values, which bets on more of them are about
STAKES = (0.03, 0.1, 0.3)  # of these bets


class Ranks:
    """All values so far, and the p-value of the next one: low if it is high."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.values = sorted(values)

    def p_value(self, value: float, tie: float) -> float:
        """Return the p-value of a value in [0, 1], and add the value. `tie` is a random number in [0, 1)."""
        above = len(self.values) - bisect_right(self.values, value)
        equal = len(self.values) - above - bisect_left(self.values, value)
        p = (above + tie * (equal + 1)) / (len(self.values) + 1)
        insort(self.values, value)
        return p


class Bets:
    """The capital of bets on a change of one kind. `evidence` is their sum."""

    def __init__(self, *, on_more_high_values: bool, slopes: Iterable[float] = SLOPES) -> None:
        chosen = [] if on_more_high_values else list(slopes)
        pairs = [(share, stake) for share in SHARES for stake in STAKES] if on_more_high_values else []
        self._slopes = np.array([0.0, *chosen])
        self._shares = np.array([share for share, _ in pairs])
        self._stakes = np.array([stake for _, stake in pairs])
        self._capital = np.zeros(len(self._slopes) + len(pairs))

    @property
    def evidence(self) -> float:
        """The sum of all capital."""
        return float(self._capital.sum())

    def start(self) -> None:
        """Add a new capital of 1, in equal parts."""
        self._capital += 1 / len(self._capital)

    def bet(self, p: float) -> None:
        """Multiply each bet's capital by what it gains or loses at a p-value."""
        factors = 1 + self._slopes * (p - 0.5)
        if len(self._shares):
            factors = np.append(factors, 1 + self._stakes * ((p <= self._shares) / self._shares - 1))
        moved = (1 - JUMP) * self._capital + JUMP * self._capital.sum() / len(self._capital)
        self._capital = moved * factors


def tie_of(number: int, stream: int) -> float:
    """Return a number in [0, 1) that is the same whenever the inspection of this number is looked at again."""
    mixed = (number * 0x9E3779B97F4A7C15 + stream * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (mixed ^ (mixed >> 31)) / 2**64
