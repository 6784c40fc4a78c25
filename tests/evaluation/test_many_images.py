"""Sets of more images than are kept one by one, or shown; the limits are lowered."""

import json
import shutil

import numpy as np
import pytest
from tests.evaluation.test_pixel_metrics import exact, noisy_images, sorted_au_pro

from ssim_ae import Detector, InputError, find_dataset
from ssim_ae.evaluation import evaluate as evaluate_module
from ssim_ae.evaluation import pixel_metrics as pixels_module
from ssim_ae.evaluation import shown_images
from ssim_ae.evaluation.evaluate import evaluate
from ssim_ae.evaluation.metrics import bootstrap_samples, percentile_interval
from ssim_ae.evaluation.pixel_metrics import PIXEL_METRICS, PixelCounts, PixelGroups, pixel_metrics
from ssim_ae.evaluation.results import ImageResult
from ssim_ae.evaluation.shown_images import choose_shown
from ssim_ae.images.folders import TestImage as Image


def intervals(groups):
    """Return the metrics of all images and their intervals, (metrics,) and (metrics, 2)."""
    of_types = groups.of(["good", "hole"])
    samples = bootstrap_samples([defect != "good" for defect, of_type in of_types.items() for _ in of_type])
    found = pixel_metrics([image for of_type in of_types.values() for image in of_type], samples)
    values = np.array([found[name] for name in PIXEL_METRICS])
    return values[:, 0], np.array([percentile_interval(of_metric[1:]) for of_metric in values])


def test_groups_of_images_change_no_metric_and_hardly_an_interval(monkeypatch):
    maps, masks = noisy_images(240, 32)
    defects = ["hole" if mask.any() else "good" for mask in masks]
    counts = [PixelCounts.of(*pair) for pair in zip(maps, masks, strict=True)]
    images = PixelGroups(defects)
    monkeypatch.setattr(pixels_module, "MAX_GROUPS", 80)
    groups = PixelGroups(defects)
    for defect, image in zip(defects, counts, strict=True):
        images.add(defect, image)
        groups.add(defect, image)
    assert {defect: len(of_type) for defect, of_type in groups.of(defects).items()} == {"good": 40, "hole": 40}
    assert images.note() == "" and "from 80 groups of the 240 images" in groups.note()
    assert images.verdicts() == groups.verdicts()
    values, exact_intervals = intervals(images)
    of_groups, group_intervals = intervals(groups)
    expected = exact(maps, masks, sorted_au_pro)
    assert of_groups == pytest.approx(values, abs=1e-9)
    assert of_groups == pytest.approx(expected, abs=1e-4)
    widths, group_widths = (np.diff(ends, axis=1)[:, 0] for ends in (exact_intervals, group_intervals))
    assert group_widths == pytest.approx(widths, rel=0.4)


def test_each_type_keeps_enough_groups_for_an_interval(monkeypatch):
    monkeypatch.setattr(pixels_module, "MAX_GROUPS", 10)
    monkeypatch.setattr(pixels_module, "MIN_GROUPS", 4)
    defects = [f"type {number}" for number in range(5) for _ in range(9)]
    groups = PixelGroups(defects)
    image = PixelCounts.of(np.ones((2, 2)), np.eye(2) > 0)
    for defect in defects:
        groups.add(defect, image)
    assert [len(of_type) for of_type in groups.of(defects).values()] == [4] * 5
    assert groups.verdicts().defective == 45 * 2
    assert [group.good.sums.sum() for group in groups.of(["type 0"])["type 0"]] == [6, 4, 4, 4]


def test_pixels_of_many_images_are_counted_exactly():
    """2**24 pixels and one more: float32 would not count the last."""
    histogram = pixels_module.Histogram(np.array([0], np.uint32), np.array([2.0**24]))
    one = pixels_module.Histogram(np.array([0], np.uint32), np.array([1], np.float32))
    assert histogram.plus(one).sums.tolist() == [2**24 + 1]


def results_of(*kinds: tuple[str, list[float]]) -> list[ImageResult]:
    return [
        ImageResult(Image(f"{defect}/{index:04}.png", defect), score, has_ground_truth=False, size=(8, 8))
        for defect, scores in kinds
        for index, score in enumerate(scores)
    ]


def test_all_errors_and_a_sample_of_the_others_are_shown(monkeypatch):
    for name, limit in {"MAX_SHOWN": 20, "MAX_SHOWN_ERRORS": 3, "SHOWN_CLOSEST": 4, "SHOWN_OTHERS": 5}.items():
        monkeypatch.setattr(shown_images, name, limit)
    good = list(np.linspace(0.1, 0.9, 30))
    results = results_of(("good", [*good, 1.5, 2]), ("cut", [0.5]), ("hole", [3, 4]))
    shown, text = choose_shown(results)
    assert [result for result in results if result in shown] == shown
    assert {result.score for result in shown if not result.correct} == {1.5, 2, 0.5}
    correct = [result for result in shown if result.correct]
    assert len(correct) == 9 and {3, 4, good[-1], good[-2], good[0]} <= {result.score for result in correct}
    assert text.startswith("12 of 35 images are shown: all 3 errors, the correct verdicts closest to the threshold (4)")
    shown, text = choose_shown(results_of(("good", [*good, 1.5, 2, 5, 4])))
    assert sorted(result.score for result in shown if not result.correct) == [2, 4, 5]
    assert "the 3 of 4 errors farthest from the threshold" in text
    assert choose_shown(results[:20]) == (results[:20], "")


@pytest.fixture
def few_shown(monkeypatch):
    """Lower the number of images that are shown."""
    monkeypatch.setattr(evaluate_module, "MAX_SHOWN", 4)
    for name, limit in {"MAX_SHOWN": 4, "MAX_SHOWN_ERRORS": 2, "SHOWN_CLOSEST": 1, "SHOWN_OTHERS": 1}.items():
        monkeypatch.setattr(shown_images, name, limit)


def test_only_the_images_that_are_shown_are_written(tiny_run, fabric_folder, tmp_path, few_shown):
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    evaluation = evaluate(detector, find_dataset(fabric_folder), tmp_path / "new")
    written = {path.relative_to(tmp_path / "new" / "images") for path in (tmp_path / "new").rglob("*_levels.png")}
    assert {f"{result.files}_levels.png" for result in evaluation.shown} == set(map(str, written))
    assert len(evaluation.shown) == 4 < len(evaluation.results) == 10
    assert evaluation.notes[-1] == evaluation.how_shown != ""
    document = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert len(document["images"]) == 10 and document["notes"] == list(evaluation.notes)
    assert (tmp_path / "new" / "contact_sheet.png").exists()
    assert evaluate(detector, find_dataset(fabric_folder)).notes == ()


def test_notes_of_many_bad_images_are_counted(tiny_run, fabric_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_module, "MAX_NOTES", 2)
    data = shutil.copytree(fabric_folder, tmp_path / "data")
    for number in range(4):
        (data / "test" / "good" / f"bad{number}.png").write_bytes(b"GIF89a")
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), data)
    skipped = [note for note in evaluation.notes if "image skipped" in note]
    assert len(skipped) == 2 and skipped[1].endswith("image skipped (2 other images alike)")
    assert skipped[0].startswith("test/good/bad0.png: ")
    assert len(evaluation.results) == 10


def test_an_image_that_is_gone_when_it_is_written_is_not_shown(
    tiny_run, fabric_folder, tmp_path, monkeypatch, few_shown
):
    data = shutil.copytree(fabric_folder, tmp_path / "data")
    choose = evaluate_module.choose_shown

    def removed(results):
        shown, text = choose(results)
        shown[0].image.path.unlink()
        return shown, text

    monkeypatch.setattr(evaluate_module, "choose_shown", removed)
    evaluation = evaluate(Detector.load(tiny_run.folder, device_target="CPU"), data, tmp_path / "new")
    assert len(evaluation.shown) == 3 and len(evaluation.results) == 10


def test_a_large_set_without_any_image_that_can_be_read_is_an_error(tiny_run, tmp_path, few_shown):
    (tmp_path / "data" / "bad").mkdir(parents=True)
    for number in range(6):
        (tmp_path / "data" / "bad" / f"{number}.png").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match="none of the images can be evaluated"):
        evaluate(Detector.load(tiny_run.folder, device_target="CPU"), tmp_path / "data", tmp_path / "new")
    assert not (tmp_path / "new").exists()
