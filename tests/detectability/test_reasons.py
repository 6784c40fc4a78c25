from typing import Any

import pytest

from ssim_ae import Config
from ssim_ae.detectability.reasons import weakness
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.detector_file import DetectorFile
from ssim_ae.detector.provenance import Provenance, ThresholdOrigin

NOTHING_OF_SMALL_ONES = [0, 0, 0, 0, 0]


def file(*, most: int = 2, side: int = 300, steps: int = 6000, **origin: Any) -> DetectorFile:
    """Return a detector that finds `most` of 40 of the largest drawn defects at high contrast, and no others."""
    chart = DetectabilityChart(
        images=8,
        rejected=0,
        image_height=side,
        image_width=2 * side,
        working_size=144,
        sizes=[1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
        defects=40,
        found={
            "low": [*NOTHING_OF_SMALL_ONES, 0],
            "medium": [*NOTHING_OF_SMALL_ONES, 0],
            "high": [*NOTHING_OF_SMALL_ONES, most],
        },
    )
    provenance = Provenance(steps=steps, thresholds=ThresholdOrigin(estimator="max", **origin))
    return DetectorFile(
        Config(method="repair", im_resize=144), {"ssim": 1, "l1": 1}, {}, provenance, detectability=chart
    )


@pytest.mark.parametrize(
    ("most", "little"),
    [
        (0, "next to nothing: at most 0 %"),
        (3, "next to nothing: at most 8 %"),
        (4, "little: at most 10 %"),
        (19, "little: at most 48 %"),
    ],
)
def test_a_detector_that_finds_few_defects_of_any_size_says_so(most: int, little: str) -> None:
    assert weakness(file(most=most)) == [f"This detector finds {little} of the drawn defects of any size and contrast."]


def test_a_detector_that_finds_large_defects_only_is_not_said_to_find_little() -> None:
    large_only = file(most=20)
    assert large_only.detectability
    assert large_only.detectability.mean_share < 0.03
    assert weakness(large_only) == []


def test_nothing_is_said_of_a_detector_that_was_not_measured() -> None:
    assert weakness(file()._replace(detectability=None)) == []


def test_each_reason_is_told_apart() -> None:
    assert "Little training: 16,000 patches, by default 100,000" in weakness(file(steps=1000))[1]
    texture = file(steps=1000)._replace(config=Config(method="reference", im_resize=256, texture=True))
    assert "Little training: 16,000 patches, by default 500,000" in weakness(texture)[1]
    assert "images of 1152 x 576 px are inspected at 144 x 144 px" in weakness(file(side=576))[1]
    assert "they would be 4 times lower" in weakness(file(without_highest=0.25))[1]
    assert "they would be 100 times lower" in weakness(file(without_highest=0.0))[1]
    assert "may be defective: 3; look at suspects.png" in weakness(file(left_out_images=3))[1]
