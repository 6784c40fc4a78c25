"""Histograms of scores, and the rank test between two of them."""

import numpy as np
import pytest

from ssim_ae.batch.score_histogram import ScoreHistogram


def test_the_test_is_that_of_mann_and_whitney(rng):
    stats = pytest.importorskip("scipy.stats")
    first, second = rng.lognormal(-0.5, 0.3, 40), rng.lognormal(-0.4, 0.3, 300)
    ranks = [np.floor(16 * np.log2(scores)) for scores in (first, second)]
    expected = stats.mannwhitneyu(*ranks, method="asymptotic", alternative="greater", use_continuity=False)
    found = ScoreHistogram.of(first, 1.0).compared_with(ScoreHistogram.of(second, 1.0))
    assert found.higher == pytest.approx(expected.statistic / (40 * 300))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_equal_distributions_differ_as_rarely_as_the_level_says(rng):
    p_values = [
        ScoreHistogram.of(rng.beta(5, 3, 30), 1.0).compared_with(ScoreHistogram.of(rng.beta(5, 3, 500), 1.0)).p_value
        for _ in range(400)
    ]
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.09
    assert min(p_values) > 1e-4


def test_scores_that_are_all_equal_do_not_differ():
    same = ScoreHistogram.of([0.5] * 9, 1.0)
    assert same.compared_with(same) == (0.5, 1.0)


def test_accepted_scores_are_those_up_to_the_threshold():
    assert len(ScoreHistogram.of([0.0, 1.5, 2.0, 2.0001], 2.0).accepted()) == 3


def test_counts_are_kept_whatever_is_shown(rng):
    scores, others = ScoreHistogram.of(rng.lognormal(0, 2, 500), 1.0), ScoreHistogram.of([1e-9, 1e9], 1.0)
    bins = list(scores.shown(others))
    assert sum(item.images for item in bins) == 500
    assert (bins[0].low, bins[-1].high) == (1 / 16, 16)
    assert not list(ScoreHistogram().shown())
