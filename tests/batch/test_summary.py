"""The summary of a job."""

import pytest

from ssim_ae.batch.rows import Row
from ssim_ae.batch.summary import Summary
from ssim_ae.detector.provenance import RateEstimate

EXPECTED = RateEstimate(rate=0.01, low=0.0, high=0.03)


def row(score: float | None, *, path: str = "a.png", threshold: float = 1.0) -> Row:
    verdict = "error" if score is None else "nok" if score > threshold else "ok"
    error = "" if score is not None else f"{path}: an empty file"
    return Row(path, 1, "", 1, 1, verdict, score, 0.0, [], threshold, "", error)


def text(*rows: Row, expected: RateEstimate | None = EXPECTED) -> str:
    return "\n".join(Summary.of(rows, 2.0).lines(expected, 4.0))


def test_counts_rates_and_reasons():
    shown = text(row(0.5), row(1.0), row(3.0), row(None), row(None, path="b.png"))
    assert "5 images: 2 ok, 1 nok, 2 error; 1.2 images/s, 2.5 images/s and core" in shown
    assert "2 x an empty file" in shown


@pytest.mark.parametrize(
    ("score", "threshold", "interval"),
    [
        (1.0, 1.0, "0.71 -   1.00"),
        (1.0001, 1.0, "1.00 -   1.41"),
        (3.0, 3.0, "0.71 -   1.00"),
        (0.0, 1.0, "0.06 -   0.09"),
    ],
)
def test_the_histogram_shows_scores_in_multiples_of_the_threshold(score, threshold, interval):
    assert f"{interval}           1  #" in text(row(score, threshold=threshold))


def test_scores_far_from_the_threshold_are_in_the_outer_bins():
    shown = text(row(1e-9), row(1e9))
    assert "    0.06 -   0.09           1" in shown
    assert "   11.31 -  16.00           1" in shown


def test_drift_is_said_if_the_interval_is_above_the_expected_one():
    good, defective = [row(0.5)] * 95, [row(2.0)] * 5
    note = "more than good images like those of the calibration"
    assert note not in text(*good, *defective)
    assert note in text(*good, *defective * 3)
    assert "is not known of this detector" in text(*good, expected=None)


def test_sums_are_those_of_all_rows():
    rows = [row(0.1), row(1.0), row(None), row(2.0)]
    total = Summary()
    for part in (rows[:1], rows[1:]):
        total.add(Summary.of(part, 1.0))
    assert total == Summary.of(rows, 2.0)


def test_without_images_there_is_nothing_to_say():
    assert text() == ""
