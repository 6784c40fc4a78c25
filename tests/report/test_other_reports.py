"""Report pages of other data sets and detectors, in Chromium."""

from pathlib import Path

import numpy as np
from tests.report.conftest import DEFAULT_LEVEL, set_level

from ssim_ae import Detector, find_dataset
from ssim_ae.cli import main
from ssim_ae.maps.levels import LEVEL_THRESHOLDS
from ssim_ae.report.report import write_report


def test_a_report_on_good_images(browser, fabric_folder, tiny_config, tmp_path):
    settings = [f"--{key}={value}" for key, value in tiny_config.model_dump(exclude_unset=True).items()]
    settings = [word for word in settings if not word.startswith("--dataset_path")]
    assert main(["train", str(fabric_folder / "train" / "good"), "--runs", str(tmp_path), *settings]) == 0
    page = browser.new_page()
    page.goto((tmp_path / "good-1" / "report" / "index.html").as_uri())
    assert page.locator("#rate-ok").count() == 1 and page.locator("#rate-nok").count() == 0
    assert not page.is_visible("#metrics") and not page.is_visible("#defect-type")
    assert page.text_content("#summary") == "2 held-out images; no test images available"
    assert page.locator("#loss svg").count() == 1
    page.close()


def test_folders_and_files_with_special_characters(browser, reported, fabric_folder, tiny_run, tmp_path):
    strange = tmp_path / "it's 100% <b>#1?"
    (strange / "test" / "a&b <i>x#?%41").mkdir(parents=True)
    (strange / "train" / "good").mkdir(parents=True)
    source = Path(next((fabric_folder / "test" / "hole").iterdir()))
    for place in ("train/good", "test/good", "test/a&b <i>x#?%41"):
        (strange / place).mkdir(exist_ok=True)
        (strange / place / "1 #ü%20.png").write_bytes(source.read_bytes())
    write_report(tiny_run.detector_path, reported[0], find_dataset(strange), strange / "report")
    page = browser.new_page()
    failed = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto((strange / "report" / "index.html").as_uri())
    page.evaluate("Promise.all([...document.querySelectorAll('.gallery .levels')].map((image) => image.decode()))")
    assert page.text_content("h1") == strange.name and "a&b <i>x#?%41" in page.text_content("#defect-type")
    page.close()
    assert failed == []


def test_a_detector_without_reconstruction(features_run, tmp_path, open_report):
    detector = Detector.load(features_run.folder)
    write_report(features_run.detector_path, detector, features_run.dataset, tmp_path)
    assert not list(tmp_path.rglob("*_rec.*"))
    page = open_report(tmp_path)
    assert "Trained on 24 good images in " in page.text_content("body") and "patches of" not in page.text_content(
        "body"
    )
    button = page.locator(".gallery button").first
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    views = []
    for part in range(3):
        page.mouse.move(box["x"] + box["width"] * (part + 0.5) / 3, box["y"] + 40)
        views.append(button.locator(".layered-image").get_attribute("data-view"))
        marks = button.locator(".view-indicator i").evaluate_all("all => all.map((mark) => mark.className)")
        assert marks == ["current" if index == part else "" for index in range(3)]
    assert views == ["original", "heatmap", "mask"]
    button.click()
    page.locator("#image-dialog .stage .original img").wait_for()
    options = page.locator("input[value=reconstruction]").evaluate_all("all => all.map((one) => one.checkVisibility())")
    assert options == [False, False] and page.is_hidden(".stage .reconstruction")
    for view in views:
        page.check(f"input[name=viewer-view][value={view}]", force=True)
    page.wait_for_function(
        """() => [...document.querySelectorAll("img[src]")]
            .filter((image) => image.checkVisibility())
            .every((image) => image.complete && image.naturalWidth)"""
    )


def test_a_page_that_shows_a_sample_has_the_figures_of_all_images(
    open_report, opened, tiny_run, fabric_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("ssim_ae.evaluation.evaluate.MAX_SHOWN", 4)
    for name, limit in {"MAX_SHOWN": 4, "MAX_SHOWN_ERRORS": 2, "SHOWN_CLOSEST": 1, "SHOWN_OTHERS": 1}.items():
        monkeypatch.setattr(f"ssim_ae.evaluation.shown_images.{name}", limit)
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    evaluation = write_report(tiny_run.detector_path, detector, find_dataset(fabric_folder), tmp_path)
    sample = open_report(tmp_path)
    figures = ("#rates", "#confusion-matrix", "#metrics-table", "#histogram svg text:first-of-type", "#bar-effect")
    for level in (DEFAULT_LEVEL, *np.searchsorted(LEVEL_THRESHOLDS, [result.score for result in evaluation.results])):
        for page in (sample, opened):
            set_level(page, int(level))
        for figure in figures:
            texts = [page.locator(figure).all_text_contents() for page in (sample, opened)]
            assert texts[0] == texts[1] and texts[0]
    assert sample.locator(".gallery > li").count() == len(evaluation.shown) == 4
    assert sample.text_content("#count").endswith("of 4 images shown")
    assert sample.text_content("#how-shown") == evaluation.how_shown and sample.is_visible("#how-shown")
    assert not opened.is_visible("#how-shown") and opened.text_content("#count").endswith("of 10 images")
