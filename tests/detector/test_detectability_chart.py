from typing import Any

import pytest
from pydantic import ValidationError

from ssim_ae.detector.detectability_chart import DetectabilityChart, Tolerance
from ssim_ae.detector.requirement import Requirement
from ssim_ae.errors import InputError


def chart(**changes: Any) -> DetectabilityChart:
    values: dict[str, Any] = {
        "images": 8,
        "rejected": 0,
        "image_height": 1024,
        "image_width": 1024,
        "working_size": 144,
        "sizes": [5.0, 10.0, 20.0, 40.0],
        "defects": 40,
        "found": {"low": [0, 0, 4, 20], "medium": [0, 10, 40, 38], "high": [1, 36, 40, 40]},
        "tolerances": [Tolerance(change="shift", amounts=[5, 10, 20], rejected=[0, 2, 9], images=20)],
    }
    return DetectabilityChart(**values | changes)


def test_the_smallest_size_found_is_interpolated_and_holds_for_all_larger_ones() -> None:
    assert chart().smallest_found("high") == pytest.approx(10)
    medium = chart().smallest_found("medium")
    assert medium == pytest.approx(10 * 2 ** ((36 - 10) / (38 - 10)))
    assert chart().smallest_found("low") is None


def test_the_share_at_a_size_is_interpolated_between_the_logarithms_of_sizes() -> None:
    assert chart().share_at(10, "medium") == 0.25
    assert chart().share_at(20**0.5 * 10**0.5, "medium") == pytest.approx((10 + 38) / 2 / 40)
    assert chart().share_at(400, "medium") == 38 / 40
    assert chart().share_at(4, "high") == 0


def test_a_tolerance_is_the_largest_amount_up_to_which_few_are_rejected() -> None:
    assert chart().tolerances[0].tolerated == 10
    assert Tolerance(change="turn", amounts=[1, 2], rejected=[3, 0], images=20).tolerated == 0
    assert str(Tolerance(change="turn", amounts=[1, 2], rejected=[0, 1], images=20)) == "a turn of 2 ° (the most tried)"


def test_the_summary_says_from_which_size_on_what_is_found_and_where() -> None:
    assert chart().summary() == (
        "Finds 90 % of drawn defects of 19 px and larger at medium contrast and 10 px and larger at high contrast, "
        "and 50 % of drawn defects of 40 px and larger at low contrast, "
        "in images of 1024 x 1024 px (working size 144 x 144 px). Of defects of 40 px it finds 50 % at low contrast. "
        "Of defects of up to 5 px at medium contrast it finds at most 5 %. "
        "Good parts are accepted up to a shift of 10 px."
    )


def test_the_summary_of_a_detector_that_finds_half_of_the_large_defects_only() -> None:
    half = chart(found={"low": [0, 0, 0, 4], "medium": [0, 0, 10, 19], "high": [0, 0, 16, 24]}, tolerances=[])
    assert half.summary() == (
        "Finds 50 % of drawn defects of 28 px and larger at high contrast, "
        "in images of 1024 x 1024 px (working size 144 x 144 px). "
        "Of defects of 40 px it finds 48 % at medium contrast, 60 % at high contrast and 10 % at low contrast. "
        "Of defects of up to 10 px at medium contrast it finds at most 5 %."
    )


def test_the_summary_of_a_detector_that_finds_few_large_defects() -> None:
    few = chart(found={"low": [0, 0, 0, 0], "medium": [0, 0, 3, 19], "high": [0, 0, 21, 19]}, tolerances=[])
    assert few.summary() == (
        "Of defects of 40 px in images of 1024 x 1024 px (working size 144 x 144 px) it finds "
        "48 % at medium contrast, 48 % at high contrast and 0 % at low contrast. "
        "Of defects of up to 10 px at medium contrast it finds at most 5 %."
    )


def test_the_summary_of_a_detector_that_finds_nothing() -> None:
    nothing = chart(found={contrast: [0, 0, 0, 0] for contrast in ("low", "medium", "high")}, tolerances=[])
    assert nothing.summary() == (
        "Finds none of the drawn defects of up to 40 px, in images of 1024 x 1024 px (working size 144 x 144 px)."
    )


def test_a_size_below_half_a_pixel_is_given_as_one_pixel() -> None:
    tiny = chart(sizes=[0.2, 0.3, 0.4, 0.45], found={name: [40] * 4 for name in ("low", "medium", "high")})
    assert "drawn defects of 1 px and larger at medium contrast" in tiny.summary()


@pytest.mark.parametrize(
    "changes",
    [
        {"found": {"low": [0, 0, 4]}},
        {"found": {"low": [0, 0, 4, 41]}},
        {"found": {"bright": [0, 0, 4, 4]}},
        {"found": {}},
        {"found": {"low": [0, 0, 4, 4]}},
        {"images": 0},
        {"sizes": [float("inf")] * 4},
    ],
)
def test_a_chart_with_counts_that_do_not_fit_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        chart(**changes)


def test_a_requirement_is_parsed_and_checked() -> None:
    assert Requirement.parse("90% at 20px") == Requirement(0.9, 20, "medium")
    assert Requirement.parse(" 12.5 % at 14 px high contrast ") == Requirement(0.125, 14, "high")
    assert Requirement.parse("90% at 20px").is_met_by(chart())
    assert not Requirement.parse("90% at 15px").is_met_by(chart())
    assert not Requirement.parse("60% at 40px low").is_met_by(chart())


@pytest.mark.parametrize(
    "text", ["", "90 at 14px", "90% at 14", "101% at 14px", "0% at 3px", "90% at 0px", "90% at 14px dim"]
)
def test_other_requirements_are_errors(text: str) -> None:
    with pytest.raises(InputError, match="--require"):
        Requirement.parse(text)
