from typing import Any

from ssim_ae import Config
from ssim_ae.detectability.reasons import weakness
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.detector_file import DetectorFile
from ssim_ae.detector.provenance import Provenance, ThresholdOrigin


def file(*, side: int = 300, steps: int = 6000, **origin: Any) -> DetectorFile:
    chart = DetectabilityChart(
        images=8,
        rejected=0,
        image_height=side,
        image_width=2 * side,
        working_size=144,
        sizes=[10.0],
        defects=40,
        found={"low": [0], "medium": [0], "high": [6]},
    )
    provenance = Provenance(steps=steps, thresholds=ThresholdOrigin(estimator="max", **origin))
    return DetectorFile(
        Config(method="repair", im_resize=144), {"ssim": 1, "l1": 1}, {}, provenance, detectability=chart
    )


def test_a_detector_that_finds_a_twentieth_finds_next_to_nothing() -> None:
    assert weakness(file()) == ["This detector finds next to nothing: 5 % of the drawn defects."]
    chart = file().detectability
    assert chart
    better = chart.model_copy(update={"found": {"low": [0], "medium": [0], "high": [12]}})
    assert weakness(file()._replace(detectability=better)) == []
    assert weakness(file()._replace(detectability=None)) == []


def test_each_reason_is_told_apart() -> None:
    assert "Little training: 16,000 patches, by default 100,000" in weakness(file(steps=1000))[1]
    assert "images of 1152 x 576 px are inspected at 144 x 144 px" in weakness(file(side=576))[1]
    assert "they would be 4 times lower" in weakness(file(without_highest=0.25))[1]
    assert "3 are suspected" in weakness(file(left_out_images=3))[1]
