"""Thresholds of a detector, from folders of good images."""

import re

import numpy as np
import pytest
from PIL import Image
from tests.calibration.conftest import scaled

from ssim_ae import Config, Detector, train
from ssim_ae.calibration import calibrate as calibrate_module
from ssim_ae.calibration.calibrate import MAX_NAMED_IMAGES, cross_validate
from ssim_ae.detector.provenance import CrossValidation
from ssim_ae.maps.residuals import Residuals
from ssim_ae.training.good_images import held_out_indices
from ssim_ae.training.recalibrate import recalibrate

REJECTED_NOTE = r"note: (\d+) of (\d+) good images are rejected; check that they have no defect: (.*)\n"


def reference(**settings) -> Config:
    return Config(method="reference", **settings)


def draw_defect(path, shade=250):
    image = np.asarray(Image.open(path)).copy()
    image[16:48, 16:48] = [shade, 20, shade]
    Image.fromarray(image).save(path)


def test_defective_images_among_held_out_images_are_named_worst_first(tiny_run, tmp_path, capfd, good_folder):
    first, second = sorted(good_folder.iterdir())[:2]
    draw_defect(first, shade=180)
    draw_defect(second)
    recalibrate(tiny_run.folder, good_folder, {"threshold": "false_alarm_rate"}, tmp_path / "new.safetensors")
    note = re.search(REJECTED_NOTE, capfd.readouterr().err)
    assert note.groups() == ("2", "40", f"{second.name}, {first.name}")


def test_defective_images_among_training_images_are_named(tiny_config, tmp_path, capfd, good_folder):
    config = tiny_config.replace(dataset_path=str(good_folder), method="repair", epochs=6, false_alarm_rate=0.1)
    held_out = held_out_indices(40, config)
    defective = next(path for number, path in enumerate(sorted(good_folder.iterdir())) if number not in held_out)
    draw_defect(defective)
    train(config, runs=tmp_path)
    note = re.search(REJECTED_NOTE, capfd.readouterr().err)
    assert note[2] == "40" and note[3].split(", ")[0] == defective.name


def test_at_most_ten_rejected_images_are_named(tiny_run, tmp_path, capfd, good_folder):
    for path in sorted(good_folder.iterdir())[:15]:
        draw_defect(path)
    changes = {"threshold": "false_alarm_rate", "false_alarm_rate": 0.3}
    recalibrate(tiny_run.folder, good_folder, changes, tmp_path / "new.safetensors")
    note = re.search(REJECTED_NOTE, capfd.readouterr().err)
    assert int(note[1]) > MAX_NAMED_IMAGES == note[3].count(", ") and note[3].endswith(", ...")


def test_cross_validation_counts_rejected_images_among_those_left_out(held_out):
    found = cross_validate(held_out, reference(threshold="max", percent=90))
    assert found.images == 12 and 0 < found.rejected <= 5
    given = reference(ssim_threshold=9, l1_threshold=9)
    assert cross_validate(held_out, given) == CrossValidation(images=12, rejected=0)
    given = reference(ssim_threshold=0, l1_threshold=0)
    assert cross_validate(held_out, given) == CrossValidation(images=12, rejected=12)


@pytest.mark.parametrize("method", ["reference", "repair"])
@pytest.mark.parametrize("count", [2, 5])
def test_cross_validation_of_the_maximum_score_rejects_the_worst_image_alone(method, count):
    """Each of up to 5 images is a fold, and only the worst one exceeds the maximum of the others."""
    maps = [np.full((64, 64), level, np.float32) for level in np.linspace(0.1, 0.5, count)]
    held_out = [Residuals(np.stack([level, level]), np.ones((64, 64), bool)) for level in maps]
    config = Config(method=method, threshold="max")
    assert cross_validate(held_out, config) == CrossValidation(images=count, rejected=1)


def test_cross_validation_uses_training_images(held_out, rng):
    config = Config(method="repair", false_alarm_rate=0.1)
    factors = np.exp(rng.gumbel(0, 0.5, 50)).astype(np.float32)
    training = [scaled(held_out[0], ssim=factor) for factor in factors]
    alone, together = cross_validate(held_out, config), cross_validate(held_out, config, training)
    assert together.rejected < alone.rejected


def test_cross_validation_is_a_function_of_the_seed(held_out):
    config = reference(threshold="max")
    assert cross_validate(held_out, config) == cross_validate(held_out, config)
    assert len({cross_validate(held_out, config.replace(seed=seed)).rejected for seed in range(20)}) > 1


def test_cross_validation_needs_two_images(held_out):
    assert cross_validate([], reference()) is cross_validate(held_out[:1], reference()) is None


def test_thresholds_of_many_images_are_those_of_a_random_sample(tiny_run, tmp_path, capfd, good_folder, monkeypatch):
    read = []
    residuals_all = Detector.residuals_all
    monkeypatch.setattr(Detector, "residuals_all", lambda self, paths: read.extend(paths) or residuals_all(self, paths))

    def thresholds(name):
        read.clear()
        output = tmp_path / f"{name}.safetensors"
        _, calibration = recalibrate(tiny_run.folder, good_folder, {"threshold": "false_alarm_rate"}, output)
        return calibration, [path for path in read if path.parent == good_folder], capfd.readouterr().err

    for name, limit in {"MAX_HELD_OUT_IMAGES": 40, "MAX_HELD_OUT_PIXELS": 1, "MIN_HELD_OUT_IMAGES": 40}.items():
        monkeypatch.setattr(calibrate_module, name, limit)
    everything, paths, printed = thresholds("all")
    assert len(paths) == everything.origin.held_out_images == 40 and "sample" not in printed
    monkeypatch.setattr(calibrate_module, "MAX_HELD_OUT_IMAGES", 30)
    sample, paths, printed = thresholds("sample")
    assert "thresholds: from a random sample of 30 of 40 good images" in printed
    assert len(set(paths)) == sample.origin.held_out_images == 30 and sorted(paths) == paths
    assert sample.thresholds["ssim"] == pytest.approx(everything.thresholds["ssim"], rel=0.3)
    monkeypatch.setattr(calibrate_module, "MAX_HELD_OUT_IMAGES", 2000)
    monkeypatch.setattr(calibrate_module, "MAX_HELD_OUT_PIXELS", 35 * 2 * 64 * 64)
    monkeypatch.setattr(calibrate_module, "MIN_HELD_OUT_IMAGES", 20)
    assert thresholds("pixels")[0].origin.held_out_images == 35
