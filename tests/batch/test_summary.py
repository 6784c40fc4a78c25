"""The summary of a job."""

from collections.abc import Sequence

import numpy as np
import pytest

from ssim_ae.batch.rows import Row
from ssim_ae.batch.score_histogram import ScoreHistogram
from ssim_ae.batch.summary import Calibration, Summary
from ssim_ae.detector.provenance import RateEstimate

EXPECTED = RateEstimate(rate=0.01, low=0.0, high=0.03)


def row(score: float | None, *, path: str = "a.png", threshold: float = 1.0) -> Row:
    verdict = "error" if score is None else "nok" if score > threshold else "ok"
    error = "" if score is not None else f"{path}: an empty file"
    return Row(path, 1, "", 1, 1, verdict, score, 0.0, [], threshold, "", error)


def text(*rows: Row, expected: RateEstimate | None = EXPECTED, usual: Sequence[float] = ()) -> str:
    return "\n".join(Summary.of(rows, 2.0).lines(Calibration(expected, ScoreHistogram.of(usual, 1.0)), 4.0))


def test_counts_rates_and_reasons():
    shown = text(row(0.5), row(1.0), row(3.0), row(None), row(None, path="b.png"))
    assert "5 images: 2 ok, 1 nok, 2 error; 1.2 images/s, 2.5 images/s and core" in shown
    assert "2 x an empty file" in shown


@pytest.mark.parametrize(
    ("score", "threshold", "interval"),
    [
        (1.0, 1.0, "0.84 -   1.00"),
        (1.0001, 1.0, "1.00 -   1.19"),
        (3.0, 3.0, "0.84 -   1.00"),
        (0.0, 1.0, "0.06 -   0.07"),
    ],
)
def test_the_histogram_shows_scores_in_multiples_of_the_threshold(score, threshold, interval):
    assert f"{interval}           1  #" in text(row(score, threshold=threshold))


def test_scores_far_from_the_threshold_are_in_the_outer_bins():
    shown = text(row(1e-9), row(1e9))
    assert "    0.06 -   0.07           1" in shown
    assert "   13.45 -  16.00           1" in shown


def test_drift_is_said_if_the_interval_is_above_the_expected_one():
    good, defective = [row(0.5)] * 95, [row(2.0)] * 5
    note = "more than good images like those of the calibration"
    assert note not in text(*good, *defective)
    assert note in text(*good, *defective * 3)
    assert "how many good images would be is not known" in text(*good, expected=None)


def test_sums_are_those_of_all_rows():
    rows = [row(0.1), row(1.0), row(None), row(2.0)]
    total = Summary()
    for part in (rows[:1], rows[1:]):
        total.add(Summary.of(part, 1.0))
    assert total == Summary.of(rows, 2.0)


def test_an_earlier_start_counts_but_not_in_the_rates():
    total = Summary.of([row(0.5)] * 6, 2.0)
    total.add(Summary.of([row(3.0)] * 2))
    (first, *_) = total.lines(Calibration(EXPECTED, ScoreHistogram()), 3.0)
    assert first == "8 images: 6 ok, 2 nok, 0 error; 2.0 images/s, 3.0 images/s and core"
    (first, *_) = Summary.of([row(0.5)]).lines(Calibration(EXPECTED, ScoreHistogram()), 3.0)
    assert first == "1 image: 1 ok, 0 nok, 0 error"


def test_scores_are_shown_beside_those_of_the_calibration():
    shown = text(*[row(0.95)] * 4, row(3.0), usual=[0.95, 0.75])
    assert "scores, in multiples of the threshold, and of 2 images of the calibration (+):" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["0.71", "-", "0.84", "0", "1", "+" * 28] in lines
    assert ["0.84", "-", "1.00", "4", "#" * 28, "1", "+" * 28] in lines
    assert ["2.83", "-", "3.36", "1", "#" * 7, "0"] in lines


def test_scores_of_accepted_images_that_differ_are_said():
    def shown(low: float, high: float, usual: Sequence[float]) -> str:
        return text(*map(row, np.linspace(low, high, 1000)), usual=usual)

    usual = np.linspace(0.4, 0.9, 60)
    moved = "scores of accepted images are higher than those of the calibration: in 79% of pairs of both"
    assert "accepted" not in shown(0.4, 0.9, usual)
    assert moved in shown(0.7, 0.9, usual)
    assert "accepted" not in shown(0.4, 0.6, usual), "lower"
    assert "accepted" not in shown(0.45, 0.9, np.linspace(0.4, 0.9, 2000)), "different, but hardly"
    assert "accepted" not in shown(0.7, 0.9, usual[::20]), "too few images of the calibration"
    assert "accepted" not in shown(1.1, 2.0, usual), "none is accepted"
    assert "accepted" not in shown(0.7, 0.9, ()), "no scores of the calibration"


def test_the_file_has_what_the_console_shows():
    usual = ScoreHistogram.of([0.95, 0.75], 1.0)
    found = Summary.of([*[row(0.95)] * 4, row(3.0), row(None)], 2.0).as_json(Calibration(EXPECTED, usual), 4.0)
    scores = found["scores"]
    assert (found["images"], found["ok"], found["nok"], found["error"]) == (6, 4, 1, 1)
    assert found["reasons"] == {"an empty file": 1}
    assert scores["from"][1:] == scores["to"][:-1]
    assert scores["from"][1] < 0.95 <= scores["to"][1] == 1
    assert scores["images"] == [0, 4, 0, 0, 0, 0, 0, 0, 1][: len(scores["images"])]
    assert scores["calibration"] == [1, 1, *[0] * (len(scores["from"]) - 2)]
    assert found["differences"][0].startswith("20.00% are nok")
    assert found["rates"] == {"images/s": 1.5, "images/s and core": 3.0}


def test_without_images_there_is_nothing_to_say():
    assert text() == ""
