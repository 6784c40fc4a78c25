import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import TINY
from tests.report.conftest import data_of

from ssim_ae import Config, Detector, find_dataset, train
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.files import read_image
from ssim_ae.images.folders import ALL
from ssim_ae.maps.levels import levels_image
from ssim_ae.pages.page import page
from ssim_ae.report.plots import plot
from ssim_ae.report.report import report
from ssim_ae.synthetic import fabric


@pytest.fixture(scope="module")
def good_alone(fabric_folder, tmp_path_factory):
    """A report on a detector made from a folder of good images."""
    place = tmp_path_factory.mktemp("good")
    run = train(Config(**TINY | {"dataset_path": str(fabric_folder / "train" / "good")}), runs=place)
    detector = Detector.load(run.folder, device_target="CPU")
    return run, report(run.detector_path, detector, run.dataset, place / "report"), place / "report"


def test_the_page_says_what_the_evaluation_says(reported):
    _, evaluation, folder = reported
    data = data_of(folder)
    whole = evaluation.figures[ALL]
    assert [(image["name"], image["score"]) for image in data["images"]] == [
        (case.image.name, case.score) for case in evaluation.cases
    ]
    assert data["figures"]["all"]["au_pro_30"] == [whole.au_pro_30.value, whole.au_pro_30.low, whole.au_pro_30.high]
    assert len(data["history"]) == 2 and data["history"][0]["loss"] > 0
    assert data["roc"][0] == [0, 0] and data["roc"][-1] == [1, 1]


def test_every_picture_that_the_page_shows_is_there(reported):
    detector, evaluation, folder = reported
    for case in evaluation.cases:
        picture = folder / "images" / case.image.name
        found = detector.inspect(case.image.path)
        assert np.array_equal(read_image(Path(f"{picture}_levels.png")), levels_image(found.levels, case.truth))
        assert np.array_equal(read_image(Path(f"{picture}_origin.png")), found.inspected)
        assert np.array_equal(read_image(Path(f"{picture}_rec.png")), found.reconstruction)
        with Image.open(f"{picture}_small.jpg") as small:
            assert small.size == (64, 64)


def test_large_images_get_small_pictures(tiny_run, fabric_folder, tmp_path):
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    detector.config = detector.config.replace(im_resize=300)
    detector.view = detector.view._replace(im_resize=300, size=300)
    report(tiny_run.detector_path, detector, find_dataset(fabric_folder), tmp_path)
    with Image.open(tmp_path / "images" / "good" / "000_small.jpg") as small:
        assert small.size == (256, 256)


def test_the_page_takes_nothing_from_the_network(reported):
    html = (reported[2] / "index.html").read_text()
    assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", html)
    assert "default-src 'none'" in html and "unsafe" not in html


def test_good_images_alone(good_alone):
    run, evaluation, folder = good_alone
    data = data_of(folder)
    held_out = {case.image.path.name for case in evaluation.cases}
    assert len(held_out) == 2 and len(data["images"]) == 2  # a fifth of ten
    assert not data["tested"] and not data["defective"] and data["roc"] is None
    assert data["figures"]["all"]["nok"] == [None, None, None]
    assert "held out" in data["summary"] and not run.dataset.test


def test_good_images_it_has_never_seen(good_alone, tmp_path):
    other = fabric.make(tmp_path, classes=["twill"], train=3, good=1, defective=1, size=64, seed=9)[0]
    run, *_ = good_alone
    dataset = find_dataset(other / "train" / "good")
    report(run.detector_path, Detector.load(run.folder, device_target="CPU"), dataset, tmp_path / "report")
    data = data_of(tmp_path / "report")
    assert data["summary"] == "3 good images that it did not learn from; no test images to measure with"


def test_good_images_it_learned_from(tiny_config, fabric_folder, tmp_path):
    run = train(tiny_config.replace(dataset_path=str(fabric_folder / "train" / "good"), holdout=0), runs=tmp_path)
    report(run.detector_path, Detector.load(run.folder, device_target="CPU"), run.dataset, tmp_path / "report")
    assert data_of(tmp_path / "report")["heading"] == "10 good images that it learned from"


def test_a_limit_that_was_given_is_not_said_to_rest_on_images(tiny_run, fabric_folder, tmp_path, capsys):
    line = ["threshold", str(tiny_run.folder), "--ssim_threshold", ".2", "--l1_threshold", ".1"]
    assert main([*line, "--output", str(tmp_path / "given.safetensors")]) == 0
    assert "thresholds: ssim 0.2, l1 0.1 (given)" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "given.safetensors")]) == 0
    again = ["evaluate", str(tiny_run.folder), "--ssim_threshold", ".2", "--l1_threshold", ".1"]
    assert main([*again, "--save_dir", str(tmp_path)]) == 0
    for folder in ("report-given", "twill-1"):
        data = data_of(tmp_path / folder)
        assert data["where"] == "Its own limit was given by hand."
        assert "No test image" not in " ".join(data["origin"]) and "given by hand" in data["origin"][0]
    assert read_detector(tmp_path / "given.safetensors").thresholds == (0.2, 0.1)


def test_losses_that_are_no_numbers(tiny_run, fabric_folder, tmp_path):
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    history = tmp_path / "run" / "history.csv"
    lines = history.read_text().splitlines()
    history.write_text("\n".join([lines[0], *[line.replace(line.split(",")[2], "nan", 1) for line in lines[1:]]]))
    detector = Detector.load(tmp_path / "run", device_target="CPU")
    report(tmp_path / "run" / "detector.safetensors", detector, find_dataset(fabric_folder), tmp_path / "report")
    assert [epoch["loss"] for epoch in data_of(tmp_path / "report")["history"]] == [None, None]


def test_names_stay_names():
    html = page(
        "report", "</title><script>alert(1)</script>", {"name": "</script><script>alert(2)</script>{{script}}"}, ()
    )
    assert "<script>alert" not in html and "alert(2)</script>" not in html


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_figures_for_a_paper(reported, tiny_run, tmp_path, suffix):
    figures = list(plot(reported[1], tiny_run.folder, tmp_path, suffix))
    assert [figure.name for figure in figures] == [f"{name}.{suffix}" for name in ("scores", "roc", "loss")]
    for figure in figures:
        start = figure.read_bytes()[:200]
        assert start.startswith(b"\x89PNG") if suffix == "png" else b"<?xml" in start


def test_figures_of_good_images_alone(good_alone, tmp_path):
    run, evaluation, _ = good_alone
    assert [figure.name for figure in plot(evaluation, tmp_path, tmp_path, "svg")] == ["scores.svg"]
    assert run.finished
