"""The report page is tested in Chromium, opened from the disk."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from tests.report.conftest import DEFAULT_LEVEL, data_of, set_level

from ssim_ae import Detector, evaluate, find_dataset
from ssim_ae.cli import main
from ssim_ae.images.folders import ALL
from ssim_ae.maps.levels import LEVEL_THRESHOLDS
from ssim_ae.pages.detectability import Detectability
from ssim_ae.pages.page import render_page
from ssim_ae.report.report import SCRIPTS

FOUND = [[0.0, 0.5, 1.0], [0.25, 0.75, 1.0]]
DETECTABILITY = Detectability(
    sentence="Finds 90 % of defects of 30 px and larger.",
    working_size=(256, 512),
    sizes=[4, 12, 40],
    contrasts=["low", "high <b>"],
    found=FOUND,
    low=[[max(0, share - 0.1) for share in row] for row in FOUND],
    high=[[min(1, share + 0.1) for share in row] for row in FOUND],
    images=20,
)


def rates(page) -> dict[str, str]:
    return {name: page.text_content(f"#rate-{name}") for name in ("ok", "nok", "avg")}


def test_metrics_at_a_level_agree_with_an_evaluation_at_that_threshold(
    opened, reported, tiny_run, fabric_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tiny_run.folder.parents[1])  # the page names the run by its last two names
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
        cells = [int(text.split()[0]) for text in opened.locator("#confusion-matrix td").all_text_contents()]
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
            const shown = layeredImage(images[index].layers, "mask");
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
    tab_to(opened, "document.activeElement.id === 'threshold'")
    before = opened.text_content("#threshold-value")
    press("ArrowLeft")
    assert opened.text_content("#threshold-value") != before
    tab_to(opened, "document.activeElement.closest('.gallery') !== null")
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


def tab_to(page, condition: str) -> None:
    """Press Tab until a JavaScript condition is true."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(condition):
            return
    raise AssertionError(condition)


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
    page.goto(rewritten(reported, "accessible.html", detectability=DETECTABILITY.model_dump()))
    set_level(page, DEFAULT_LEVEL - 8)
    page.click("#detectability summary")
    results = [Axe().run(page)]
    page.locator(".gallery button").last.scroll_into_view_if_needed()
    page.wait_for_selector("#threshold-bar")
    results.append(Axe().run(page))
    page.locator(".gallery button").first.click()
    results.append(Axe().run(page))
    page_width = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert [violation["id"] for result in results for violation in result.response["violations"]] == []
    assert page_width <= width


def rewritten(reported, path: Path, **changes) -> str:
    """Write the page again with changed data, beside its images, and return its address."""
    data = data_of(reported[2]) | changes
    (reported[2] / path).write_text(render_page("report", "changed", data, SCRIPTS))
    return (reported[2] / path).as_uri()


def test_the_numbers_of_mistakes_lead_to_them(opened, reported):
    set_level(opened, 0)
    opened.select_option("#defect-type", "hole")
    link = opened.locator("#confusion-matrix a")
    assert link.text_content() == "4 false alarms"
    link.click()
    assert all("false alarm" in text for text in labels(opened)) and len(labels(opened)) == 4
    assert opened.input_value("#verdict-filter") == "false alarms"
    assert 0 <= opened.locator("#gallery-heading").bounding_box()["y"] < 300
    set_level(opened, 240)
    opened.locator("#confusion-matrix a").click()
    assert opened.input_value("#verdict-filter") == "missed"
    assert all("missed" in text for text in labels(opened)) and labels(opened)


def test_an_empty_selection_says_so(opened, reported):
    assert not opened.is_visible("#empty")
    set_level(opened, 240)
    opened.select_option("#verdict-filter", "false alarms")
    opened.select_option("#defect-type", "hole")
    assert opened.text_content("#empty-reason") == "No image matches: false alarms, defect type hole."
    opened.click("#show-all")
    assert len(labels(opened)) == len(reported[1].results) and not opened.is_visible("#empty")


def test_the_threshold_stays_in_sight(opened, reported):
    opened.set_viewport_size({"width": 1200, "height": 500})
    assert not opened.is_visible("#threshold-bar")
    opened.locator(".gallery button").last.scroll_into_view_if_needed()
    opened.wait_for_selector("#threshold-bar")
    assert opened.locator("#threshold-bar").bounding_box()["y"] == 0
    opened.focus("#bar-threshold")
    opened.keyboard.press("Home")
    assert opened.input_value("#threshold") == opened.input_value("#bar-threshold")
    assert opened.text_content("#bar-effect") == "4 false alarms, 0 missed"
    opened.click("#bar-reset-threshold")
    assert opened.input_value("#threshold") == str(DEFAULT_LEVEL)
    opened.evaluate("scrollTo(0, 0)")
    opened.wait_for_selector("#threshold-bar", state="hidden")


def test_scores_beyond_the_slider_are_counted(browser, reported):
    images = data_of(reported[2])["images"]
    for image, score in zip(images, [0.01, 8.0, 8.1, 30, 500], strict=False):
        image |= {"score": score, "defective": True}
    page = browser.new_page()
    page.goto(rewritten(reported, "beyond.html", images=images))
    texts = page.locator("#histogram text").all_text_contents()
    assert texts.count("below 0.125") == 1 and texts.count("above 8") == 1
    assert texts[texts.index("1") :][:2] == ["1", "3"]  # the numbers beside the axis
    slider, axis = page.locator("#threshold").bounding_box(), page.locator("#histogram .axis").first.bounding_box()
    assert abs(slider["x"] + 8 - axis["x"]) < 1 and abs(slider["width"] - 16 - axis["width"]) < 1
    page.close()


@pytest.mark.parametrize("width", [390, 1300])
def test_no_line_crosses_a_label_of_the_histogram(opened, width):
    opened.set_viewport_size({"width": width, "height": 800})
    for level in (90, DEFAULT_LEVEL, 150):
        set_level(opened, level)
        crossings = opened.evaluate(
            """() => {
                const boxes = (selector) =>
                    [...document.querySelectorAll(selector)].map((element) => element.getBoundingClientRect());
                const overlap = (a, b) =>
                    a.left < b.right && b.left < a.right && a.top + 1 < b.bottom && b.top + 1 < a.bottom;
                const texts = boxes("#histogram text");
                const marks = [...boxes("#histogram .threshold"), ...boxes("#histogram .default-threshold"), ...texts];
                return texts.flatMap((a, i) => marks.filter((b) => b !== a && overlap(a, b))).length;
            }"""
        )
        assert crossings == 0


def test_what_the_detector_can_find(browser, reported):
    assert data_of(reported[2])["detectability"] is None
    page = browser.new_page()
    page.goto((reported[2] / "index.html").as_uri())
    assert not page.is_visible("#detectability")
    page.goto(rewritten(reported, "found.html", detectability=DETECTABILITY.model_dump()))
    assert page.text_content("#detectability .sentence") == DETECTABILITY.sentence
    assert page.locator("#detectability path.line").count() == 2 * 2  # in the chart and in the legend
    titles = page.locator("#detectability title").all_text_contents()
    assert titles[0] == "4 px, low contrast: 0.0 %" and titles[-1] == "40 px, high <b> contrast: 100.0 %"
    page.click("#detectability summary")
    rows = [row.split("\t") for row in page.inner_text("#detectability tbody").split("\n")]
    assert rows[1] == ["12 px", "50.0 40.0–60.0", "75.0 65.0–85.0"]
    assert "512 × 256 px" in page.text_content("#detectability")
    empty = DETECTABILITY.model_dump() | {key: [] for key in ("sizes", "contrasts", "found", "low", "high")}
    page.goto(rewritten(reported, "nothing.html", detectability=empty))
    assert page.inner_text("#detectability-content") == DETECTABILITY.sentence
    page.close()


def test_detectability_of_other_shapes_is_rejected():
    with pytest.raises(ValueError, match="found: should have 2 rows of 3 shares"):
        Detectability.model_validate(DETECTABILITY.model_dump() | {"found": [[0.0]]})


def test_two_thousand_images(browser, reported, tmp_path):
    """A step of the slider, together with scrolling, takes less than a second."""
    _, _, folder = reported
    data = data_of(folder)
    images = tmp_path / "images" / "many"
    images.mkdir(parents=True)
    for number in range(2000):
        for kind in ("origin.png", "rec.png", "levels.png", "small.jpg", "image.jpg"):
            os.link(next((folder / "images").glob(f"*/*_{kind}")), images / f"{number}_{kind}")
    data["images"] = [
        data["images"][number % 10] | dict.fromkeys(("name", "files"), f"many/{number}") for number in range(2000)
    ]
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
