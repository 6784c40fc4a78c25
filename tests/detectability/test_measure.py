from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssim_ae import Config, Detector
from ssim_ae.detectability.measure import _pixel_of_part, _reduction_factor, measure_detectability
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.images.size import Size

GOOD = np.full((100, 120), 128, np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    for number in range(4):
        Image.fromarray(GOOD + np.uint8(number)).save(tmp_path / f"{number}.png")
    return sorted(tmp_path.iterdir())


def detector_by(score: Any, **settings: Any) -> Any:
    """Return an exact stand-in for a detector: `score` is a function of the inspected array."""
    return SimpleNamespace(
        config=Config(**{"im_resize": 128, "grayscale": True, "drawn_defects": 20} | settings),
        runtime=SimpleNamespace(concurrent=lambda: nullcontext(lambda: None)),
        threads=2,
        sensitivity_in=lambda image: None,
        inspect=lambda image: SimpleNamespace(score=score(image)),
    )


def measured(score: Any, images: list[Path]) -> DetectabilityChart:
    chart = measure_detectability(detector_by(score), images)
    assert chart
    return chart


def contrast_above(limit: float) -> Any:
    return lambda image: np.abs(image.astype(float) - np.median(image)).max() / 255 / limit


def test_what_changes_enough_is_found(images: list[Path]) -> None:
    chart = measured(contrast_above(0.3), images)
    assert (chart.images, chart.rejected, chart.image_width, chart.image_height) == (4, 0, 120, 100)
    assert chart.sizes == [0.5, 1, 2, 4, 8, 16]
    assert not any(chart.found["low"])
    evenly_changed = 12  # of 20: spots, stains and scratches; a misplaced piece of an even image changes nothing
    assert chart.found["high"][-1] >= evenly_changed
    assert [sum(row) for row in chart.found.values()] == sorted(sum(row) for row in chart.found.values())


def test_the_tolerance_is_measured_on_changed_images(images: list[Path]) -> None:
    chart = measured(lambda image: abs(image.mean() / 129.5 - 1) / 0.07, images)
    tolerated = {tolerance.change: tolerance.tolerated for tolerance in chart.tolerances}
    assert tolerated == {"shift": 8, "turn": 16, "brightness": 5}


def test_rejected_images_do_not_count_as_found(images: list[Path]) -> None:
    chart = measured(lambda image: 2.0 if np.median(image) == 131 else 0.0, images)
    assert (chart.rejected, chart.mean_share) == (1, 0)


def test_nothing_is_drawn_if_all_images_are_rejected(images: list[Path]) -> None:
    chart = measured(lambda image: 2.0, images)
    assert (chart.rejected, chart.found, chart.tolerances) == (4, {}, [])
    assert chart.summary().startswith("All 4 held-out good images are rejected")


def test_there_is_no_chart_without_images_or_without_defects(images: list[Path]) -> None:
    assert measure_detectability(detector_by(lambda image: 0.0), []) is None
    off = SimpleNamespace(config=Config(drawn_defects=0))
    assert measure_detectability(off, images) is None  # type: ignore[arg-type]


def test_unreadable_images_are_skipped(images: list[Path]) -> None:
    images[0].write_bytes(b"no image")
    assert measured(lambda image: 0.0, images).images == 3


def test_16_bit_images_keep_their_depth(tmp_path: Path) -> None:
    Image.fromarray(np.full((100, 120), 3000, np.uint16)).save(tmp_path / "wide.png")
    seen = []

    def score(image: np.ndarray) -> float:
        seen.append((image.dtype, int(np.median(image))))
        return 0.0

    assert measure_detectability(detector_by(score, bit_depth=12), [tmp_path / "wide.png"])
    assert seen[0] == (np.uint16, 3000)


def test_large_images_are_reduced_but_along_no_side_below_four_times_the_working_size(tmp_path: Path) -> None:
    Image.fromarray(np.full((900, 3000), 90, np.uint8)).save(tmp_path / "wide.png")
    seen = set()

    def score(image: np.ndarray) -> float:
        seen.add(image.shape)
        return 0.0

    detector = detector_by(score, im_resize=(64, 160), crop_size=32, drawn_defects=1)
    chart = measure_detectability(detector, [tmp_path / "wide.png"])
    assert seen == {(256, 853, 1)} and chart and chart.working_size == [64, 160]
    assert "(working size 160 x 64 px)" in chart.summary()


@pytest.mark.parametrize(
    ("working_size", "reduced"), [((144, 144), 576), ((512, 512), 2048), ((1024, 1024), 2048), ((3000, 3000), 3000)]
)
def test_images_are_reduced_to_what_memory_affords(working_size: tuple[int, int], reduced: int) -> None:
    assert 3000 * _reduction_factor(Size(3000, 3000), Size(*working_size)) == pytest.approx(reduced)


def test_a_real_detector_is_measured_alike_twice(detector: Detector, fabric_folder: Path) -> None:
    detector.config = detector.config.replace(drawn_defects=5)
    paths = sorted((fabric_folder / "train" / "good").iterdir())[:3]
    first = measure_detectability(detector, paths)
    assert first
    assert first == measure_detectability(detector, paths)


def test_a_pixel_of_the_part_is_that_of_nonzero(rng: np.random.Generator) -> None:
    part = rng.random((13, 17)) < 0.3
    part[4] = False
    expected = list(zip(*(indices.tolist() for indices in np.nonzero(part)), strict=True))
    assert [_pixel_of_part(part, index) for index in range(len(expected))] == expected
