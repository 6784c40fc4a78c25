"""Metrics are compared with SciPy, scikit-learn and slow direct implementations."""

from itertools import pairwise
from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics as reference

from ssim_ae.evaluation.metrics import (
    PixelHistograms,
    Verdicts,
    area_under,
    au_pro,
    auroc,
    bootstrap,
    pixel_f1,
    pro_curve,
    roc,
)

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


def direct_au_pro(maps: Maps, masks: Masks, limit: float) -> float:
    """Threshold the maps at each distinct score, and integrate segment by segment up to the limit."""
    regions = []
    for index, mask in enumerate(masks):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [(index, labels == number) for number in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        marked = maps >= threshold
        overlaps = [marked[index][region].mean() for index, region in regions]
        points.append((marked[~masks].mean(), np.mean(overlaps)))
    area = 0.0
    for (left, low), (right, high) in pairwise(points):
        if right > left and left < limit:
            end = min(right, limit)
            height = low + (high - low) * (end - left) / (right - left)
            area += (end - left) * (low + height) / 2
    return area / limit


def noisy_images(count: int, side: int) -> tuple[Maps, Masks]:
    """Return smooth noise with higher values in the squares of the masks; every other image has a mask."""
    rng = np.random.default_rng(0)
    masks = np.zeros((count, side, side), bool)
    for mask in masks[1::2]:
        for row, column in rng.integers(0, side - 8, (3, 2)):
            mask[row : row + rng.integers(2, 8), column : column + rng.integers(2, 8)] = True
    noise = ndimage.gaussian_filter(rng.normal(size=masks.shape), (0, 2, 2)) * 7
    return (noise + 1.5 * masks).astype(np.float32), masks


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


@quick
@given(scored(min_dims=3, max_dims=3), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
def test_au_pro_agrees_with_the_direct_implementation(case: tuple[Maps, Masks], limit: float) -> None:
    maps, masks = case
    assert au_pro(maps, masks, limit=limit) == pytest.approx(direct_au_pro(maps, masks, limit), abs=1e-12)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_au_pro_of_perfect_constant_and_inverted_maps(limit: float) -> None:
    _, masks = noisy_images(4, 16)
    perfect = masks.astype(np.float32)
    assert au_pro(perfect, masks, limit=limit) == pytest.approx(1)
    assert au_pro(np.zeros_like(perfect), masks, limit=limit) == pytest.approx(limit / 2)
    assert au_pro(-perfect, masks, limit=limit) == 0


def test_au_pro_weights_small_and_large_regions_equally() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[4:, 4:] = True
    small_region_only = np.zeros((10, 10))
    small_region_only[0, 0] = 1
    rates, overlaps = pro_curve([small_region_only], [mask])
    np.testing.assert_allclose((rates, overlaps), [(0, 0, 1), (0, 0.5, 1)])


def test_au_pro_accepts_images_of_different_sizes() -> None:
    maps, masks = noisy_images(2, 16)
    of_whole_images = au_pro(maps, masks)
    of_parts = au_pro([maps[0][:5], maps[0][5:], maps[1]], [masks[0][:5], masks[0][5:], masks[1]])
    assert of_parts == pytest.approx(of_whole_images, abs=1e-12)


@pytest.mark.parametrize("mask", [np.zeros((3, 3), bool), np.ones((3, 3), bool)])
def test_au_pro_is_nan_without_regions_or_without_good_pixels(mask: Masks) -> None:
    assert isnan(au_pro([np.eye(3)], [mask]))


@quick
@given(scored(min_dims=2, max_dims=3))
def test_pixel_f1_agrees_with_scikit_learn(case: tuple[Maps, Masks]) -> None:
    scores, truth = case
    expected = reference.f1_score(truth.ravel(), scores.ravel() > 1)
    assert pixel_f1(scores > 1, truth) == pytest.approx(expected, abs=1e-12)


def test_pixel_f1_is_nan_if_all_masks_are_empty() -> None:
    assert isnan(pixel_f1(np.zeros((2, 3, 3), bool), np.zeros((2, 3, 3), bool)))


def test_bootstrap_interval_of_a_mean_agrees_with_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap(lambda images: float(values[images].mean()), np.zeros(400), resamples=4000)
    half_width = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half_width, values.mean() + half_width), abs=0.02)


def test_bootstrap_resamples_with_replacement_within_groups() -> None:
    groups = np.array([True, False, False, True, False, False, False])
    draws: list[tuple[int, ...]] = []

    def record(images: NDArray[Any]) -> float:
        assert groups[images].sum() == 2
        assert len(images) == 7
        draws.append(tuple(sorted(images)))
        return 0.0

    assert bootstrap(record, groups, resamples=50) == (0, 0)
    assert len(set(draws)) > 25
    assert any(len(set(draw)) < 7 for draw in draws)
    assert {image for draw in draws for image in draw} == set(range(7))


def test_bootstrap_depends_on_the_seed_alone_and_propagates_nan() -> None:
    values = np.arange(9.0)
    intervals = [bootstrap(lambda images: values[images].mean(), values > 3, seed=seed) for seed in (0, 0, 1)]
    assert intervals[0] == intervals[1] != intervals[2]
    assert np.isnan(bootstrap(lambda _: np.nan, values > 3)).all()


@quick
@given(scored(min_dims=3, max_dims=3), st.data())
def test_histograms_with_a_level_for_each_pixel_are_exact(case: tuple[Maps, Masks], data: st.DataObject) -> None:
    maps, masks = case
    images = np.array(data.draw(st.lists(st.integers(0, len(maps) - 1), min_size=1, max_size=12)))
    histograms = PixelHistograms.of(maps, masks, levels=maps.size)
    expected = auroc(maps[images], masks[images]), au_pro(maps[images], masks[images])
    found = histograms.auroc(images), histograms.au_pro(images)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_histograms_with_the_default_levels_are_accurate() -> None:
    maps, masks = noisy_images(10, 128)
    histograms = PixelHistograms.of(maps, masks)
    images = np.arange(10)
    assert histograms.auroc(images) == pytest.approx(auroc(maps, masks), abs=1e-3)
    for limit in (0.05, 0.3):
        expected = au_pro(maps, masks, limit=limit)
        assert 0.2 < expected < 0.95
        assert histograms.au_pro(images, limit=limit) == pytest.approx(expected, abs=1e-3)


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


@pytest.mark.parametrize("function", [pro_curve, au_pro, PixelHistograms.of])
def test_maps_and_masks_with_other_shapes_are_errors(function: Any) -> None:
    with pytest.raises(ValueError, match="equal numbers of maps and masks, got 2 and 1"):
        function(np.zeros((2, 3, 3)), np.zeros((1, 3, 3), bool))
    with pytest.raises(ValueError, match=r"the same shape, got \(3, 3\) and \(3, 4\)"):
        function(np.zeros((1, 3, 3)), np.zeros((1, 3, 4), bool))
    with pytest.raises(ValueError, match=r"\(rows, columns\), got shape \(3,\)"):
        function(np.zeros((1, 3)), np.zeros((1, 3), bool))


def test_invalid_limits_and_groups_are_errors() -> None:
    for limit in (0, 1.5):
        with pytest.raises(ValueError, match=f"up to 1, got {limit}"):
            area_under(np.array([0.0, 1.0]), np.array([0.0, 1.0]), limit=limit)
    with pytest.raises(ValueError, match=r"groups \(images,\), got shape \(0,\)"):
        bootstrap(lambda _: 0.0, np.array([]))
    with pytest.raises(ValueError, match=r"expected scores, got shape \(0,\)"):
        roc(np.array([]), np.array([], bool))
