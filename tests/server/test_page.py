"""The inspection page in a real browser, before a real server."""

import csv
import shutil
from base64 import b64encode

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from ssim_ae.maps.levels import LEVEL_THRESHOLDS
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector

DROP = """([name, data]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
PASTE = DROP.replace('new DragEvent("drop", { dataTransfer', 'new ClipboardEvent("paste", { clipboardData')

WIDTHS = """(images) => Promise.all(images.map(async (image) => {
    image.loading = "eager";
    await image.decode();
    return image.naturalWidth;
}))"""


@pytest.fixture
def open_page(browser):
    """Opens the page of a server; it must not complain, nor ask anybody else."""
    contexts, wrong = [], []

    def opening(client, **how):
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **how)
        contexts.append(context)
        page = context.new_page()
        url = str(client.base_url)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: "Failed to load resource" in message.text or wrong.append(message.text))
        own = (url, "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(own) or wrong.append(request.url))
        page.goto(url)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert wrong == []


def drop(page, path, how=DROP) -> None:
    page.evaluate(how, [path.name, b64encode(path.read_bytes()).decode()])


def said(page, text) -> None:
    page.get_by_role("status").filter(has_text=text).wait_for()


@pytest.mark.parametrize("how", [DROP, PASTE], ids=["dropped", "pasted"])
def test_an_image_that_is_given_gets_the_score_of_the_api(open_page, client, images, how):
    page = open_page(client)
    answer = client.post("/v1/inspect", content=images[0].read_bytes(), headers={"Content-Type": "image/png"}).json()
    drop(page, images[0], how)
    said(page, images[0].name)
    assert page.text_content("#verdict") == answer["verdict"]
    assert f"score {answer['score']:.4f} at limit 1.000" in page.text_content("#told")
    assert page.locator("#four img").evaluate_all(WIDTHS) == [64] * 12


def test_the_slider_moves_verdicts(open_page, client, images):
    page = open_page(client)
    page.set_input_files("#files", images)
    page.locator(".gallery li").nth(len(images) - 1).wait_for()
    scores = page.evaluate("state.cards.map((card) => card.image.score)")
    for k in (60, 120, 150, 240):
        page.evaluate("k => { $('threshold').value = k; $('threshold').dispatchEvent(new Event('input')); }", k)
        verdicts = page.locator(".gallery .card-footer span:first-child").all_text_contents()
        assert verdicts == ["nok" if score > LEVEL_THRESHOLDS[k] else "ok" for score in scores]
        assert page.text_content("#verdict") == verdicts[0]


def test_what_was_inspected_before_can_be_looked_at_again(open_page, client, images):
    page = open_page(client)
    for path in (images[0], images[-1]):
        drop(page, path)
        said(page, path.name)
        page.evaluate("say('')")
    later = page.text_content("#told")
    page.locator(".gallery button").nth(1).click()
    assert page.text_content("#told") != later
    page.click("#clear")
    assert page.locator(".gallery li").count() == 0 and not page.is_visible("#result")


def test_the_history_can_be_taken_away_as_csv(open_page, client, images, tmp_path):
    page = open_page(client)
    odd = tmp_path / 'a, "b".png'
    shutil.copy(images[0], odd)
    page.set_input_files("#files", [images[1], odd])
    page.locator(".gallery li").nth(1).wait_for()
    with page.expect_download() as download:
        page.click("#csv")
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert {row["image"] for row in rows} == {images[1].name, odd.name}
    assert {row["verdict"] for row in rows} <= {"ok", "nok"} and all(float(row["score"]) > 0 for row in rows)


def test_tiff_is_shown_although_browsers_do_not(open_page, client, images, tmp_path):
    with Image.open(images[0]) as image:
        image.save(tmp_path / "a.tiff")
    page = open_page(client)
    drop(page, tmp_path / "a.tiff")
    said(page, "a.tiff")
    assert page.locator("#four .original").evaluate_all(WIDTHS) == [64] * 4


def test_what_is_no_image_is_said_in_a_line(open_page, client, tmp_path):
    (tmp_path / "notes.png").write_text("no pixels")
    page = open_page(client)
    drop(page, tmp_path / "notes.png")
    said(page, "notes.png: not an image, or damaged")
    assert not page.is_visible("#result")


def test_by_keyboard_alone(open_page, client, images):
    page = open_page(client)
    page.on("filechooser", lambda chooser: chooser.set_files(images[0]))  # from the start: it takes effect in a while
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    page.wait_for_timeout(200)
    page.keyboard.press("Enter")
    said(page, images[0].name)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "threshold":
            break
    page.keyboard.press("End")
    assert page.text_content("#threshold-value") == "threshold 8.000"


def test_an_image_of_the_watched_folder_appears(open_page, serve, loaded, images, tmp_path):
    with (
        Inspector({"twill": loaded}) as inspector,
        FolderWatcher(tmp_path, inspector, interval=0.05) as watch,
        serve(inspector, watch=watch) as client,
    ):
        page = open_page(client)
        shutil.copy(images[2], tmp_path / "came.png")
        said(page, "came.png")
        page.wait_for_timeout(1500)  # it looks again every second
        assert page.locator(".gallery li").count() == 1
        page.close()


def test_the_token_is_asked_for(open_page, serve, inspector, images):
    with serve(inspector, token="secret") as client:
        page = open_page(client)
        page.fill("#token", "secret")
        page.click("#asks button")
        page.locator("#about").filter(has_text="twill").wait_for()
        drop(page, images[0])
        said(page, images[0].name)
        assert not page.is_visible("#asks")
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1300])
def test_anyone_can_read_it(open_page, client, images, scheme, width):
    page = open_page(client, color_scheme=scheme, bypass_csp=True)
    page.set_viewport_size({"width": width, "height": 800})
    page.set_input_files("#files", images[:3])
    page.locator(".gallery li").nth(2).wait_for()
    found = Axe().run(page)
    assert [violation["id"] for violation in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
