"""Whether the images of a station still look and score as before, and if not, what has changed."""

from __future__ import annotations

from collections import deque
from math import exp, log, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from ssim_ae.detector.look import Look, UsualImages
from ssim_ae.line.change_detection import Bets, Ranks, tie_of

Cause = Literal["camera", "lens", "light", "parts"]
HOUR = 3_600_000  # ms
ALARMS_PER_MONTH = 0.1  # false ones, at most, in the mean
HOURS_PER_MONTH = 720
LIMIT = HOURS_PER_MONTH / ALARMS_PER_MONTH  # of the evidence
MIN_IMAGES = 8  # since a change, before its cause is named
MAX_IMAGES = 60  # since a change, that its cause is named from
MIN_GROWTH = 0.01  # of the logarithm of the evidence at an image, in the mean since a change
LATEST = 16  # of these: what has changed may show in them more clearly
MIN_Z = 3.5  # of the ranks of the images since the change: what has changed
QUANTA = {"score": 0.01, "brightness": 0.002, "contrast": 0.002, "sharpness": 0.002, "turn": 0.02}  # of ties
SHIFT_QUANTUM = 0.0005
SHIFTS = ("shift_x", "shift_y", "turn")
STREAMS = ("nok", "score", *Look._fields)


class Change(NamedTuple):
    """A number that has changed: its medians before and since, and `z`, how surely."""

    name: str
    before: float
    now: float
    z: float


class Drift(NamedTuple):
    """What has changed, since when (ms since the epoch), and the most likely cause."""

    cause: Cause
    since: int
    changes: tuple[Change, ...]


class _Stream:
    """The values of one kind, and the evidence that they have changed."""

    def __init__(self, name: str, known: list[float]) -> None:
        self.name = name
        slopes = (-2.0, -1.0) if name == "score" else (-2.0, -1.0, 1.0, 2.0)
        self.ranks = Ranks(known)
        self.bets = Bets(on_more_high_values=name == "nok", slopes=slopes)
        self._hour = -1
        self._growth = 0.0  # logarithm of the evidence's growth since `onset`
        self.onset, self.since = 0, 0  # index and time (ms) of the image since which the evidence has grown

    def add(self, value: float, row: Any, index: int) -> float:
        """Add the value of an image; return its p-value."""
        if row.time // HOUR != self._hour:
            self._hour = row.time // HOUR
            self.bets.start()
        p = self.ranks.p_value(value, tie_of(row.id, STREAMS.index(self.name)))
        before = self.bets.evidence
        self.bets.bet(p)
        self._growth += log(self.bets.evidence / before) - MIN_GROWTH
        if self.onset == index:
            self.since = row.time
        if self._growth <= 0:
            self._growth, self.onset = 0.0, index + 1
        return p


class DriftTest:
    """Watches the inspections of one detector at one station, in their order.

    `usual` is what its good images were like, if that is known; else the first images are what later ones are compared
    with. Accepted images alone have a score that is compared.
    """

    def __init__(self, usual: UsualImages | None) -> None:
        known = {name: [] for name in STREAMS} if usual is None else _known(usual)
        self._streams = {name: _Stream(name, known[name]) for name in STREAMS}
        self._recent: deque[tuple[int, dict[str, tuple[float, float]]]] = deque(maxlen=MAX_IMAGES)
        self.images = 0
        self._over = 0  # images since the evidence first reached LIMIT

    @property
    def evidence(self) -> float:
        """The evidence of a change; an alarm is raised at LIMIT."""
        return sum(stream.bets.evidence for stream in self._streams.values()) / len(self._streams)

    def add(self, row: Any) -> Drift | None:
        """Add an inspection, a row of the log; return what has changed, once that is sure."""
        found = {
            name: (self._streams[name].add(value, row, self.images), value) for name, value in _values(row).items()
        }
        if not found:
            return None
        self._recent.append((self.images, found))
        self.images += 1
        if not self._over and self.evidence < LIMIT:
            return None
        self._over += 1
        leading = max(self._streams.values(), key=lambda stream: stream.bets.evidence)
        since = [found for index, found in self._recent if index >= leading.onset]
        if len(since) < MIN_IMAGES and self._over < MIN_IMAGES:
            return None
        return self._drift(leading.since, since or [found])

    def _drift(self, start: int, since: list[dict[str, tuple[float, float]]]) -> Drift:
        changes = []
        for name, stream in self._streams.items():
            pairs = [found[name] for found in since if name in found]
            if pairs:
                ranks = [p for p, _ in pairs]
                values = [value for _, value in pairs]
                middle = np.mean if name == "nok" else np.median
                before = _without(stream.ranks.values, values) or values
                z = max(_z(ranks), _z(ranks[-LATEST:]), key=abs)
                changes.append(Change(name, _shown(name, middle(before)), _shown(name, middle(values)), round(z, 1)))
        return Drift(_cause({change.name: change.z for change in changes}), start, tuple(changes))


def _z(p_values: list[float]) -> float:
    """Return how many standard deviations the mean of p-values is below that of uniform ones."""
    return float((0.5 - np.mean(p_values)) * sqrt(12 * len(p_values)))


def _cause(z: dict[str, float]) -> Cause:
    """Return what most likely has changed. More bad parts change no look of all images; what moves changes them all."""
    if max(abs(z.get(name, 0.0)) for name in SHIFTS) >= MIN_Z:
        return "camera"
    if min(z.get("contrast", 0.0), z.get("sharpness", 0.0)) <= -MIN_Z:
        return "lens"
    if max(abs(z.get(name, 0.0)) for name in ("brightness", "contrast", "sharpness")) >= MIN_Z:
        return "light"
    return "parts"


def _values(row: Any) -> dict[str, float]:
    """Return the values of an inspection, in units of ties; those of what it has not are missing."""
    if row.verdict == "error":
        return {}
    values = {"nok": float(row.verdict == "nok")}
    if row.verdict == "ok" and row.score is not None:
        values["score"] = _quantized("score", _scale(row.score))
    for name in Look._fields:
        if (value := getattr(row, name)) is not None:
            values[name] = _quantized(name, value)
    return values


def _known(usual: UsualImages) -> dict[str, list[float]]:
    known: dict[str, list[float]] = {"nok": []}
    known["score"] = [_quantized("score", _scale(score)) for score in usual.scores if score <= 1]
    for index, name in enumerate(Look._fields):
        known[name] = [_quantized(name, look[index]) for look in usual.looks]
    return known


def _scale(score: float) -> float:
    return log(max(score, 1e-6))


def _quantized(name: str, value: float) -> float:
    return float(round(value / QUANTA.get(name, SHIFT_QUANTUM)))


def _shown(name: str, value: Any) -> float:
    """Return a value in units that people read: scores and brightness themselves, not their logarithms."""
    number = float(value) * (1 if name == "nok" else QUANTA.get(name, SHIFT_QUANTUM))
    if name not in ("nok", *SHIFTS):
        number = exp(number)
    return float(f"{number:.4g}")


def _without(values: list[float], removed: list[float]) -> list[float]:
    rest = list(values)
    for value in removed:
        rest.remove(value)
    return rest
