"""Metrics are compared with scikit-learn."""

from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn import metrics as reference

from ssim_ae.evaluation.metrics import Verdicts, area_under, auroc, bootstrap_samples, percentile_interval, roc

Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]
quick = settings(deadline=None, max_examples=80)


@st.composite
def scored(draw: st.DrawFn, *, min_dims: int = 1, max_dims: int = 1) -> tuple[Maps, Masks]:
    """Draw scores with many ties and labels of both classes, of the same shape."""
    shapes = hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, max_side=8)
    shape = draw(shapes.filter(lambda shape: np.prod(shape) > 1))
    scores = draw(hnp.arrays(np.float32, shape, elements=st.integers(-3, 9).map(lambda third: third / 3)))
    labels = draw(hnp.arrays(bool, shape).filter(lambda labels: labels.any() and not labels.all()))
    return scores, labels


@quick
@given(scored(max_dims=3))
def test_auroc_agrees_with_scikit_learn(case: tuple[Maps, Masks]) -> None:
    scores, labels = case
    expected = reference.roc_auc_score(labels.ravel(), scores.ravel())
    assert auroc(scores, labels) == pytest.approx(expected, abs=1e-12)


@quick
@given(scored(max_dims=2))
def test_roc_agrees_with_scikit_learn(case: tuple[Maps, Masks]) -> None:
    scores, labels = case
    expected = reference.roc_curve(labels.ravel(), scores.ravel(), drop_intermediate=False)
    for actual, wanted in zip(roc(scores, labels), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-12)


@pytest.mark.parametrize("label", [False, True])
def test_roc_is_nan_if_a_class_is_missing(label: bool) -> None:
    labels = np.full(4, label)
    false_positive, true_positive, _ = roc(np.arange(4.0), labels)
    assert isnan(auroc(np.arange(4.0), labels))
    assert np.isnan(false_positive).all() == label
    assert np.isnan(true_positive).all() != label


@pytest.mark.parametrize("limit", [0.05, 0.3, 0.5, 1.0])
def test_the_area_under_a_curve_is_cut_at_the_limit(limit: float) -> None:
    steps = np.linspace(0, 1, 8)
    assert area_under(steps, steps, limit=limit) == pytest.approx(limit / 2)
    assert area_under(np.array([0.0, 0, 1]), np.array([0.0, 1, 1]), limit=limit) == 1
    assert area_under(np.array([0.0, 1, 1]), np.array([0.0, 0, 1]), limit=limit) == 0
    assert isnan(area_under(steps, np.full(8, np.nan), limit=limit))


def test_bootstrap_interval_of_a_mean_agrees_with_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    samples = bootstrap_samples(np.zeros(400), resamples=4000)
    low, high = percentile_interval(values[samples[1:]].mean(axis=1))
    half_width = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half_width, values.mean() + half_width), abs=0.02)


def test_bootstrap_resamples_with_replacement_within_groups() -> None:
    groups = np.array([True, False, False, True, False, False, False])
    images, *samples = bootstrap_samples(groups, resamples=50)
    assert images.tolist() == list(range(7))
    assert all(groups[sample].sum() == 2 and len(sample) == 7 for sample in samples)
    draws = [tuple(sorted(sample)) for sample in samples]
    assert len(set(draws)) > 25
    assert any(len(set(draw)) < 7 for draw in draws)
    assert {image for draw in draws for image in draw} == set(range(7))


def test_bootstrap_depends_on_the_seed_alone_and_intervals_propagate_nan() -> None:
    groups = np.arange(9) > 3
    first, again, other = (bootstrap_samples(groups, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.isnan(percentile_interval([0.0, np.nan])).all()


@quick
@given(scored())
def test_verdicts_agree_with_scikit_learn(case: tuple[Maps, Masks]) -> None:
    scores, labels = case
    verdicts = Verdicts.of(scores, labels)
    recalls = [reference.recall_score(labels, scores > 1, pos_label=kind) for kind in (False, True)]
    assert (verdicts.ok, verdicts.nok) == pytest.approx(recalls)
    assert verdicts.avg == pytest.approx(reference.accuracy_score(labels, scores > 1))
    assert verdicts.balanced_accuracy == pytest.approx(np.mean(recalls))
    assert (verdicts.good, verdicts.defective) == ((~labels).sum(), labels.sum())


def test_verdicts_are_added() -> None:
    assert Verdicts(3, 2, 1, 0) + Verdicts(10, 20, 5, 7) == Verdicts(13, 22, 6, 7)


def test_a_score_equal_to_the_threshold_is_accepted_and_missing_classes_are_nan() -> None:
    verdicts = Verdicts.of([0.5, 1.0, 1.001], [False, False, False])
    assert verdicts == Verdicts(good=3, defective=0, good_accepted=2, defective_rejected=0)
    assert verdicts.ok == verdicts.avg == pytest.approx(2 / 3)
    assert isnan(verdicts.nok)
    assert isnan(verdicts.balanced_accuracy)


@pytest.mark.parametrize("function", [auroc, roc, Verdicts.of])
def test_scores_with_other_shapes_or_nan_are_errors(function: Any) -> None:
    with pytest.raises(ValueError, match=r"the same shape, got \(3,\) and \(2,\)"):
        function(np.zeros(3), np.zeros(2, bool))
    with pytest.raises(ValueError, match=r"no NaN, got 1 in scores of shape \(2,\)"):
        function(np.array([0, np.nan]), np.array([False, True]))


def test_invalid_limits_and_groups_are_errors() -> None:
    for limit in (0, 1.5):
        with pytest.raises(ValueError, match=f"up to 1, got {limit}"):
            area_under(np.array([0.0, 1.0]), np.array([0.0, 1.0]), limit=limit)
    with pytest.raises(ValueError, match=r"groups \(images,\), got shape \(0,\)"):
        bootstrap_samples(np.array([]))
    with pytest.raises(ValueError, match=r"expected scores, got shape \(0,\)"):
        roc(np.array([]), np.array([], bool))
