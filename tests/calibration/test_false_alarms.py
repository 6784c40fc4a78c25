"""Expected and actual false-alarm rates, on scores from known distributions."""

import numpy as np
import pytest
from scipy import stats

from ssim_ae.calibration.false_alarms import (
    _max_exceedances,
    expected_false_alarm_rate,
    expected_rate_above_maximum,
    prediction_limit,
)


def actual_rates(distribution, count, rate, sets=3000, *, use_log=False):
    """The false-alarm rates of limits that are each estimated from `count` scores."""
    drawn = distribution.rvs(size=(sets, count), random_state=np.random.default_rng(7))
    return distribution.sf([prediction_limit(scores, rate, use_log=use_log) for scores in drawn])


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("count", [10, 20, 200])
def test_mean_rate_is_the_requested_one_for_gumbel_scores(count, rate):
    rates = actual_rates(stats.gumbel_r(0.6, 0.1), count, rate)
    assert rates.mean() == pytest.approx(rate, rel=0.25)


def test_mean_rate_is_the_requested_one_for_logarithms_of_frechet_scores():
    frechet = stats.invweibull(4, scale=0.6)
    assert actual_rates(frechet, 20, 0.01, use_log=True).mean() == pytest.approx(0.01, rel=0.25)
    assert actual_rates(frechet, 20, 0.01).mean() > 0.025


def test_limit_of_zero_scores_is_zero():
    assert 0 <= prediction_limit(np.array([0.0, 0.0, 0.0]), 0.01, use_log=True) < 1e-9


@pytest.mark.parametrize("count", [2, 5])
def test_expected_rate_exceeds_the_requested_one_for_too_few_scores(count):
    rates = actual_rates(stats.gumbel_r(0.6, 0.1), count, 0.01)
    assert rates.mean() == pytest.approx(expected_false_alarm_rate(count, 0.01).rate, rel=0.1)
    assert rates.mean() > 0.015


def test_interval_contains_nine_of_ten_rates_for_gumbel_scores():
    rates = actual_rates(stats.gumbel_r(0.6, 0.1), 20, 0.01)
    _, low, high = expected_false_alarm_rate(20, 0.01)
    assert np.mean((low < rates) & (rates < high)) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("other", [stats.norm(0.6, 0.1), stats.lognorm(0.25, scale=0.6), stats.gamma(20, scale=0.03)])
def test_mean_rate_is_not_exceeded_for_other_distributions(other):
    assert actual_rates(other, 40, 0.01).mean() < 0.012


@pytest.mark.parametrize("count", [30, 200])
def test_one_outlier_moves_the_limit_little(count):
    scores = np.random.default_rng(3).gumbel(0.6, 0.1, count)
    with_outlier = scores.copy()
    with_outlier[0] = 10
    assert prediction_limit(with_outlier, 0.01) < 1.15 * prediction_limit(scores, 0.01)


def test_limit_is_equivariant_under_affine_maps():
    scores = np.random.default_rng(3).gumbel(0.6, 0.1, 30)
    assert prediction_limit(5 * scores + 2, 0.01) == pytest.approx(5 * prediction_limit(scores, 0.01) + 2)


def test_limit_of_equal_scores_is_that_score():
    assert prediction_limit(np.full(12, 0.5), 0.01) == 0.5


def test_more_scores_narrow_the_interval():
    rates = [expected_false_alarm_rate(count, 0.01) for count in (10, 50, 200, 10_000)]
    widths = [rate.high - rate.low for rate in rates]
    assert widths == sorted(widths, reverse=True)


def test_rate_above_the_maximum_follows_the_beta_distribution():
    rates = 1 - np.random.default_rng(1).random((20_000, 9)).max(axis=1)
    expected = expected_rate_above_maximum(9)
    assert expected.rate == pytest.approx(rates.mean(), abs=0.003) == pytest.approx(0.1, abs=0.003)
    assert (expected.low, expected.high) == pytest.approx(np.quantile(rates, [0.05, 0.95]), abs=0.005)


def test_training_scores_contribute_shape_but_not_location():
    """4 % of the scores are outliers: rare among 20 held-out scores, but not among 200 (lower) training scores."""
    usual, outlier = stats.gumbel_r(0.6, 0.1), stats.gumbel_r(1.5, 0.1)
    rng = np.random.default_rng(7)
    scores = np.where(rng.random((500, 220)) < 0.04, outlier.rvs((500, 220), rng), usual.rvs((500, 220), rng))

    def actual_rate(training_count):
        held_out, training = scores[:, :20], scores[:, 20 : 20 + training_count] - 0.3
        pairs = zip(held_out, training, strict=True)
        limits = np.array([prediction_limit(some, 0.01, training_scores=others) for some, others in pairs])
        return (0.96 * usual.sf(limits) + 0.04 * outlier.sf(limits)).mean()

    assert actual_rate(200) < 0.015 < 0.02 < actual_rate(0)


def test_training_scores_are_stretched_to_a_larger_spread_of_held_out_scores():
    scores, training = np.random.default_rng(3).gumbel(0.6, 0.1, (2, 50))
    expected = prediction_limit(scores, 0.01, training_scores=training)
    assert prediction_limit(scores, 0.01, training_scores=training / 5) == pytest.approx(expected, rel=0.05)
    assert prediction_limit(scores, 0.01, training_scores=5 * training) > 1.5 * expected, "never shrunk"


def test_training_scores_are_moved_by_a_factor_with_log_scores():
    scores, training = np.exp(np.random.default_rng(3).gumbel(0, 0.2, (2, 30)))
    expected = prediction_limit(scores, 0.01, training_scores=training, use_log=True)
    assert prediction_limit(scores, 0.01, training_scores=7 * training, use_log=True) == pytest.approx(expected)


def test_outliers_of_training_scores_are_stretched_as_factors_and_not_as_powers():
    """Stretched by 2, ten times the median becomes 19 times the median, not 100 times."""
    scores = np.exp(np.random.default_rng(3).gumbel(0, 0.1, 50))
    usual, outliers = np.tile(scores, 4), np.linspace(6, 10, 9)
    actual = prediction_limit(scores, 0.01, training_scores=np.r_[np.sqrt(usual), outliers], use_log=True)
    expected = prediction_limit(scores, 0.01, training_scores=np.r_[usual, 2 * outliers - 1], use_log=True)
    assert actual == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("count", [3, 10])
def test_limit_is_bounded_for_a_few_scores_of_large_spread_and_many_training_scores_of_small_spread(count):
    rng = np.random.default_rng(3)
    for _ in range(200):
        scores, training = np.exp(0.7 * rng.gumbel(size=count)), np.exp(0.1 * rng.normal(size=100))
        assert prediction_limit(scores, 0.01, training_scores=training, use_log=True) < 1000 * scores.max()


def test_expected_rate_exceeds_the_requested_one_for_a_few_scores_and_many_training_scores():
    assert expected_false_alarm_rate(3, 0.01, training_count=200).rate > 0.015


@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_mean_rate_is_the_requested_one_for_many_scores_with_a_heavier_tail(rate):
    """4 % of the scores are outliers: too rare for a few scores, but not for 200."""
    usual, outlier = stats.gumbel_r(0.6, 0.1), stats.gumbel_r(1.5, 0.1)
    rng = np.random.default_rng(7)
    rates = []
    for _ in range(1000):
        scores = np.where(rng.random(200) < 0.04, outlier.rvs(200, random_state=rng), usual.rvs(200, random_state=rng))
        limit = prediction_limit(scores, rate)
        rates.append(0.96 * usual.sf(limit) + 0.04 * outlier.sf(limit))
    assert np.mean(rates) == pytest.approx(rate, rel=0.3)


@pytest.mark.parametrize(("count", "most"), [(10, 1), (42, 2)])
def test_no_more_scores_exceed_the_limit_than_a_binomial_test_accepts(count, most):
    """The network has fitted the training images, so that their scores contain no outliers."""
    scores = np.r_[np.linspace(0.5, 0.7, count - most - 1), np.linspace(2, 3, most + 1)]
    limit = prediction_limit(scores, 0.01, training_scores=np.linspace(0.5, 0.7, 400))
    assert limit == pytest.approx(2) and np.sum(scores > limit) == most
    assert stats.binom.sf(most, count, 0.01) < 0.05


def test_one_outlier_or_zero_moves_the_limit_little_with_training_scores():
    scores, training = np.random.default_rng(3).gumbel(0.6, 0.1, 20), np.random.default_rng(4).gumbel(0.6, 0.1, 80)
    expected = prediction_limit(scores, 0.01, training_scores=training, use_log=True)
    for outlier in (30, 0):
        changed = np.r_[outlier, scores[1:]]
        assert prediction_limit(changed, 0.01, training_scores=training, use_log=True) < 1.4 * expected


def test_stretch_of_almost_equal_training_scores_is_bounded():
    scores, training = np.random.default_rng(3).gumbel(0.6, 0.1, 20), np.r_[np.full(80, 0.6), np.full(5, 0.7)]
    assert prediction_limit(scores, 0.01, training_scores=training, use_log=True) < 10


@pytest.mark.parametrize(("count", "training_count"), [(10, 200), (20, 80), (40, 160)])
@pytest.mark.parametrize("width", [0.4, 1])
def test_mean_rate_is_not_exceeded_for_any_spread_of_training_scores(count, training_count, width):
    gumbel = stats.gumbel_r(0.6, 0.1)
    drawn = gumbel.rvs(size=(2000, count + training_count), random_state=np.random.default_rng(7))
    limits = [prediction_limit(row[:count], 0.01, training_scores=width * row[count:]) for row in drawn]
    assert gumbel.sf(limits).mean() < 0.0125


@pytest.mark.parametrize(("count", "training_count"), [(10, 200), (20, 80), (40, 160)])
@pytest.mark.parametrize("power", [0.6, 1])
def test_mean_rate_is_nearly_kept_with_log_scores(count, training_count, power):
    frechet = stats.invweibull(1 / 0.25)
    drawn = frechet.rvs(size=(2000, count + training_count), random_state=np.random.default_rng(7))
    limits = [prediction_limit(row[:count], 0.01, training_scores=row[count:] ** power, use_log=True) for row in drawn]
    assert frechet.sf(limits).mean() < 0.015


@pytest.mark.parametrize(("count", "rate"), [(5000, 0.3), (500, 0.01), (20, 0.1)])
def test_max_exceedances_are_a_quantile_of_the_binomial_distribution(count, rate):
    assert _max_exceedances(count, rate) == stats.binom.isf(0.05, count, rate) > 1
