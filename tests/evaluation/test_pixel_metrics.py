"""Pixel metrics are compared with scikit-learn and a slow direct implementation on all pixels."""

import pickle
from itertools import pairwise
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics as reference

from ssim_ae.evaluation import pixel_metrics as module
from ssim_ae.evaluation.metrics import bootstrap_samples, percentile_interval
from ssim_ae.evaluation.pixel_metrics import PIXEL_METRICS, PixelCounts, pixel_metrics

Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]
quick = settings(deadline=None, max_examples=80)
few_scores = st.integers(0, 9).map(lambda third: third / 3)  # with many ties
all_scores = st.just(0.0) | st.floats(0, width=32, allow_nan=False) | st.floats(1, 1.125, width=32)


@st.composite
def scored(draw: st.DrawFn, elements: st.SearchStrategy[float]) -> tuple[Maps, Masks, NDArray[np.intp]]:
    """Draw maps and masks (images, rows, columns), and a sample of their images with good and defective pixels."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=5))
    maps = draw(hnp.arrays(np.float32, shape, elements=elements))
    masks = draw(hnp.arrays(bool, shape))
    numbers = st.integers(0, len(maps) - 1)
    good, defective = draw(numbers), draw(numbers)
    masks[good, 0, 0], masks[defective, -1, -1] = False, True
    images = np.array([good, defective, *draw(st.lists(numbers, max_size=10))])
    return maps, masks, images


def region_weights(masks: Masks) -> NDArray[np.float64]:
    """Return 1 / the area of its region for each pixel of the masks, 1 outside them."""
    weights = np.ones(masks.shape)
    for mask, of_mask in zip(masks, weights, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        for number in range(1, count + 1):
            of_mask[labels == number] /= (labels == number).sum()
    return weights


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


def sorted_au_pro(maps: Maps, masks: Masks, limit: float) -> float:
    """Compute AU-PRO as the area under the ROC curve of weighted pixels: fast, also with many distinct scores."""
    weights = region_weights(masks).ravel()
    rates, overlaps, _ = reference.roc_curve(
        masks.ravel(), maps.ravel(), sample_weight=weights, drop_intermediate=False
    )
    inside = rates <= limit
    heights = np.append(overlaps[inside], np.interp(limit, rates, overlaps))
    return float(np.trapezoid(heights, np.append(rates[inside], limit)) / limit)


def exact(maps: Maps, masks: Masks, au_pro=direct_au_pro) -> list[float]:
    auroc = reference.roc_auc_score(masks.ravel(), maps.ravel())
    f1 = reference.f1_score(masks.ravel(), maps.ravel() > 1)
    return [auroc, au_pro(maps, masks, 0.3), au_pro(maps, masks, 0.05), f1]


def computed(maps: Maps, masks: Masks, samples: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the metrics of samples, (samples, metrics)."""
    images = [PixelCounts.of(*pair) for pair in zip(maps, masks, strict=True)]
    found = pixel_metrics(images, samples)
    assert tuple(found) == PIXEL_METRICS
    return np.stack(list(found.values()), axis=1)


def of_all(maps: Maps, masks: Masks) -> list[float]:
    return computed(maps, masks, np.arange(len(maps))[None])[0].tolist()


def noisy_images(count: int, side: int) -> tuple[Maps, Masks]:
    """Return maps with distinct scores, higher in the squares of the masks; every other image has a mask."""
    rng = np.random.default_rng(0)
    masks = np.zeros((count, side, side), bool)
    for mask in masks[1::2]:
        for row, column in rng.integers(0, side - 8, (3, 2)):
            mask[row : row + rng.integers(2, 8), column : column + rng.integers(2, 8)] = True
    noise = ndimage.gaussian_filter(rng.normal(size=masks.shape), (0, 2, 2)) * 7
    return np.exp(0.3 * (noise + 1.5 * masks)).astype(np.float32), masks


@quick
@given(scored(few_scores | all_scores))
def test_metrics_of_few_distinct_scores_are_exact(case) -> None:
    maps, masks, images = case
    with np.errstate(over="ignore"):
        found = computed(maps, masks, images[None])[0]
    finite = np.where(np.isinf(maps), 1e39, maps.astype(np.float64))  # more than any float32
    assert found == pytest.approx(exact(finite[images], masks[images]), abs=1e-6)


@quick
@given(scored(all_scores), st.integers(1, 20))
def test_metrics_of_more_scores_are_those_of_rounded_scores(case, limit) -> None:
    maps, masks, images = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_BINS", limit)
        patch.setattr(module, "MAX_SUMMED_BINS", limit)
        counts = [PixelCounts.of(*pair) for pair in zip(maps, masks, strict=True)]
        found = list(pixel_metrics(counts, images[None]).values())
        bits = [number for number in range(32) if len(np.unique(maps.view(np.uint32) >> np.uint32(number))) <= limit]
    assert all(len(histogram.bins) <= limit for image in counts for histogram in (image.good, image.defective))
    rounded = (maps.view(np.uint32) >> np.uint32(bits[0])).astype(np.float64)
    assert np.ravel(found)[:3] == pytest.approx(exact(rounded[images], masks[images])[:3], abs=1e-6)


def transformed(name: str, maps: Maps) -> Maps:
    """Return maps of another distribution, in the same order."""
    x = np.log(maps.astype(np.float64))
    values = {"wide": np.exp(3 * x), "narrow": np.exp(0.03 * x), "many zeros": np.maximum(0, x), "as it is": maps}
    return values[name].astype(np.float32)


@pytest.mark.parametrize("distribution", ["as it is", "wide", "narrow", "many zeros"])
def test_metrics_and_intervals_are_accurate(distribution) -> None:
    maps, masks = noisy_images(10, 128)
    maps = transformed(distribution, maps)
    assert len(np.unique(maps)) > 70_000
    samples = bootstrap_samples(masks.any(axis=(1, 2)), resamples=20)
    expected = np.array([exact(maps[images], masks[images], sorted_au_pro) for images in samples])
    found = computed(maps, masks, samples)
    assert ((expected[:, :3] > 0.02) & (expected[:, :3] < 0.95)).all()
    for values, wanted, tolerance in zip(found.T, expected.T, (2e-5, 1e-4, 3e-4, 1e-12), strict=True):
        np.testing.assert_allclose(values, wanted, atol=tolerance, rtol=0)
        assert percentile_interval(values[1:]) == pytest.approx(percentile_interval(wanted[1:]), abs=tolerance)


@pytest.mark.parametrize("side", [16, 31])
def test_the_references_agree(side) -> None:
    maps, masks = noisy_images(4, side)
    assert sorted_au_pro(maps, masks, 0.3) == pytest.approx(direct_au_pro(maps, masks, 0.3))


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("value", [0, 1e-30, 1, 1e30, np.inf])
def test_metrics_of_perfect_constant_and_inverted_maps(count, value) -> None:
    masks = noisy_images(2 * count, 16)[1][1::2]
    constant = np.full(masks.shape, value, np.float32)
    share = masks.mean()
    assert of_all(constant, masks) == pytest.approx([0.5, 0.15, 0.025, 2 * share / (1 + share) if value > 1 else 0])
    assert of_all(2 * masks, masks) == pytest.approx([1, 1, 1, 1])
    assert of_all(2 * ~masks, masks) == [0, 0, 0, 0]


def test_au_pro_weights_small_and_large_regions_equally() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[4:, 4:] = True
    small_region_only = np.zeros((10, 10))
    small_region_only[0, 0] = 1
    assert of_all(small_region_only[None], mask[None])[1] == pytest.approx(0.5 + 0.5 * 0.3 / 2)


def test_images_of_different_sizes_count_by_their_pixels() -> None:
    maps, masks = noisy_images(2, 16)
    parts = [maps[0][:5], maps[0][5:], maps[1]], [masks[0][:5], masks[0][5:], masks[1]]
    assert computed(*parts, np.arange(3)[None])[0] == pytest.approx(of_all(maps, masks))


def test_metrics_do_not_depend_on_how_many_images_and_samples_are_added_at_once(monkeypatch) -> None:
    maps, masks = noisy_images(9, 32)
    samples = bootstrap_samples(masks.any(axis=(1, 2)), resamples=10)
    together = computed(maps, masks, samples)
    monkeypatch.setattr(module, "IMAGES_AT_ONCE", 2)
    for cells in (1, 3000):
        monkeypatch.setattr(module, "MAX_CELLS", cells)
        np.testing.assert_allclose(computed(maps, masks, samples), together)


@pytest.mark.parametrize("defective", [False, True])
def test_metrics_are_nan_without_defective_or_good_pixels(defective) -> None:
    masks = np.stack([np.full((3, 3), defective), np.eye(3) > 0])
    found = computed(np.ones((2, 3, 3)), masks, np.array([[0, 0], [0, 1]]))
    assert np.isnan(found[0, :3]).all() and not np.isnan(found[1]).any()
    assert isnan(found[0, 3]) != defective


def test_the_counts_of_an_image_are_small() -> None:
    maps, masks = noisy_images(2, 512)
    for anomaly, mask in zip(maps, masks, strict=True):
        assert len(pickle.dumps(PixelCounts.of(anomaly, mask))) < 100_000


def test_minus_zero_is_zero_and_other_negative_scores_are_errors() -> None:
    mask = np.eye(3) > 0
    counts = PixelCounts.of(np.full((3, 3), -0.0), mask)
    assert counts.good.bins.tolist() == counts.defective.bins.tolist() == [0]
    with pytest.raises(ValueError, match=r"expected scores of 0 or more, got -1\.0"):
        PixelCounts.of(np.full((3, 3), -1.0), mask)
    with pytest.raises(ValueError, match="expected no NaN, got 9"):
        PixelCounts.of(np.full((3, 3), np.nan), mask)
    with pytest.raises(ValueError, match=r"the same shape, got \(3, 3\) and \(3, 4\)"):
        PixelCounts.of(np.zeros((3, 3)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"\(rows, columns\), got shape \(3,\)"):
        PixelCounts.of(np.zeros(3), np.ones(3))
