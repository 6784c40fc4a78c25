import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import TINY
from tests.report.conftest import data_of

from ssim_ae import Config, Detector, InputError, find_dataset, train
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.evaluation.metrics import roc
from ssim_ae.evaluation.results import ImageResult
from ssim_ae.images.files import read_image
from ssim_ae.images.folders import ALL
from ssim_ae.images.folders import TestImage as OneImage
from ssim_ae.images.masks import read_mask
from ssim_ae.maps.levels import levels_image
from ssim_ae.pages.page import render_page
from ssim_ae.report.plots import write_plots
from ssim_ae.report.report import FIGURES, PAGE_NAME, report_folder, roc_points, write_report
from ssim_ae.synthetic import fabric


@pytest.fixture(scope="module")
def good_only(fabric_folder, tmp_path_factory):
    """Return the run, evaluation and report of a detector that was trained on a folder of good images."""
    folder = tmp_path_factory.mktemp("good")
    run = train(Config(**TINY | {"dataset_path": str(fabric_folder / "train" / "good")}), runs=folder)
    detector = Detector.load(run.folder, device_target="CPU")
    return run, write_report(run.detector_path, detector, run.dataset, folder / "report"), folder / "report"


def test_the_page_has_the_metrics_of_the_evaluation(reported):
    _, evaluation, folder = reported
    data = data_of(folder)
    total = evaluation.metrics[ALL]
    assert [(image["name"], image["score"]) for image in data["images"]] == [
        (result.image.name, result.score) for result in evaluation.results
    ]
    assert data["metrics"]["all"]["au_pro_30"] == [total.au_pro_30.value, total.au_pro_30.low, total.au_pro_30.high]
    assert len(data["history"]) == 2 and data["history"][0]["loss"] > 0
    assert data["roc"][0] == [0, 0] and data["roc"][-1] == [1, 1]


def test_the_image_files_of_the_page_are_written(reported):
    detector, evaluation, folder = reported
    for result in evaluation.results:
        path = folder / "images" / result.image.name
        inspection = detector.inspect(result.image.path)
        mask = read_mask(result.image.mask).pixels if result.defective else np.zeros(inspection.pixels.shape[:2], bool)
        levels = levels_image(inspection.levels, detector.view.crop_mask(mask))
        assert np.array_equal(read_image(Path(f"{path}_levels.png")), levels)
        assert np.array_equal(read_image(Path(f"{path}_origin.png")), inspection.inspected)
        assert np.array_equal(read_image(Path(f"{path}_rec.png")), inspection.reconstruction)
        with Image.open(f"{path}_small.jpg") as small:
            assert small.size == (64, 64)


def test_images_with_long_names_are_shown(tiny_run, fabric_folder, tmp_path):
    good, defective = (sorted((fabric_folder / "test" / name).iterdir())[0] for name in ("good", "hole"))
    names = [f"test/{folder}/{'n' * 250}{end}.png" for folder in ("good", "d" * 255) for end in "ab"]
    for name in (*names, f"test/good/{'ü' * 125}.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(good if path.parent.name == "good" else defective, path)
    assert main(["report", str(tiny_run.folder), str(tmp_path / "data"), "--output", str(tmp_path / "report")]) == 0
    shown = data_of(tmp_path / "report")["images"]
    assert {f"test/{image['name']}.png" for image in shown} > set(names) and len({*(i["files"] for i in shown)}) == 5
    for image in shown:
        assert all((tmp_path / f"report/images/{image['files']}_{file}").exists() for file in ("small.jpg", "rec.png"))


def test_thumbnails_of_large_images_are_smaller(tiny_run, fabric_folder, tmp_path):
    file = read_detector(tiny_run.detector_path)
    detector = Detector.from_file(file._replace(config=file.config.replace(im_resize=304)), device_target="CPU")
    write_report(tiny_run.detector_path, detector, find_dataset(fabric_folder), tmp_path)
    with Image.open(tmp_path / "images" / "good" / "000_small.jpg") as small:
        assert small.size == (256, 256)


def test_the_page_loads_nothing_from_the_network(reported):
    html = (reported[2] / "index.html").read_text()
    assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", html)
    assert "default-src 'none'" in html and "unsafe" not in html


def test_held_out_images(good_only):
    run, evaluation, folder = good_only
    data = data_of(folder)
    held_out = {result.image.path.name for result in evaluation.results}
    assert len(held_out) == 2 and len(data["images"]) == 2  # a fifth of ten images
    assert not data["tested"] and not data["has_defective"] and data["roc"] is None
    assert data["metrics"]["all"]["nok"] == [None, None, None]
    assert data["summary"] == "2 held-out images; no test images available" and not run.dataset.test


def test_good_images_not_used_in_training(good_only, tmp_path):
    other = fabric.make(tmp_path, classes=["twill"], train=3, good=1, defective=1, size=64, seed=9)[0]
    run, *_ = good_only
    dataset = find_dataset(other / "train" / "good")
    write_report(run.detector_path, Detector.load(run.folder, device_target="CPU"), dataset, tmp_path / "report")
    data = data_of(tmp_path / "report")
    assert data["summary"] == "3 unseen good images; no test images available"


def test_training_images(tiny_config, fabric_folder, tmp_path):
    run = train(tiny_config.replace(dataset_path=str(fabric_folder / "train" / "good"), holdout=0), runs=tmp_path)
    write_report(run.detector_path, Detector.load(run.folder, device_target="CPU"), run.dataset, tmp_path / "report")
    assert data_of(tmp_path / "report")["heading"] == "10 training images"


def test_given_thresholds_are_described_as_set_manually(tiny_run, fabric_folder, tmp_path, capsys):
    line = ["threshold", str(tiny_run.folder), "--ssim_threshold", ".2", "--l1_threshold", ".1"]
    assert main([*line, "--force", "--output", str(tmp_path / "given.safetensors")]) == 0
    assert (
        "thresholds: ssim 0.2, l1 0.1. Thresholds were given. Rejected good images: 2 of 2." in capsys.readouterr().out
    )
    assert main(["report", str(tmp_path / "given.safetensors"), str(fabric_folder)]) == 0
    evaluate = ["evaluate", str(tiny_run.folder), "--ssim_threshold", ".2", "--l1_threshold", ".1"]
    assert main([*evaluate, "--save_dir", str(tmp_path)]) == 0
    for folder in ("report-given-twill", "twill-1"):
        data = data_of(tmp_path / folder)
        assert data["threshold_origin"] == "The default threshold was set manually."
        assert "test images" not in " ".join(data["about"]) and "set manually" in data["about"][0]
    assert read_detector(tmp_path / "given.safetensors").thresholds == {"ssim": 0.2, "l1": 0.1}


def test_losses_that_are_not_finite(tiny_run, fabric_folder, tmp_path):
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    history = tmp_path / "run" / "history.csv"
    lines = history.read_text().splitlines()
    history.write_text("\n".join([lines[0], *[line.replace(line.split(",")[2], "nan", 1) for line in lines[1:]]]))
    detector = Detector.load(tmp_path / "run", device_target="CPU")
    write_report(tmp_path / "run" / "detector.safetensors", detector, find_dataset(fabric_folder), tmp_path / "report")
    assert [epoch["loss"] for epoch in data_of(tmp_path / "report")["history"]] == [None, None]


def test_titles_and_data_are_escaped():
    html = render_page(
        "report", "</title><script>alert(1)</script>", {"name": "</script><script>alert(2)</script>{{script}}"}, ()
    )
    assert "<script>alert" not in html and "alert(2)</script>" not in html


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plots_are_written(reported, tiny_run, tmp_path, suffix):
    write_plots(reported[1], tiny_run.folder, tmp_path, suffix)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{suffix}" for name in FIGURES}
    for path in tmp_path.iterdir():
        start = path.read_bytes()[:200]
        assert start.startswith(b"\x89PNG") if suffix == "png" else b"<?xml" in start


def test_plots_of_good_images_alone(good_only, tmp_path):
    run, evaluation, _ = good_only
    write_plots(evaluation, tmp_path, tmp_path, "svg")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.svg"]
    assert run.finished


def test_a_report_of_another_data_set_has_a_folder_of_its_own(tiny_run, tmp_path):
    path, config = tiny_run.detector_path, tiny_run.config
    other = fabric.make(tmp_path / "other", classes=["twill", "canvas"], train=2, good=1, defective=1, size=64)
    folders = [report_folder(path, config, find_dataset(root)) for root in (config.dataset_path, *other)]
    assert folders == [tiny_run.folder / name for name in ("report", "report-twill", "report-canvas")]
    file = path.with_name("line3.safetensors")
    assert report_folder(file, config, find_dataset(other[1])).name == "report-line3-canvas"
    assert report_folder(file, config, tiny_run.dataset).name == "report-line3"


def test_a_report_replaces_the_former_one_as_a_whole(tiny_run, fabric_folder, tmp_path):
    detector, folder = Detector.load(tiny_run.folder, device_target="CPU"), tmp_path / "report"
    write_report(tiny_run.detector_path, detector, find_dataset(fabric_folder), folder, "svg")
    assert (folder / "roc.svg").exists() and (folder / "images" / "hole").exists()
    dataset = find_dataset(fabric_folder / "train" / "good")
    write_report(tiny_run.detector_path, detector, dataset, folder)
    written = {path.name for path in (folder / "images").iterdir()}
    assert written == {"good"} and not (folder / "roc.svg").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_files_of_others_in_the_folder_of_a_report_are_kept(tiny_run, tmp_path):
    detector, folder = Detector.load(tiny_run.folder, device_target="CPU"), tmp_path / "report"
    write_report(tiny_run.detector_path, detector, tiny_run.dataset, folder)
    notes = folder / "images" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(InputError, match=r"report: holds another file, images/notes.txt; move it"):
        write_report(tiny_run.detector_path, detector, tiny_run.dataset, folder)
    assert notes.read_text() == "mine" and (folder / PAGE_NAME).exists()


def test_an_interrupted_report_leaves_the_former_one(tiny_run, tmp_path, monkeypatch):
    detector, folder = Detector.load(tiny_run.folder, device_target="CPU"), tmp_path / "report"
    write_report(tiny_run.detector_path, detector, tiny_run.dataset, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssim_ae.evaluation.evaluate.write_contact_sheet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_report(tiny_run.detector_path, detector, tiny_run.dataset, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert main(["evaluate", str(tiny_run.folder), "--save_dir", str(tmp_path / "out")]) == 130
    assert not list((tmp_path / "out").iterdir())


def test_the_command_on_the_page_names_the_run(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_run.folder.parent)
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    write_report(tiny_run.detector_path, detector, tiny_run.dataset, tmp_path / "report")
    assert data_of(tmp_path / "report")["detector_path"] == tiny_run.folder.name


def test_a_curve_of_many_images_keeps_the_points_that_can_be_distinguished():
    rng = np.random.default_rng(0)
    defects = ["good"] * 20_000 + ["hole"] * 3000
    scores = np.concatenate([rng.normal(0, 1, 20_000), rng.normal(1, 1, 3000)])
    results = tuple(
        ImageResult(OneImage(Path("x.png"), defect), float(score), has_ground_truth=False, size=(1, 1))
        for defect, score in zip(defects, scores, strict=True)
    )
    rates = np.array(roc_points(results))
    false_positive, true_positive, _ = roc(scores, np.array(defects) != "good")
    assert len(rates) < 2500 and rates[0].tolist() == [0, 0] and rates[-1].tolist() == [1, 1]
    assert np.abs(np.interp(false_positive, *rates.T) - true_positive).max() < 0.005
    assert [list(point) for point in roc_points(results[-30:] + results[:30])] == np.stack(
        roc(scores[[*range(-30, 0), *range(30)]], np.arange(60) < 30)[:2], axis=1
    ).tolist()
