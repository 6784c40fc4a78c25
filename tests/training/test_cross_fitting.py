"""Few good images: residual maps by detectors that do not know the image, and copies of an only image."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ssim_ae import Config, train
from ssim_ae.detector.detector import Detector
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.provenance import COPIES
from ssim_ae.errors import InputError
from ssim_ae.images.files import write_png
from ssim_ae.images.folders import find_dataset
from ssim_ae.maps.residuals import Residuals
from ssim_ae.synthetic import fabric
from ssim_ae.training.cross_fitting import FOLDS, MAX_IMAGES, cross_fitted, residuals_of_copies

PATHS = [Path(f"{number:02}.png") for number in range(25)]


def maps(value):
    return Residuals(np.full((1, 4, 4), value, np.float32), np.ones((4, 4), bool))


class Refits:
    """Stands for the fits without some images: a residual is the number of the fit."""

    def __init__(self):
        self.left_out = []

    def __call__(self, paths):
        self.left_out.append(list(paths))
        return SimpleNamespace(residuals_all=lambda paths: [maps(len(self.left_out)) for _ in paths])


@pytest.mark.parametrize("count", [2, 3, FOLDS, 25])
def test_every_image_is_measured_once_by_a_detector_without_it(count):
    refits = Refits()
    found = list(cross_fitted(PATHS[:count], refits))
    assert [path for path, _ in found] == PATHS[:count]
    assert len(refits.left_out) == min(FOLDS, count)
    fits = dict(found)
    for number, left_out in enumerate(refits.left_out, 1):
        assert [int(fits[path].maps[0, 0, 0]) for path in left_out] == [number] * len(left_out)


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_is_not_measured(count):
    refits = Refits()
    assert not list(cross_fitted(PATHS[:count], refits)) and not refits.left_out


def test_of_many_images_a_sample_is_measured():
    paths = [Path(f"{number:04d}.png") for number in range(10 * MAX_IMAGES)]
    found = [path for path, _ in cross_fitted(paths, Refits())]
    assert len(set(found)) == MAX_IMAGES and found == sorted(found) and (found[0], found[-1]) == (paths[0], paths[-1])


def test_an_image_that_has_disappeared_is_skipped():
    def without(_):
        return SimpleNamespace(residuals_all=lambda paths: [InputError("gone")] * len(paths))

    assert not list(cross_fitted(PATHS[:3], without))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_copies_differ_from_the_image_and_from_each_other(dtype, rng):
    seen = []
    detector = SimpleNamespace(
        config=Config(method="features", bit_depth=16), residuals=lambda image: seen.append(image) or maps(0)
    )
    image = rng.integers(0, np.iinfo(dtype).max, (40, 60, 3), dtype, endpoint=True)
    assert len(list(residuals_of_copies(image, detector))) == len(seen)
    assert all(copy.shape == image.shape and copy.dtype == dtype for copy in seen)
    assert all((copy != other).mean() > 0.5 for index, copy in enumerate(seen) for other in [image, *seen[:index]])


def trained(folder, count, tmp_path, **settings):
    for seed in range(count):
        write_png(folder / f"{seed}.png", fabric.draw("twill", size=64, seed=seed)[0])
    options = {"resolution": 64, "drawn_defects": 0, "run_eval": False, "device_target": "CPU", **settings}
    return train(Config(dataset_path=str(folder), **options), runs=tmp_path / "runs")


def test_few_images_all_set_the_threshold(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    run = trained(folder, 6, tmp_path)
    file = read_detector(run.detector_path)
    origin = file.provenance.thresholds
    assert len(file.provenance.training_images) == 5 and len(file.provenance.held_out_images) == 1
    assert (origin.held_out_images, origin.cross_fitted_images, origin.training_images) == (6, 5, 0)
    assert "from 6 good images, each measured by a detector without it" in str(origin)
    assert "only 6 good images" in capsys.readouterr().err
    detector = Detector.from_file(file)
    scores = [found.score for found in detector.inspect_all(find_dataset(folder).good)]
    assert max(scores) <= 1 and np.sort(scores)[-2] < 0.8, "images score lower where the detector knows them"


def test_of_one_image_copies_set_the_threshold(tmp_path, capsys):
    folder = tmp_path / "photo"
    folder.mkdir()
    run = trained(folder, 1, tmp_path)
    file = read_detector(run.detector_path)
    assert file.provenance.thresholds.estimator == COPIES
    assert "copies of the only good image" in capsys.readouterr().err
    assert "how many false alarms is not known" in str(file.provenance.thresholds)
    assert file.thresholds["distance"] > 1
