"""What a job has found: counts, errors with their reasons, and the scores against those of the calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple

from ssim_ae.batch.rows import Row
from ssim_ae.batch.score_histogram import ScoreHistogram
from ssim_ae.detector.provenance import RateEstimate
from ssim_ae.proportions import wilson
from ssim_ae.spelling import counted

LEVEL = 0.001  # of the test of the scores
CLEARLY_HIGHER = 0.6  # share of pairs; .5 if nothing has changed
MAX_REASONS = 5
MAX_REASON_KINDS = 100  # that are counted
BAR_WIDTH = 28  # characters
VERDICTS = ("ok", "nok", "error")


class Calibration(NamedTuple):
    """The expected false-alarm rate, if it is known, and the scores of good images of the calibration, if any."""

    expected: RateEstimate | None
    scores: ScoreHistogram


@dataclass
class Summary:
    """Counts of the rows of some images. `seconds` is the time that cores were busy with the `timed` ones of them."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    scores: ScoreHistogram = field(default_factory=ScoreHistogram)
    timed: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, rows: Iterable[Row], seconds: float | None = None) -> Summary:
        """Count rows that took some seconds of a core; None if an earlier start has written them."""
        summary = cls(seconds=seconds or 0.0)
        for row in rows:
            summary.verdicts[row.verdict] += 1
            if row.score is not None:
                summary.scores.add(ScoreHistogram.of([row.score], row.threshold))
            if row.error:
                summary.reasons[_kind(row.error, row.path)] += 1
        summary.timed = 0 if seconds is None else summary.images
        return summary

    def add(self, other: Summary) -> None:
        """Add the counts of other images."""
        self.verdicts += other.verdicts
        self.scores.add(other.scores)
        self.timed += other.timed
        self.seconds += other.seconds
        for reason, count in other.reasons.items():
            known = reason in self.reasons or len(self.reasons) < MAX_REASON_KINDS
            self.reasons[reason if known else "other reasons"] += count

    @property
    def images(self) -> int:
        """The number of images."""
        return self.verdicts.total()

    def lines(self, calibration: Calibration, wall_seconds: float) -> Iterator[str]:
        """Yield the summary for the console."""
        if not self.images:
            return
        parts = ", ".join(f"{self.verdicts[verdict]:,} {verdict}" for verdict in VERDICTS)
        rates = [f"{rate:,.1f} {unit}" for unit, rate in self._rates(wall_seconds).items()]
        yield f"{counted(self.images, 'image')}: {parts}{'; ' * bool(rates)}{', '.join(rates)}"
        for reason, count in self.reasons.most_common(MAX_REASONS):
            yield f"  {count:,} x {reason}"
        if len(self.reasons) > MAX_REASONS:
            yield f"  {counted(len(self.reasons) - MAX_REASONS, 'more reason')}; see the column error"
        yield from self._histogram(calibration)
        yield from self._differences(calibration)

    def as_json(self, calibration: Calibration, wall_seconds: float) -> dict[str, Any]:
        """Return the summary for its file."""
        usual = calibration.scores
        bins = list(self.scores.shown(usual))
        return {
            "images": self.images,
            **{verdict: self.verdicts[verdict] for verdict in VERDICTS},
            "reasons": dict(self.reasons.most_common()),
            "scores": {
                "from": [item.low for item in bins],
                "to": [item.high for item in bins],
                "images": [item.images for item in bins],
                "calibration": [item.images for item in usual.shown(self.scores)],
            },
            "differences": [line.strip() for line in self._differences(calibration)],
            "rates": self._rates(wall_seconds),
        }

    def _rates(self, wall_seconds: float) -> dict[str, float]:
        seconds = {"images/s": wall_seconds, "images/s and core": self.seconds}
        return {unit: self.timed / time for unit, time in seconds.items() if self.timed and time}

    def _histogram(self, calibration: Calibration) -> Iterator[str]:
        if not len(self.scores):
            return
        usual = calibration.scores
        beside = f", and of {counted(len(usual), 'image')} of the calibration (+)" if len(usual) else ""
        yield f"scores, in multiples of the threshold{beside}:"
        pairs = list(zip(self.scores.shown(usual), usual.shown(self.scores), strict=True))
        own, their = (max(1, *(item.images for item in side)) for side in zip(*pairs, strict=True))
        for here, there in pairs:
            line = f"  {here.low:6.2f} - {here.high:6.2f}  {here.images:10,}  {_bar('#', here.images / own)}"
            if len(usual):
                line = f"{line:{BAR_WIDTH + 33}}  {there.images:6,}  {_bar('+', there.images / their)}"
            yield line.rstrip()

    def _differences(self, calibration: Calibration) -> Iterator[str]:
        """Yield the share of nok, and what differs clearly from the calibration."""
        inspected, nok = self.verdicts["ok"] + self.verdicts["nok"], self.verdicts["nok"]
        if not inspected:
            return
        expected = calibration.expected
        if expected is None:
            yield f"{nok / inspected:.2%} are nok; how many good images would be is not known"
        else:
            yield f"{nok / inspected:.2%} are nok; of good images, {expected} would be"
            if wilson(nok, inspected)[0] > expected.high:
                yield "  more than good images like those of the calibration: defects, or the images have changed"
        accepted, usual = self.scores.accepted(), calibration.scores.accepted()
        if not len(accepted) or not len(usual):
            return
        higher, p_value = accepted.compared_with(usual)
        if p_value < LEVEL and higher >= CLEARLY_HIGHER:
            yield (
                f"  scores of accepted images are higher than those of the calibration: in {higher:.0%} of pairs of "
                f"both, 50% if nothing has changed (Mann-Whitney test, p < {LEVEL:g})"
            )


def _bar(character: str, share: float) -> str:
    return character * ceil(BAR_WIDTH * share)


def _kind(error: str, path: str) -> str:
    """Return the reason of an error without the name of the image."""
    return error.removeprefix(f"{path}: ")
