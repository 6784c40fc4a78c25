import numpy as np
import pytest
from tests.calibration.conftest import scaled

from ssim_ae import InputError
from ssim_ae.calibration.false_alarms import expected_rate_above_maximum, prediction_limit
from ssim_ae.calibration.thresholds import (
    estimate,
    expected_rate,
    few_images_warnings,
    given_thresholds,
    percentiles,
)
from ssim_ae.config import Config
from ssim_ae.maps.residuals import Residuals
from ssim_ae.methods import method_of

FOREGROUND = np.ones((64, 64), bool)


def reference(**settings) -> Config:
    return Config(method="reference", **settings)


def anomaly_maps(held_out, thresholds, config):
    method = method_of(config)
    return [method.anomaly_map(residuals, thresholds, min_area=config.min_defect_area) for residuals in held_out]


def scores(held_out, config):
    """Return the scores of the images at the thresholds that are estimated from them."""
    maps = anomaly_maps(held_out, estimate(held_out, config), config)
    return np.array([anomaly.max() for anomaly in maps])


def test_percent_estimates_a_percentile_of_all_pixels(held_out):
    thresholds = estimate(held_out, reference(threshold="percent", percent=97))
    pixels = np.concatenate([residuals.maps[0].ravel() for residuals in held_out])
    assert thresholds["ssim"] == pytest.approx(np.percentile(pixels, 97))
    assert np.mean(pixels > thresholds["ssim"]) == pytest.approx(0.03, abs=0.001)


def test_max_estimates_just_above_the_maximum_score(held_out):
    found = scores(held_out, reference(threshold="max", percent=90))
    assert 0.9999 < found.max() <= 1


def test_k_sigma_estimates_the_mean_plus_k_standard_deviations(held_out):
    found = scores(held_out, reference(threshold="k_sigma", k_sigma=2, percent=90))
    spread = found.std(ddof=1) * (1 + 1 / len(found)) ** 0.5
    assert found.mean() + 2 * spread == pytest.approx(1, abs=1e-4)


def test_false_alarm_rate_estimates_the_prediction_limit(held_out):
    frequent, rare = (scores(held_out, reference(false_alarm_rate=rate)) for rate in (0.2, 0.01))
    assert frequent.max() > rare.max() < 1
    assert prediction_limit(rare, 0.01) == pytest.approx(1, abs=1e-4)


def test_the_spread_of_training_images_contributes_to_the_thresholds(held_out, rng):
    config = Config(method="repair")
    equal = [held_out[0]] * 50
    spread = [scaled(residuals, l1=factor) for residuals, factor in zip(equal, rng.uniform(0.2, 1, 50), strict=True)]
    narrow, wide = (estimate(held_out, config, training) for training in (equal, spread))
    assert narrow["l1"] / narrow["ssim"] < 0.8 * wide["l1"] / wide["ssim"], "each residual has its own threshold"
    without = estimate(held_out, config)
    assert sum(narrow.values()) < sum(without.values()) < sum(wide.values())
    maximum = config.replace(threshold="max")
    assert estimate(held_out, maximum, spread) == estimate(held_out, maximum)


@pytest.mark.parametrize("threshold", ["false_alarm_rate", "max", "k_sigma"])
def test_the_score_of_a_single_image_is_the_threshold(held_out, threshold):
    config = reference(threshold=threshold)
    assert scores(held_out[:1], config) == pytest.approx(1, abs=1e-4)
    assert expected_rate(1, config) == (None if threshold == "k_sigma" else expected_rate_above_maximum(1))


def test_expected_rate():
    assert expected_rate(30, reference(false_alarm_rate=0.05)).rate == pytest.approx(0.05, rel=1e-4)
    assert expected_rate(30, reference(threshold="max")).rate == pytest.approx(1 / 31)
    assert expected_rate(30, reference(threshold="percent")) is None
    assert expected_rate(30, reference(ssim_threshold=0.5)) is None
    assert expected_rate(30, reference(l1_threshold=0.5)) is None
    assert expected_rate(0, reference()) is None


@pytest.mark.parametrize("min_area", [60, 100, 200])
def test_max_area_leaves_only_smaller_regions_and_is_the_lowest_such_threshold(held_out, min_area):
    config = reference(threshold="max_area", min_area=min_area, percent=90)
    assert scores(held_out, config).max() <= 1
    thresholds = estimate(held_out, config)
    lower = {name: value * 0.999 for name, value in thresholds.items()}
    assert max(anomaly.max() for anomaly in anomaly_maps(held_out, lower, config)) > 1


def test_a_larger_minimum_area_lowers_the_thresholds(held_out):
    found = [estimate(held_out, reference(threshold="max_area", min_area=area))["ssim"] for area in (49, 100, 200)]
    assert found == sorted(found, reverse=True) and found[0] > found[-1]


def test_given_thresholds_are_kept(held_out):
    assert estimate([], reference(ssim_threshold=0.5, l1_threshold=0.25)) == {"ssim": 0.5, "l1": 0.25}
    one_given = estimate(held_out, reference(threshold="percent", ssim_threshold=0.5))
    assert one_given == {"ssim": 0.5, "l1": percentiles(held_out, 98)[1]}


def test_given_thresholds_are_those_of_a_config_with_both():
    assert given_thresholds(reference(ssim_threshold=0, l1_threshold=0.25)) == {"ssim": 0, "l1": 0.25}
    assert given_thresholds(reference(ssim_threshold=0.5)) is given_thresholds(reference(l1_threshold=0.5)) is None
    assert given_thresholds(reference()) is None


@pytest.fixture
def adjacent():
    """One image: the regions of both residuals are too thin for the opening, but not their union."""
    maps = np.full((2, 64, 64), 0.1, np.float32)
    maps[0, 20:26, 20:40] = maps[1, 26:32, 20:40] = 1
    return [Residuals(maps, FOREGROUND)]


def test_the_common_factor_accounts_for_both_residuals_together(adjacent):
    thresholds = estimate(adjacent, reference(threshold="max"))
    assert thresholds == pytest.approx({"ssim": 1, "l1": 1}, rel=1e-3)


@pytest.mark.parametrize("threshold", ["false_alarm_rate", "max"])
def test_the_l1_residual_has_a_quarter_of_the_weight_with_method_repair(held_out, threshold):
    equal = [residuals._replace(maps=residuals.maps[[0, 0]]) for residuals in held_out]
    config = Config(method="repair", threshold=threshold)
    thresholds = estimate(equal, config)
    assert thresholds["l1"] == pytest.approx(4 * thresholds["ssim"])
    l1_alone = estimate(equal, config.replace(ssim_threshold=1000.0))["l1"]
    assert l1_alone == pytest.approx(thresholds["ssim"] / (1 + 1 / 4), rel=1e-3), "alone it has the whole weight"


@pytest.mark.parametrize(("texture", "factor"), [(True, 4), (False, 1), (None, 1)])
def test_the_l1_residual_has_a_quarter_of_the_weight_on_textures_with_method_reference(held_out, texture, factor):
    equal = [residuals._replace(maps=residuals.maps[[0, 0]]) for residuals in held_out]
    thresholds = estimate(equal, reference(threshold="max", texture=texture))
    assert thresholds["l1"] == pytest.approx(factor * thresholds["ssim"])


@pytest.mark.parametrize("given", ["ssim", "l1"])
def test_a_given_threshold_does_not_influence_the_other(adjacent, given):
    thresholds = estimate(adjacent, reference(threshold="max", **{f"{given}_threshold": 9}))
    assert thresholds[given] == 9
    assert min(thresholds.values()) == pytest.approx(0.1, rel=1e-3)


def test_images_without_foreground_are_an_error(held_out):
    background = [residuals._replace(weights=~FOREGROUND) for residuals in held_out]
    with pytest.raises(InputError, match="bg_mask W: every good image is all background; leave it empty"):
        estimate(background, reference(bg_mask="W"))


def test_no_images_are_an_error():
    with pytest.raises(InputError, match="thresholds: no good images to estimate them from"):
        estimate([], reference())


def test_few_images_for_a_high_percentile_are_a_warning(held_out):
    config = reference(threshold="percent", percent=95)
    assert list(few_images_warnings(held_out * 2, config)) == []
    assert list(few_images_warnings(held_out, config)) == [
        "thresholds: estimated from only 12 good images; add good images"
    ]
    warnings = few_images_warnings(held_out * 2, config.replace(percent=99.95))
    assert "24 good images for percentile 99.95, too few (about 0 independent windows above it)" in next(warnings)


def test_few_images_for_a_false_alarm_rate_are_a_warning(held_out):
    assert list(few_images_warnings(held_out * 2, reference())) == []
    (warning,) = few_images_warnings(held_out, reference())
    assert "thresholds: estimated from only 12 good images; up to 4.2 % of new good images may be rejected; " in warning
