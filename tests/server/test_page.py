"""Tests of the inspection page in a real browser with a real server."""

import csv
import json
import shutil
from base64 import b64encode

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from ssim_ae import Detector
from ssim_ae.cli import main
from ssim_ae.maps.levels import LEVEL_THRESHOLDS
from ssim_ae.pages.detectability import Detectability
from ssim_ae.server import inspector as inspector_module
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector

from .conftest import page_opener

ORIENTATION_TAG = 0x0112  # of EXIF
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
    with page_opener(browser, "") as open_:
        yield open_


def drop(page, path, how=DROP) -> None:
    page.evaluate(how, [path.name, b64encode(path.read_bytes()).decode()])


def wait_for_status(page, text) -> None:
    page.get_by_role("status").filter(has_text=text).wait_for()


@pytest.mark.parametrize("how", [DROP, PASTE], ids=["dropped", "pasted"])
def test_the_page_shows_the_result_of_the_api(open_page, client, images, how):
    page = open_page(client)
    response = client.post("/v1/inspect", content=images[0].read_bytes(), headers={"Content-Type": "image/png"}).json()
    drop(page, images[0], how)
    wait_for_status(page, images[0].name)
    assert page.text_content("#result-verdict") == response["verdict"]
    assert f"score {response['score']:.4f}, threshold 1.000" in page.text_content("#result-details")
    assert page.locator("#result-viewer img").evaluate_all(WIDTHS) == [64] * 3


def test_the_slider_changes_verdicts(open_page, client, images):
    page = open_page(client)
    page.set_input_files("#files", images)
    page.locator(".gallery li").nth(len(images) - 1).wait_for()
    scores = page.evaluate("state.cards.map((card) => card.image.score)")
    for k in (60, 120, 150, 240):
        page.evaluate("k => { $('threshold').value = k; $('threshold').dispatchEvent(new Event('input')); }", k)
        verdicts = page.locator(".gallery .card-footer span:first-child").all_text_contents()
        assert verdicts == ["nok" if score > LEVEL_THRESHOLDS[k] else "ok" for score in scores]
        assert page.text_content("#result-verdict") == verdicts[0]


def test_an_earlier_result_can_be_selected(open_page, client, images):
    page = open_page(client)
    for path in (images[0], images[-1]):
        drop(page, path)
        wait_for_status(page, path.name)
        page.evaluate("setStatus('')")
    later = page.text_content("#result-details")
    page.locator(".gallery button").nth(1).click()
    assert page.text_content("#result-details") != later
    page.click("#clear-history")
    assert page.locator(".gallery li").count() == 0 and not page.is_visible("#result")


def test_the_history_can_be_downloaded_as_csv(open_page, client, images, tmp_path):
    page = open_page(client)
    odd = tmp_path / 'a, "b".png'
    shutil.copy(images[0], odd)
    page.set_input_files("#files", [images[1], odd])
    page.locator(".gallery li").nth(1).wait_for()
    with page.expect_download() as download:
        page.click("#download-csv")
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert {row["image"] for row in rows} == {images[1].name, odd.name}
    assert {row["verdict"] for row in rows} <= {"ok", "nok"} and {row["threshold"] for row in rows} == {"1"}
    assert all(float(row["score"]) > 0 for row in rows)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return exif


BY_BROWSER, BY_SERVER = True, False
ORIGINALS = {
    "plain.png": (lambda image: (image, {}), BY_BROWSER),
    "upright.jpg": (lambda image: (image.rotate(90, expand=True), {"exif": rotated(6), "quality": 100}), BY_BROWSER),
    "plain.bmp": (lambda image: (image, {}), BY_BROWSER),
    "plain.webp": (lambda image: (image, {"lossless": True}), BY_BROWSER),
    "palette.png": (lambda image: (image.quantize(64), {}), BY_BROWSER),
    "plain.tiff": (lambda image: (image, {}), BY_SERVER),
    "turned.webp": (lambda image: (image.rotate(180), {"exif": rotated(3), "lossless": True}), BY_SERVER),
    "turned.png": (lambda image: (image.rotate(180), {"exif": rotated(3)}), BY_SERVER),
    "clear.png": (lambda image: (Image.merge("RGBA", (*image.split(), image.split()[0])), {}), BY_SERVER),
    "clear.webp": (
        lambda image: (Image.merge("RGBA", (*image.split(), image.split()[0])), {"lossless": True, "exact": True}),
        BY_SERVER,
    ),
    "deep.png": (
        lambda image: (Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), {}),
        BY_SERVER,
    ),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_original_is_shown_as_it_was_inspected(open_page, client, tmp_path, name):
    """The viewer shows the file at its own size, from the browser only where it draws what the detector reads."""
    variant, by_browser = ORIGINALS[name]
    rows, columns = np.indices((70, 110))
    plain = Image.fromarray(np.stack([rows * 3, columns * 2, rows + columns], axis=2).astype(np.uint8))
    image, options = variant(plain)
    page = open_page(client)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    drop(page, saved(tmp_path / name, image, **options))
    wait_for_status(page, name)
    page.locator(".stage .original img[src^=blob]").wait_for()
    assert page.locator(".stage .original img").evaluate_all(WIDTHS) == [110]
    assert any("pictures=image" in url for url in requests) != by_browser
    assert page.text_content(".viewer > p") == "110 × 70 px"
    drawn = page.evaluate(
        """async () => {
            const img = document.querySelector(".stage .original img");
            const canvas = make("canvas", { width: img.naturalWidth, height: img.naturalHeight });
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(img, 0, 0);
            return [[5, 5], [100, 8], [50, 60]].map(([x, y]) => [...context.getImageData(x, y, 1, 1).data]);
        }"""
    )
    expected = plain.convert("L").convert("RGB") if name == "deep.png" else plain
    for pixel, (x, y) in zip(drawn, [(5, 5), (100, 8), (50, 60)], strict=True):
        tolerance = 12 if name in ("palette.png", "upright.jpg") else 1
        assert np.abs(np.array(pixel) - (*expected.getpixel((x, y)), 255)).max() <= tolerance


def test_the_threshold_stays_in_sight(open_page, client, images):
    page = open_page(client)
    page.set_viewport_size({"width": 600, "height": 400})
    page.set_input_files("#files", images[:2])
    page.locator(".gallery li").nth(1).wait_for()
    page.locator(".gallery button").last.scroll_into_view_if_needed()
    page.wait_for_selector("#threshold-bar")
    page.focus("#bar-threshold")
    page.keyboard.press("End")
    assert page.text_content("#bar-effect") == "0 of 2 images nok"
    assert page.text_content("#threshold-value") == "threshold 8.000"


def test_the_wheel_scrolls_the_page_and_zooms_with_ctrl(open_page, client, images):
    page = open_page(client)
    page.set_viewport_size({"width": 1200, "height": 600})
    drop(page, images[0])
    wait_for_status(page, images[0].name)
    page.locator(".stage").scroll_into_view_if_needed()
    stage = page.locator(".stage").bounding_box()
    page.mouse.move(stage["x"] + 50, min(590, stage["y"] + 50))
    zoom, top = page.text_content(".zoom-text"), page.evaluate("scrollY")
    page.mouse.wheel(0, 100)
    page.wait_for_timeout(200)
    assert page.text_content(".zoom-text") == zoom and page.evaluate("scrollY") > top
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    assert page.text_content(".zoom-text") != zoom


def test_what_the_detector_can_find(open_page, client, monkeypatch):
    page = open_page(client)
    page.locator("#detector-names").filter(has_text="twill").wait_for()
    assert not page.is_visible("#detectability")
    shares = [[0.1, 0.9]]
    found = Detectability(
        **{"sentence": "Finds it.", "working_size": (64, 64), "sizes": [4, 9], "contrasts": ["low"], "images": 3},
        **{"found": shares, "low": shares, "high": shares},
    )
    info = inspector_module._info
    monkeypatch.setattr(
        inspector_module, "_info", lambda *which: info(*which).model_copy(update={"detectability": found})
    )
    page.reload()
    page.click("#detectability > summary")
    assert page.text_content("#detectability .sentence") == "Finds it."
    markers = page.locator("#detectability path.marker")
    markers.nth(2).wait_for()  # drawn when the chart is unfolded
    assert markers.count() == 3


def test_a_detector_without_reconstruction(open_page, serve, features_run, loaded, cloth_folder):
    detectors = {"cloth": Detector.load(features_run.folder), "twill": loaded}
    with Inspector(detectors) as inspector, serve(inspector) as client:
        page = open_page(client)
        path = cloth_folder / "test" / "hole" / "000.png"
        drop(page, path)
        wait_for_status(page, path.name)
        shown = page.locator("#result-viewer img[src]")
        assert shown.evaluate_all(WIDTHS) == [128] * 2
        reconstruction = page.locator("label:visible input[value=reconstruction]")
        assert page.text_content("#result-verdict") == "nok" and reconstruction.count() == 0
        page.select_option("#detector", "twill")
        drop(page, path)
        page.locator("#gallery li").nth(1).wait_for()
        assert reconstruction.count() == 2, "of the result, and of one of the cards"
        for choice in reconstruction.all():
            choice.check(force=True)
        page.locator("#gallery button").nth(1).click()
        assert reconstruction.count() == 1 and page.is_checked("input[name=viewer-view][value=mask]")


def test_a_file_that_is_no_image_shows_an_error(open_page, client, tmp_path):
    (tmp_path / "notes.png").write_text("no pixels")
    page = open_page(client)
    drop(page, tmp_path / "notes.png")
    wait_for_status(page, "notes.png: not an image, or corrupt")
    assert not page.is_visible("#result")


def test_the_page_works_with_the_keyboard(open_page, client, images):
    page = open_page(client)
    page.on(
        "filechooser", lambda chooser: chooser.set_files(images[0])
    )  # registered early: it takes effect with a delay
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose-files"
    page.wait_for_timeout(200)
    page.keyboard.press("Enter")
    wait_for_status(page, images[0].name)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "threshold":
            break
    page.keyboard.press("End")
    assert page.text_content("#threshold-value") == "threshold 8.000"


def test_an_image_of_the_watched_folder_appears(open_page, serve, loaded, images, tmp_path):
    with (
        Inspector({"twill": loaded}) as inspector,
        FolderWatcher(tmp_path, inspector, interval=0.05) as watcher,
        serve(inspector, watched=watcher.results) as client,
    ):
        page = open_page(client)
        shutil.copy(images[2], tmp_path / "new.png")
        wait_for_status(page, "new.png")
        page.wait_for_timeout(1500)  # the page polls every second
        assert page.locator(".gallery li").count() == 1
        page.locator(".stage .original img[src^=blob]").wait_for()
        page.close()


def test_the_page_asks_for_the_token(open_page, serve, inspector, images):
    with serve(inspector, token="secret") as client:
        page = open_page(client)
        page.fill("#token", "secret")
        page.click("#token-form button")
        page.locator("#detector-names").filter(has_text="twill").wait_for()
        drop(page, images[0])
        wait_for_status(page, images[0].name)
        assert not page.is_visible("#token-form")
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1300])
def test_the_page_is_accessible(open_page, client, images, scheme, width):
    page = open_page(client, color_scheme=scheme, bypass_csp=True)
    page.set_viewport_size({"width": width, "height": 800})
    page.set_input_files("#files", images[:3])
    page.locator(".gallery li").nth(2).wait_for()
    found = Axe().run(page)
    assert [violation["id"] for violation in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_regions_are_drawn_downloaded_and_respected(open_page, serve, features_run, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    shutil.copy(features_run.dataset.good[0], good)
    pixels = np.asarray(Image.open(good).convert("RGB")).copy()
    pixels[50:70, 20:40] = 255 - pixels[50:70, 20:40]
    Image.fromarray(pixels).save(bad)
    detector = tmp_path / "detector.safetensors"
    shutil.copy(features_run.detector_path, detector)
    with Inspector({"cloth": Detector.load(detector)}) as inspector, serve(inspector) as plain:
        page = open_page(plain)
        drop(page, bad)
        wait_for_status(page, "bad.png: nok")
        assert not page.locator(".viewer label", has_text="regions").is_visible()
        page.click("#regions summary")
        page.click("#regions-start")
        stage = page.locator("#regions-stage")
        stage.wait_for()
        box = stage.bounding_box()
        for x, y in ((0.05, 0.25), (0.45, 0.25), (0.45, 0.7)):
            side = min(box["width"], box["height"])
            left, top = (box["width"] - side) / 2, (box["height"] - side) / 2
            stage.click(position={"x": left + x * side, "y": top + y * side})
        page.click("#regions-close")
        page.fill("#regions-list input[type=text]", "clip")
        stage.focus()
        page.keyboard.press("Enter")  # a second region by keyboard: a triangle in the middle
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Enter")
        page.click("#regions-close")
        assert "at least 3 points" in page.text_content("#regions-status")
        stage.focus()
        page.keyboard.press("Backspace")
        for key in ("Enter", "Shift+ArrowDown", "Enter"):
            page.keyboard.press(key)
        page.click("#regions-close")
        page.locator("#regions-list input[type=number]").nth(1).fill("2")
        page.locator("#regions-list input[type=number]").nth(1).blur()
        assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []
        with page.expect_download() as download:
            page.click("#regions-download")
        download.value.save_as(tmp_path / "regions.json")
        page.close()
    regions = json.loads((tmp_path / "regions.json").read_text())["regions"]
    assert [(region["name"], region["sensitivity"], len(region["polygon"])) for region in regions] == [
        ("clip", 0, 3),
        ("region 2", 2, 3),
    ]
    regions[0]["polygon"] = [[0, 0], [64, 0], [64, 128], [0, 128]]
    (tmp_path / "half.json").write_text(json.dumps({"width": 128, "height": 128, "regions": regions[:1]}))
    for name in ("regions", "half"):
        arguments = ["threshold", detector, features_run.dataset.root, "--output", tmp_path / f"{name}.safetensors"]
        assert main([*map(str, arguments), "--regions", str(tmp_path / f"{name}.json"), "--force"]) == 0
    with Inspector({"cloth": Detector.load(tmp_path / "half.safetensors")}) as inspector, serve(inspector) as ignoring:
        page = open_page(ignoring)
        drop(page, bad)
        wait_for_status(page, "bad.png: ok")
        layer = page.locator(".stage .layer.regions")
        assert not layer.is_visible()
        page.locator(".viewer label", has_text="regions").click()
        assert layer.evaluate("layer => getComputedStyle(layer).display") == "block"
        assert page.evaluate(WIDTHS, [page.query_selector(".layer.regions img")]) == [128]
        page.close()
