"""The report page is tested in Chromium, opened from the disk."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from tests.report.conftest import data_of

from ssim_ae import Detector, evaluate, find_dataset
from ssim_ae.cli import main
from ssim_ae.images.folders import ALL
from ssim_ae.maps.levels import LEVEL_THRESHOLDS
from ssim_ae.pages.page import render_page
from ssim_ae.report.report import SCRIPTS, write_report

DEFAULT_LEVEL = 120  # index of the threshold 1


@pytest.fixture
def opened(browser, reported):
    """Open the page; it must not report errors nor request anything but its own files."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"{request.url} {request.failure}"))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or problems.append(request.url))
    page.goto((reported[2] / "index.html").as_uri())
    yield page
    context.close()
    assert problems == []


def set_level(page, level: int) -> None:
    script = "level => { const s = $('threshold'); s.value = level; s.dispatchEvent(new Event('input')); }"
    page.evaluate(script, level)


def rates(page) -> dict[str, str]:
    return {name: page.text_content(f"#rate-{name}") for name in ("ok", "nok", "avg")}


def test_metrics_at_a_level_agree_with_an_evaluation_at_that_threshold(opened, reported, fabric_folder, tmp_path):
    scores = sorted(image["score"] for image in data_of(reported[2])["images"])
    for level in sorted({int(np.searchsorted(LEVEL_THRESHOLDS, scores[rank])) for rank in (1, 4, 7)}):
        set_level(opened, level)
        words = opened.text_content("#command").split()
        assert words[:2] == ["ssim-ae", "threshold"]
        output = tmp_path / f"{level}.safetensors"
        assert main([*words[1:], "--force", "--output", str(output)]) == 0
        evaluated = evaluate(Detector.load(output, device_target="CPU"), find_dataset(fabric_folder)).metrics[ALL]
        expected = {name: f"{100 * getattr(evaluated, name).value:.1f}" for name in ("ok", "nok", "avg")}
        assert rates(opened) == expected
        low, high = evaluated.nok.low, evaluated.nok.high
        assert f"{100 * low:.1f}–{100 * high:.1f}" in opened.text_content("#rates")
        cells = [int(text) for text in opened.locator("#confusion-matrix td").all_text_contents()]
        correct = [round(evaluated.ok.value * evaluated.good), round(evaluated.nok.value * evaluated.defective)]
        assert cells == [correct[0], evaluated.good - correct[0], evaluated.defective - correct[1], correct[1]]
        verdicts = opened.locator(".gallery .card-footer span:first-child").all_text_contents()
        assert sum(text.startswith("nok") for text in verdicts) == cells[1] + cells[3]
        assert opened.locator(".gallery li.error").count() == cells[1] + cells[2]


def test_the_page_starts_at_the_default_threshold(opened, reported):
    total = reported[1].metrics[ALL]
    assert rates(opened) == {name: f"{100 * getattr(total, name).value:.1f}" for name in ("ok", "nok", "avg")}
    assert not opened.is_visible("#apply-threshold") and not opened.is_visible("#reset-threshold")
    set_level(opened, DEFAULT_LEVEL - 9)
    assert opened.is_visible("#command")
    opened.click("#reset-threshold")
    assert rates(opened)["avg"] == f"{100 * total.avg.value:.1f}" and not opened.is_visible("#apply-threshold")


@pytest.mark.parametrize("offset", [-12, 0])
def test_outlines_follow_the_mask(opened, reported, offset):
    """An image at its original size has the color of outlines on the outline of the mask, and nowhere else."""
    detector, evaluation, _ = reported
    index, result = max(enumerate(evaluation.results), key=lambda numbered: numbered[1].score)
    mask = detector.inspect(result.image.path).levels > DEFAULT_LEVEL + offset
    size = len(mask)
    set_level(opened, DEFAULT_LEVEL + offset)
    opened.evaluate(
        """async ([index, size]) => {
            const shown = layeredImage(images[index].layers, "mask", "");
            shown.style.cssText = `position: fixed; left: 0; top: 0; width: ${size}px; border-radius: 0; z-index: 9`;
            document.body.append(shown);
            await Promise.all([...shown.querySelectorAll(".original, .levels")].map((image) => image.decode()));
        }""",
        [index, size],
    )
    screenshot = opened.screenshot(clip={"x": 0, "y": 0, "width": size, "height": size})
    pixels = np.asarray(Image.open(BytesIO(screenshot)).convert("RGB")).astype(int)
    outline = np.abs(pixels - (235, 41, 61)).max(axis=2) < 24
    truth = np.abs(pixels - (0, 191, 255)).max(axis=2) < 24
    rows, columns = np.nonzero(mask)
    found_rows, found_columns = np.nonzero(outline)
    assert mask.any() and outline.any() and truth.any()
    assert not (outline & ~mask).any()
    for found, expected in ((found_rows, rows), (found_columns, columns)):
        assert abs(found.min() - expected.min()) <= 1 and abs(found.max() - expected.max()) <= 1


def test_filters_and_order(opened, reported):
    results = reported[1].results

    def names() -> list[str]:
        return [text.split(",")[0] for text in labels(opened)]

    scores = {result.image.name: result.score for result in results}
    assert names() == sorted(scores, key=lambda name: -scores[name])
    opened.select_option("#order", "name")
    assert names() == [result.image.name for result in results]
    opened.select_option("#defect-type", "good")
    assert names() == [result.image.name for result in results if not result.defective]
    opened.select_option("#defect-type", "all types")
    opened.select_option("#verdict-filter", "errors")
    assert sorted(names()) == sorted(result.image.name for result in results if not result.correct)
    set_level(opened, 0)
    assert all("false alarm" in text for text in labels(opened)) and len(labels(opened)) == 4
    assert opened.text_content("#count") == f"4 of {len(results)} images"


def labels(page) -> list[str]:
    """Return the accessible names of the visible cards."""
    return page.evaluate("[...document.querySelectorAll('.gallery li:not([hidden]) button')].map(b => b.ariaLabel)")


def test_the_pointer_position_over_a_card_selects_the_view(opened):
    button = opened.locator(".gallery button").first
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    views = []
    for part in range(4):
        opened.mouse.move(box["x"] + box["width"] * (part + 0.5) / 4, box["y"] + 40)
        views.append(button.locator(".layered-image").get_attribute("data-view"))
    assert views == ["original", "reconstruction", "heatmap", "mask"]
    opened.mouse.move(1, 1)
    assert button.locator(".layered-image").get_attribute("data-view") == "mask"
    opened.check("input[value=heatmap]", force=True)
    assert button.locator(".layered-image").get_attribute("data-view") == "heatmap"


def test_keyboard_navigation(opened):
    press = opened.keyboard.press
    press("Tab")
    assert opened.evaluate("document.activeElement.id") == "threshold"
    before = opened.text_content("#threshold-value")
    press("ArrowLeft")
    assert opened.text_content("#threshold-value") != before
    for _ in range(30):
        press("Tab")
        if opened.evaluate("document.activeElement.closest('.gallery') !== null"):
            break
    press("Enter")
    assert opened.is_visible("#image-dialog")
    first = opened.text_content("#dialog-name")
    press("ArrowRight")
    assert opened.text_content("#dialog-name") != first
    press("ArrowLeft")
    assert opened.text_content("#dialog-name") == first
    press("Escape")
    assert not opened.is_visible("#image-dialog")
    assert opened.evaluate("document.activeElement.closest('.gallery') !== null")


def test_changes_of_the_threshold_are_announced(opened):
    set_level(opened, 0)
    text = "threshold 0.707: 4 of 4 good images rejected, 0 of 6 defective images missed"
    opened.locator("#announcement").filter(has_text=text).wait_for(state="attached")
    assert opened.get_attribute("#threshold", "aria-valuetext") == "threshold 0.707"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1300])
def test_accessibility(browser, reported, scheme, width):
    """The page violates no rule of axe-core, and is not wider than the window."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = context.new_page()
    page.goto((reported[2] / "index.html").as_uri())
    set_level(page, DEFAULT_LEVEL - 8)
    results = [Axe().run(page)]
    page.locator(".gallery button").first.click()
    results.append(Axe().run(page))
    page_width = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert [violation["id"] for result in results for violation in result.response["violations"]] == []
    assert page_width <= width


def test_two_thousand_images(browser, reported, tmp_path):
    """A step of the slider, together with scrolling, takes less than a second."""
    _, _, folder = reported
    data = data_of(folder)
    images = tmp_path / "images" / "many"
    images.mkdir(parents=True)
    for number in range(2000):
        for kind in ("origin.png", "rec.png", "levels.png", "small.jpg"):
            os.link(next((folder / "images").glob(f"*/*_{kind}")), images / f"{number}_{kind}")
    data["images"] = [data["images"][number % 10] | {"name": f"many/{number}"} for number in range(2000)]
    (tmp_path / "index.html").write_text(render_page("report", "many", data, SCRIPTS))
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((tmp_path / "index.html").as_uri())
    assert len(labels(page)) == 2000
    slowest = page.evaluate(
        """async () => {
            const frame = () => new Promise((done) => requestAnimationFrame(done));
            const gaps = [];
            for (let step = 0; step < 30; step++) {
                const start = performance.now();
                $("threshold").value = 100 + step;
                $("threshold").dispatchEvent(new Event("input"));
                scrollBy(0, 500);
                await frame();
                await frame();
                gaps.push(performance.now() - start);
            }
            return Math.max(...gaps);
        }"""
    )
    page.close()
    assert slowest < 1000


def test_a_report_on_good_images(browser, fabric_folder, tiny_config, tmp_path):
    settings = [f"--{key}={value}" for key, value in tiny_config.model_dump(exclude_unset=True).items()]
    settings = [word for word in settings if not word.startswith("--dataset_path")]
    assert main(["train", str(fabric_folder / "train" / "good"), "--runs", str(tmp_path), *settings]) == 0
    page = browser.new_page()
    page.goto((tmp_path / "good-1" / "report" / "index.html").as_uri())
    assert page.locator("#rate-ok").count() == 1 and page.locator("#rate-nok").count() == 0
    assert not page.is_visible("#metrics") and not page.is_visible("#defect-type")
    assert page.text_content("#summary") == "2 held-out images; no test images available"
    assert page.locator("#curves svg").count() == 1
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
