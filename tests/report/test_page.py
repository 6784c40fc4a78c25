"""The report in a real browser, opened from the disk."""

import os
import re
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
from ssim_ae.pages.page import page as written
from ssim_ae.report.report import report

OWN = 120


@pytest.fixture
def opened(browser, reported):
    """The page, which must neither complain nor ask for anything but its own files."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"{request.url} {request.failure}"))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    page.goto((reported[2] / "index.html").as_uri())
    yield page
    context.close()
    assert wrong == []


def move(page, k: int) -> None:
    page.evaluate("k => { const s = $('limit'); s.value = k; s.dispatchEvent(new Event('input')); }", k)


def rates(page) -> dict[str, str]:
    return {name: page.text_content(f"#rate-{name}") for name in ("ok", "nok", "avg")}


def test_the_slider_says_what_an_evaluation_under_that_limit_says(opened, reported, fabric_folder, tmp_path, capsys):
    scores = sorted(image["score"] for image in data_of(reported[2])["images"])
    for k in sorted({int(np.searchsorted(LEVEL_THRESHOLDS, scores[rank])) for rank in (1, 4, 7)}):
        move(opened, k)
        words = opened.text_content("#line").split()
        assert words[:2] == ["ssim-ae", "threshold"]
        output = tmp_path / f"{k}.safetensors"
        assert main([*words[1:], "--output", str(output)]) == 0
        again = evaluate(Detector.load(output, device_target="CPU"), find_dataset(fabric_folder)).figures[ALL]
        expected = {name: f"{100 * getattr(again, name).value:.1f}" for name in ("ok", "nok", "avg")}
        assert rates(opened) == expected
        low, high = again.nok.low, again.nok.high
        assert f"{100 * low:.1f}–{100 * high:.1f}" in opened.text_content("#rates")
        cells = [int(text) for text in opened.locator("#confusion td").all_text_contents()]
        right = [round(again.ok.value * again.good), round(again.nok.value * again.defective)]
        assert cells == [right[0], again.good - right[0], again.defective - right[1], right[1]]
        called = opened.locator(".gallery .told span:first-child").all_text_contents()
        assert sum(text.startswith("nok") for text in called) == cells[1] + cells[3]
        assert opened.locator(".gallery li.wrong").count() == cells[1] + cells[2]


def test_at_the_start_all_is_as_the_evaluation_said(opened, reported):
    whole = reported[1].figures[ALL]
    assert rates(opened) == {name: f"{100 * getattr(whole, name).value:.1f}" for name in ("ok", "nok", "avg")}
    assert not opened.is_visible("#keep") and not opened.is_visible("#back")
    move(opened, OWN - 9)
    assert opened.is_visible("#line")
    opened.click("#back")
    assert rates(opened)["avg"] == f"{100 * whole.avg.value:.1f}" and not opened.is_visible("#keep")


@pytest.mark.parametrize("offset", [-12, 0])
def test_outlines_are_where_the_mask_is(opened, reported, offset):
    """A picture shown at its own size has the outline's colour on the mask's outline, and nowhere else."""
    detector, evaluation, _ = reported
    index, case = max(enumerate(evaluation.cases), key=lambda numbered: numbered[1].score)
    mask = detector.inspect(case.image.path).levels > OWN + offset
    size = len(mask)
    move(opened, OWN + offset)
    opened.evaluate(
        """async ([index, size]) => {
            const shown = picture(images[index].layers, "found", "");
            shown.style.cssText = `position: fixed; left: 0; top: 0; width: ${size}px; border-radius: 0; z-index: 9`;
            document.body.append(shown);
            await Promise.all([...shown.querySelectorAll(".original, .levels")].map((image) => image.decode()));
        }""",
        [index, size],
    )
    picture = opened.screenshot(clip={"x": 0, "y": 0, "width": size, "height": size})
    pixels = np.asarray(Image.open(BytesIO(picture)).convert("RGB")).astype(int)
    vermilion = np.abs(pixels - (235, 41, 61)).max(axis=2) < 24
    truth = np.abs(pixels - (0, 191, 255)).max(axis=2) < 24
    rows, columns = np.nonzero(mask)
    found_rows, found_columns = np.nonzero(vermilion)
    assert mask.any() and vermilion.any() and truth.any()
    assert not (vermilion & ~mask).any()
    for found, expected in ((found_rows, rows), (found_columns, columns)):
        assert abs(found.min() - expected.min()) <= 1 and abs(found.max() - expected.max()) <= 1


def test_filters_and_order(opened, reported):
    cases = reported[1].cases
    named = lambda: [text.split(",")[0] for text in labels(opened)]  # noqa: E731
    scores = {case.image.name: case.score for case in cases}
    assert named() == sorted(scores, key=lambda name: -scores[name])
    opened.select_option("#order", "name")
    assert named() == [case.image.name for case in cases]
    opened.select_option("#type", "good")
    assert named() == [case.image.name for case in cases if not case.defective]
    opened.select_option("#type", "all types")
    opened.select_option("#judged", "mistakes")
    assert sorted(named()) == sorted(case.image.name for case in cases if not case.right)
    move(opened, 0)
    assert all("false alarm" in text for text in labels(opened)) and len(labels(opened)) == 4
    assert opened.text_content("#count") == f"4 of {len(cases)} images"


def labels(page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.gallery li:not([hidden]) button')].map(b => b.ariaLabel)")


def test_moving_over_an_image_shows_its_views(opened):
    button = opened.locator(".gallery button").first
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    seen = []
    for part in range(4):
        opened.mouse.move(box["x"] + box["width"] * (part + 0.5) / 4, box["y"] + 40)
        seen.append(button.locator(".picture").get_attribute("data-view"))
    assert seen == ["original", "reconstruction", "heat", "found"]
    opened.mouse.move(1, 1)
    assert button.locator(".picture").get_attribute("data-view") == "found"
    opened.check("input[value=heat]", force=True)
    assert button.locator(".picture").get_attribute("data-view") == "heat"


def test_by_keyboard_alone(opened):
    press = opened.keyboard.press
    press("Tab")
    assert opened.evaluate("document.activeElement.id") == "limit"
    before = opened.text_content("#at")
    press("ArrowLeft")
    assert opened.text_content("#at") != before
    for _ in range(30):
        press("Tab")
        if opened.evaluate("document.activeElement.closest('.gallery') !== null"):
            break
    press("Enter")
    assert opened.is_visible("#closer")
    first = opened.text_content("#closer-name")
    press("ArrowRight")
    assert opened.text_content("#closer-name") != first
    press("ArrowLeft")
    assert opened.text_content("#closer-name") == first
    press("Escape")
    assert not opened.is_visible("#closer")
    assert opened.evaluate("document.activeElement.closest('.gallery') !== null")


def test_what_changes_is_said_aloud(opened):
    move(opened, 0)
    told = "4 of 4 good images called defective, 0 of 6 defective images missed"
    opened.locator("#said").filter(has_text=told).wait_for(state="attached")
    assert opened.get_attribute("#limit", "aria-valuetext") == "limit 0.707"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1300])
def test_anyone_can_read_it(browser, reported, scheme, width):
    """No violation of the WCAG rules that axe-core can check; nothing wider than a phone."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = context.new_page()
    page.goto((reported[2] / "index.html").as_uri())
    move(page, OWN - 8)
    found = [Axe().run(page)]
    page.locator(".gallery button").first.click()
    found.append(Axe().run(page))
    wide = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert [violation["id"] for results in found for violation in results.response["violations"]] == []
    assert wide <= width


def test_two_thousand_images(browser, reported, tmp_path):
    """A step of the slider, and a screenful of scrolling, take less than a second on any machine."""
    _, _, folder = reported
    data = data_of(folder)
    images = tmp_path / "images" / "many"
    images.mkdir(parents=True)
    for number in range(2000):
        for kind in ("origin.png", "rec.png", "levels.png", "small.jpg"):
            os.link(next((folder / "images").glob(f"*/*_{kind}")), images / f"{number}_{kind}")
    data["images"] = [data["images"][number % 10] | {"name": f"many/{number}"} for number in range(2000)]
    (tmp_path / "index.html").write_text(written("report", "many", data, ("charts.js", "report.js")))
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto((tmp_path / "index.html").as_uri())
    assert len(labels(page)) == 2000
    slowest = page.evaluate(
        """async () => {
            const frame = () => new Promise((done) => requestAnimationFrame(done));
            const gaps = [];
            for (let step = 0; step < 30; step++) {
                const start = performance.now();
                $("limit").value = 100 + step;
                $("limit").dispatchEvent(new Event("input"));
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
    assert not page.is_visible("#figures") and not page.is_visible("#type")
    assert re.search(r"2 good images held out of its training", page.text_content("#summary"))
    assert page.locator("#curves svg").count() == 1
    page.close()


def test_a_folder_with_any_name(browser, reported, fabric_folder, tiny_run, tmp_path):
    strange = tmp_path / "it's 100% <b>#1?"
    (strange / "test" / "a&b <i>x#?%41").mkdir(parents=True)
    (strange / "train" / "good").mkdir(parents=True)
    source = Path(next((fabric_folder / "test" / "hole").iterdir()))
    for place in ("train/good", "test/good", "test/a&b <i>x#?%41"):
        (strange / place).mkdir(exist_ok=True)
        (strange / place / "1 #ü%20.png").write_bytes(source.read_bytes())
    report(tiny_run.detector_path, reported[0], find_dataset(strange), strange / "report")
    page = browser.new_page()
    failed = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto((strange / "report" / "index.html").as_uri())
    page.evaluate("Promise.all([...document.querySelectorAll('.gallery .levels')].map((image) => image.decode()))")
    assert page.text_content("h1") == strange.name and "a&b <i>x#?%41" in page.text_content("#type")
    page.close()
    assert failed == []
