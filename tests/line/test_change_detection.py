"""The sequential tests: p-values are uniform, bets are fair, and changes are noticed."""

import numpy as np
import pytest

from ssim_ae.line.change_detection import Bets, Ranks, tie_of


def test_the_p_value_is_the_rank_from_above_with_ties_broken():
    ranks = Ranks([1.0, 2.0, 2.0, 3.0])
    assert ranks.p_value(3.5, 0.5) == pytest.approx(0.5 / 5)
    assert ranks.p_value(2.0, 0.0) == pytest.approx(2 / 6)
    assert ranks.values == [1.0, 2.0, 2.0, 2.0, 3.0, 3.5]


@pytest.mark.parametrize("draw", [lambda rng: rng.exponential(), lambda rng: rng.integers(3), lambda _: 1.0])
def test_p_values_are_uniform_whatever_the_distribution(draw):
    rng = np.random.default_rng(3)
    ranks = Ranks()
    p = [ranks.p_value(float(draw(rng)), tie_of(number, 0)) for number in range(4000)]
    assert np.abs(np.sort(p) - np.linspace(0, 1, 4000)).max() < 0.03
    assert abs(np.corrcoef(p[1:], p[:-1])[0, 1]) < 0.05


@pytest.mark.parametrize("on_more_high_values", [False, True])
def test_a_bet_is_fair(on_more_high_values):
    bets = Bets(on_more_high_values=on_more_high_values)
    bets.start()
    grown = []
    for p in (np.arange(2000) + 0.5) / 2000:
        copy = Bets(on_more_high_values=on_more_high_values)
        copy._capital = bets._capital.copy()
        copy.bet(p)
        grown.append(copy.evidence)
    assert np.mean(grown) == pytest.approx(1.0, abs=1e-3) and min(grown) > 0


def test_the_mean_of_the_evidence_is_the_number_of_starts():
    rng = np.random.default_rng(4)
    evidence = []
    for _ in range(3000):
        bets = Bets(on_more_high_values=False)
        for _ in range(4):
            bets.start()
            for _ in range(3):
                bets.bet(rng.random())
        evidence.append(bets.evidence)
    assert np.mean(evidence) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize(
    ("draw", "more"),
    [
        (lambda rng: rng.random() ** 2, False),
        (lambda rng: rng.random() ** 0.5, False),
        (lambda rng: rng.random() * (0.05 if rng.random() < 0.3 else 1), True),
    ],
)
def test_a_change_is_noticed(draw, more):
    rng = np.random.default_rng(5)
    bets = Bets(on_more_high_values=more)
    bets.start()
    for _ in range(300):
        bets.bet(draw(rng))
    assert bets.evidence > 1e5
