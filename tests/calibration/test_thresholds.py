import numpy as np
import pytest

from ssim_ae import InputError
from ssim_ae.calibration.calibrate import false_alarms
from ssim_ae.calibration.false_alarms import expected_rate_above_maximum, prediction_limit
from ssim_ae.calibration.thresholds import estimate, few_images_notes, percentiles, promised
from ssim_ae.config import Config
from ssim_ae.maps.residuals import Residuals, Thresholds, anomaly_map


@pytest.fixture
def held_out(rng):
    def maps():
        blotches = np.kron(rng.random((16, 16)), np.ones((4, 4)))
        ssim = (0.2 * blotches + 0.1 * rng.random((64, 64))).astype(np.float32)
        return Residuals(ssim, 0.3 * ssim + 0.01 * rng.random((64, 64), np.float32), np.ones((64, 64), bool))

    return [maps() for _ in range(12)]


def scores(held_out, config):
    limits = estimate(held_out, config)
    return np.array([anomaly_map(maps, limits, min_area=config.min_defect_area).max() for maps in held_out])


def test_percent_is_the_references(held_out):
    limits = estimate(held_out, Config(threshold="percent", percent=97))
    pixels = np.concatenate([maps.ssim.ravel() for maps in held_out])
    assert limits.ssim == pytest.approx(np.percentile(pixels, 97))
    assert np.mean(pixels > limits.ssim) == pytest.approx(0.03, abs=0.001)


def test_max_puts_the_limit_just_above_the_highest_score(held_out):
    found = scores(held_out, Config(threshold="max", percent=90))
    assert 0.9999 < found.max() <= 1


def test_k_sigma_puts_it_at_mean_plus_k_deviations(held_out):
    found = scores(held_out, Config(threshold="k_sigma", k_sigma=2, percent=90))
    spread = found.std(ddof=1) * (1 + 1 / len(found)) ** 0.5
    assert found.mean() + 2 * spread == pytest.approx(1, abs=1e-4)


def test_false_alarm_rate_puts_it_where_new_scores_seldom_are(held_out):
    often, seldom = (scores(held_out, Config(false_alarm_rate=rate)) for rate in (0.2, 0.01))
    assert often.max() > seldom.max() < 1
    assert prediction_limit(seldom, 0.01) == pytest.approx(1, abs=1e-4)


def test_images_that_were_learned_from_tell_how_far_scores_spread(held_out, rng):
    config = Config(method="repair")
    alike = [held_out[0]] * 50
    spread = [maps._replace(l1=maps.l1 * by) for maps, by in zip(alike, rng.uniform(0.2, 1, 50), strict=True)]
    narrow, wide = (estimate(held_out, config, learned) for learned in (alike, spread))
    assert narrow.l1 / narrow.ssim < 0.8 * wide.l1 / wide.ssim, "each residual has a limit of its own"
    without = estimate(held_out, config)
    assert narrow.ssim + narrow.l1 < without.ssim + without.l1 < wide.ssim + wide.l1
    highest = config.replace(threshold="max")
    assert estimate(held_out, highest, spread) == estimate(held_out, highest)


@pytest.mark.parametrize("threshold", ["false_alarm_rate", "max", "k_sigma"])
def test_of_one_image_the_score_is_the_limit(held_out, threshold):
    config = Config(threshold=threshold)
    assert scores(held_out[:1], config) == pytest.approx(1, abs=1e-4)
    assert promised(1, config) == (None if threshold == "k_sigma" else expected_rate_above_maximum(1))


def test_what_is_promised():
    assert promised(30, Config(false_alarm_rate=0.05)).rate == pytest.approx(0.05, rel=1e-4)
    assert promised(30, Config(threshold="max")).rate == pytest.approx(1 / 31)
    assert promised(30, Config(threshold="percent")) is None
    assert promised(30, Config(ssim_threshold=0.5)) is None
    assert promised(0, Config()) is None


@pytest.mark.parametrize("min_area", [60, 100, 200])
def test_max_area_leaves_only_regions_just_under_it(held_out, min_area):
    config = Config(threshold="max_area", min_area=min_area, percent=90)
    assert scores(held_out, config).max() <= 1
    limits = estimate(held_out, config)
    lower = Thresholds(limits.ssim * 0.999, limits.l1 * 0.999)
    assert max(anomaly_map(maps, lower, min_area=min_area).max() for maps in held_out) > 1


def test_a_larger_area_lowers_the_thresholds(held_out):
    found = [estimate(held_out, Config(threshold="max_area", min_area=area)).ssim for area in (49, 100, 200)]
    assert found == sorted(found, reverse=True) and found[0] > found[-1]


def test_given_thresholds_override(held_out):
    assert estimate([], Config(ssim_threshold=0.5, l1_threshold=0.25)) == Thresholds(0.5, 0.25)
    half = estimate(held_out, Config(threshold="percent", ssim_threshold=0.5))
    assert half == Thresholds(0.5, percentiles(held_out, 98).l1)


@pytest.fixture
def side_by_side():
    """Two residuals too thin for the opening, each by itself, and together not."""
    ssim, l1 = np.full((2, 64, 64), 0.1, np.float32)
    ssim[20:26, 20:40] = l1[26:32, 20:40] = 1
    return [Residuals(ssim, l1, np.ones((64, 64), bool))]


def test_both_residuals_together_keep_the_estimators_word(side_by_side):
    limits = estimate(side_by_side, Config(threshold="max"))
    assert limits == pytest.approx((1, 1), rel=1e-3)


@pytest.mark.parametrize("threshold", ["false_alarm_rate", "max"])
def test_where_residuals_add_up_an_absolute_difference_weighs_a_quarter(held_out, threshold):
    equal = [maps._replace(l1=maps.ssim) for maps in held_out]
    limits = estimate(equal, Config(method="repair", threshold=threshold))
    assert limits.l1 == pytest.approx(4 * limits.ssim)
    highest = estimate(equal, Config(method="repair", threshold=threshold, ssim_threshold=1000.0)).l1
    assert highest == pytest.approx(limits.ssim / (1 + 1 / 4), rel=1e-3), "alone it has the whole say"


@pytest.mark.parametrize("given", ["ssim", "l1"])
def test_a_given_threshold_does_not_sway_the_other(side_by_side, given):
    limits = estimate(side_by_side, Config(threshold="max", **{f"{given}_threshold": 9}))
    assert limits._asdict()[given] == 9
    assert min(limits) == pytest.approx(0.1, rel=1e-3)


def test_all_background_is_refused(held_out):
    nothing = [maps._replace(foreground=np.zeros((64, 64), bool)) for maps in held_out]
    with pytest.raises(InputError, match="bg_mask W: every good image is all background"):
        estimate(nothing, Config(bg_mask="W"))


def test_without_images_there_is_no_estimate():
    with pytest.raises(InputError, match="no good images"):
        estimate([], Config())


def test_few_images_for_a_high_percentile_are_noted(held_out):
    config = Config(threshold="percent", percent=95)
    assert list(few_images_notes(held_out * 2, config)) == []
    assert list(few_images_notes(held_out, config)) == [
        "thresholds rest on 12 good images; more good images make them surer"
    ]
    notes = few_images_notes(held_out * 2, config.replace(percent=99.95))
    assert "24 good images are few for the 99.95th percentile" in next(notes)


def test_few_images_for_a_rate_are_noted(held_out):
    assert list(few_images_notes(held_out * 2, Config())) == []
    (note,) = few_images_notes(held_out, Config())
    assert "thresholds rest on 12 good images: up to 4.2 % of new good images may be called defective" in note


def test_false_alarms_are_counted_on_images_left_out(held_out):
    config = Config(threshold="max", percent=90)
    assert 0 < false_alarms(held_out, config) <= 5 / 12, "each fold's own highest is often the highest of all"
    assert false_alarms(held_out, config.replace(ssim_threshold=9, l1_threshold=9)) == 0
    assert false_alarms(held_out, config.replace(ssim_threshold=0, l1_threshold=0)) == 1
    assert false_alarms(held_out[:1], config) is None
