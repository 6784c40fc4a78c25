"""What a job has found: counts, errors with their reasons, and a histogram of the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import floor, log2

from ssim_ae.batch.rows import Row
from ssim_ae.detector.provenance import RateEstimate
from ssim_ae.proportions import wilson
from ssim_ae.spelling import counted

BINS_PER_DOUBLING = 2
LOWEST_BIN, HIGHEST_BIN = -8, 7  # scores from 1/16 to 16 times the threshold; further ones are in the outer bins
MAX_REASONS = 5
MAX_REASON_KINDS = 100  # that are counted
BAR_WIDTH = 40  # characters


@dataclass
class Summary:
    """Counts of the rows of some images. `seconds` is the time that cores were busy with them."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    bins: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    @classmethod
    def of(cls, rows: Iterable[Row], seconds: float) -> Summary:
        """Count rows that took some seconds of a core."""
        summary = cls(seconds=seconds)
        for row in rows:
            summary.verdicts[row.verdict] += 1
            if row.score is not None:
                summary.bins[_bin(row.score / row.threshold)] += 1
            if row.error:
                summary.reasons[_kind(row.error, row.path)] += 1
        return summary

    def add(self, other: Summary) -> None:
        """Add the counts of other images."""
        self.verdicts += other.verdicts
        self.bins += other.bins
        self.seconds += other.seconds
        for reason, count in other.reasons.items():
            known = reason in self.reasons or len(self.reasons) < MAX_REASON_KINDS
            self.reasons[reason if known else "other reasons"] += count

    @property
    def images(self) -> int:
        """The number of images."""
        return self.verdicts.total()

    def lines(self, expected: RateEstimate | None, wall_seconds: float) -> Iterator[str]:
        """Yield the summary for the console. `expected` is the false-alarm rate of the calibration."""
        if not self.images:
            return
        parts = ", ".join(f"{self.verdicts[verdict]:,} {verdict}" for verdict in ("ok", "nok", "error"))
        rates = f"{self.images / wall_seconds:,.1f} images/s"
        if self.seconds:
            rates += f", {self.images / self.seconds:,.1f} images/s and core"
        yield f"{counted(self.images, 'image')}: {parts}; {rates}"
        for reason, count in self.reasons.most_common(MAX_REASONS):
            yield f"  {count:,} x {reason}"
        if len(self.reasons) > MAX_REASONS:
            yield f"  {counted(len(self.reasons) - MAX_REASONS, 'more reason')}; see the column error"
        yield from self._histogram()
        yield from self._drift(expected)

    def _histogram(self) -> Iterator[str]:
        if not self.bins:
            return
        yield "scores, in multiples of the threshold:"
        highest = max(self.bins.values())
        for number in range(min(self.bins), max(self.bins) + 1):
            count = self.bins[number]
            bar = "#" * -(-BAR_WIDTH * count // highest)
            yield f"  {_edge(number):6.2f} - {_edge(number + 1):6.2f}  {count:10,}  {bar}".rstrip()

    def _drift(self, expected: RateEstimate | None) -> Iterator[str]:
        inspected, nok = self.verdicts["ok"] + self.verdicts["nok"], self.verdicts["nok"]
        if not inspected:
            return
        if expected is None:
            yield f"{nok / inspected:.2%} are nok; how many good images would be is not known of this detector"
            return
        yield f"{nok / inspected:.2%} are nok; of good images, {expected} would be"
        if wilson(nok, inspected)[0] > expected.high:
            yield "  more than good images like those of the calibration: defects, or the images have changed"


def _bin(ratio: float) -> int:
    """Return the bin of a score; a score at the threshold, which is ok, is in the bin below it."""
    if ratio <= 0:
        return LOWEST_BIN
    number = floor(BINS_PER_DOUBLING * log2(ratio))
    return max(LOWEST_BIN, min(number - (ratio == 1), HIGHEST_BIN))


def _edge(number: int) -> float:
    return 2.0 ** (number / BINS_PER_DOUBLING)


def _kind(error: str, path: str) -> str:
    """Return the reason of an error without the name of the image."""
    return error.removeprefix(f"{path}: ")
