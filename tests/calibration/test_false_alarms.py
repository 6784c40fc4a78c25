"""Promised against met, on scores of laws that are known."""

import numpy as np
import pytest
from scipy import stats

from ssim_ae.calibration.false_alarms import _credible, limit, promise, promise_of_highest


def met(draw, count, rate, sets=3000, *, by_factors=False):
    """The share of all scores above limits set by `count` of them, given the law's survival function."""
    drawn, above = draw
    return np.array([above(limit(scores, rate, by_factors=by_factors)) for scores in drawn(size=(sets, count))])


def law(distribution):
    return lambda size: distribution.rvs(size=size, random_state=np.random.default_rng(7)), distribution.sf


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("count", [10, 20, 200])
def test_on_gumbels_law_the_promise_is_met_on_average(count, rate):
    shares = met(law(stats.gumbel_r(0.6, 0.1)), count, rate)
    assert shares.mean() == pytest.approx(rate, rel=0.25)


def test_on_frechets_law_it_is_for_scores_that_differ_by_factors():
    frechet = stats.invweibull(4, scale=0.6)
    assert met(law(frechet), 20, 0.01, by_factors=True).mean() == pytest.approx(0.01, rel=0.25)
    assert met(law(frechet), 20, 0.01).mean() > 0.025


def test_factors_of_nothing():
    assert 0 <= limit(np.array([0.0, 0.0, 0.0]), 0.01, by_factors=True) < 1e-9


@pytest.mark.parametrize("count", [2, 5])
def test_too_few_scores_promise_less_and_say_so(count):
    shares = met(law(stats.gumbel_r(0.6, 0.1)), count, 0.01)
    assert shares.mean() == pytest.approx(promise(count, 0.01).rate, rel=0.1)
    assert shares.mean() > 0.015


def test_on_gumbels_law_nine_of_ten_are_within_the_interval():
    shares = met(law(stats.gumbel_r(0.6, 0.1)), 20, 0.01)
    _, low, high = promise(20, 0.01)
    assert np.mean((low < shares) & (shares < high)) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("other", [stats.norm(0.6, 0.1), stats.lognorm(0.25, scale=0.6), stats.gamma(20, scale=0.03)])
def test_on_other_laws_it_is_kept(other):
    assert met(law(other), 40, 0.01).mean() < 0.012


@pytest.mark.parametrize("count", [30, 200])
def test_one_spoilt_image_moves_the_limit_little(count):
    scores = np.random.default_rng(3).gumbel(0.6, 0.1, count)
    spoilt = scores.copy()
    spoilt[0] = 10
    assert limit(spoilt, 0.01) < 1.15 * limit(scores, 0.01)


def test_the_limit_knows_no_units():
    scores = np.random.default_rng(3).gumbel(0.6, 0.1, 30)
    assert limit(5 * scores + 2, 0.01) == pytest.approx(5 * limit(scores, 0.01) + 2)


def test_equal_scores_are_the_limit():
    assert limit(np.full(12, 0.5), 0.01) == 0.5


def test_more_scores_narrow_the_interval():
    widths = [high - low for _, low, high in (promise(count, 0.01) for count in (10, 50, 200, 10_000))]
    assert widths == sorted(widths, reverse=True)


def test_the_highest_of_a_few_promises_what_betas_law_says():
    shares = 1 - np.random.default_rng(1).random((20_000, 9)).max(axis=1)
    found = promise_of_highest(9)
    assert found.rate == pytest.approx(shares.mean(), abs=0.003) == pytest.approx(0.1, abs=0.003)
    assert (found.low, found.high) == pytest.approx(np.quantile(shares, [0.05, 0.95]), abs=0.005)


def test_learned_scores_tell_the_shape_and_not_the_place():
    """One in twenty-five is odd. Twenty scores seldom know; of those that were learned from, lower by half, many do."""
    usual, odd = stats.gumbel_r(0.6, 0.1), stats.gumbel_r(1.5, 0.1)
    rng = np.random.default_rng(7)
    scores = np.where(rng.random((500, 220)) < 0.04, odd.rvs((500, 220), rng), usual.rvs((500, 220), rng))

    def met(learned):
        above = np.array([limit(row[:20], 0.01, learned=row[20 : 20 + learned] - 0.3) for row in scores])
        return (0.96 * usual.sf(above) + 0.04 * odd.sf(above)).mean()

    assert met(200) < 0.015 < 0.02 < met(0)


def test_learned_scores_are_stretched_where_the_others_lie_further_apart():
    scores, learned = np.random.default_rng(3).gumbel(0.6, 0.1, (2, 50))
    expected = limit(scores, 0.01, learned=learned)
    assert limit(scores, 0.01, learned=learned / 5) == pytest.approx(expected, rel=0.05)
    assert limit(scores, 0.01, learned=5 * learned) > 1.5 * expected, "and never shrunk"


def test_learned_scores_that_differ_by_factors_are_moved_by_one():
    scores, learned = np.exp(np.random.default_rng(3).gumbel(0, 0.2, (2, 30)))
    expected = limit(scores, 0.01, learned=learned, by_factors=True)
    assert limit(scores, 0.01, learned=7 * learned, by_factors=True) == pytest.approx(expected)


def test_odd_learned_scores_that_differ_by_factors_are_stretched_and_not_raised_to_a_power():
    """Twice as far apart, ten times the median is nineteen times, and not a hundred."""
    scores = np.exp(np.random.default_rng(3).gumbel(0, 0.1, 50))
    usual, odd = np.tile(scores, 4), np.linspace(6, 10, 9)
    found = limit(scores, 0.01, learned=np.r_[np.sqrt(usual), odd], by_factors=True)
    assert found == pytest.approx(limit(scores, 0.01, learned=np.r_[usual, 2 * odd - 1], by_factors=True), rel=0.2)


@pytest.mark.parametrize("count", [3, 10])
def test_a_few_scores_far_apart_beside_many_learned_ones_that_are_not(count):
    """Stretched by far more than they are apart themselves, factors are still factors."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        scores, learned = np.exp(0.7 * rng.gumbel(size=count)), np.exp(0.1 * rng.normal(size=100))
        assert limit(scores, 0.01, learned=learned, by_factors=True) < 1000 * scores.max()


def test_a_few_scores_beside_many_learned_ones_promise_less_and_say_so():
    assert promise(3, 0.01, learned=200).rate > 0.015


@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_of_many_scores_with_a_heavier_tail_it_is_kept(rate):
    """One in twenty-five stands out, as the odd part does: few scores cannot know, two hundred do."""
    usual, odd = stats.gumbel_r(0.6, 0.1), stats.gumbel_r(1.5, 0.1)
    rng = np.random.default_rng(7)
    shares = []
    for _ in range(1000):
        scores = np.where(rng.random(200) < 0.04, odd.rvs(200, random_state=rng), usual.rvs(200, random_state=rng))
        above = limit(scores, rate)
        shares.append(0.96 * usual.sf(above) + 0.04 * odd.sf(above))
    assert np.mean(shares) == pytest.approx(rate, rel=0.3)


@pytest.mark.parametrize(("count", "most"), [(10, 1), (42, 2)])
def test_no_more_scores_exceed_the_limit_than_the_rate_makes_credible(count, most):
    """What is odd about images that were learned from has been learned too: by their scores there are no odd ones."""
    scores = np.r_[np.linspace(0.5, 0.7, count - most - 1), np.linspace(2, 3, most + 1)]
    above = limit(scores, 0.01, learned=np.linspace(0.5, 0.7, 400))
    assert above == pytest.approx(2) and np.sum(scores > above) == most
    assert stats.binom.sf(most, count, 0.01) < 0.05


def test_a_spoilt_image_or_an_empty_one_moves_the_limit_little_beside_learned_ones():
    scores, learned = np.random.default_rng(3).gumbel(0.6, 0.1, 20), np.random.default_rng(4).gumbel(0.6, 0.1, 80)
    expected = limit(scores, 0.01, learned=learned, by_factors=True)
    for odd in (30, 0):
        changed = np.r_[odd, scores[1:]]
        assert limit(changed, 0.01, learned=learned, by_factors=True) < 1.4 * expected


def test_learned_scores_that_are_all_alike_are_not_stretched_without_end():
    scores, learned = np.random.default_rng(3).gumbel(0.6, 0.1, 20), np.r_[np.full(80, 0.6), np.full(5, 0.7)]
    assert limit(scores, 0.01, learned=learned, by_factors=True) < 10


@pytest.mark.parametrize(("count", "learned"), [(10, 200), (20, 80), (40, 160)])
@pytest.mark.parametrize("width", [0.4, 1])
def test_the_promise_is_kept_whatever_the_learned_scores_spread(count, learned, width):
    gumbel = stats.gumbel_r(0.6, 0.1)
    drawn = gumbel.rvs(size=(2000, count + learned), random_state=np.random.default_rng(7))
    above = [limit(row[:count], 0.01, learned=width * row[count:]) for row in drawn]
    assert gumbel.sf(above).mean() < 0.0125


@pytest.mark.parametrize(("count", "learned"), [(10, 200), (20, 80), (40, 160)])
@pytest.mark.parametrize("power", [0.6, 1])
def test_of_factors_it_is_nearly_kept(count, learned, power):
    frechet = stats.invweibull(1 / 0.25)
    drawn = frechet.rvs(size=(2000, count + learned), random_state=np.random.default_rng(7))
    above = [limit(row[:count], 0.01, learned=row[count:] ** power, by_factors=True) for row in drawn]
    assert frechet.sf(above).mean() < 0.015


@pytest.mark.parametrize(("count", "rate"), [(5000, 0.3), (500, 0.01), (20, 0.1)])
def test_credible_is_what_the_binomial_law_says(count, rate):
    assert _credible(count, rate) == stats.binom.isf(0.05, count, rate) > 1
