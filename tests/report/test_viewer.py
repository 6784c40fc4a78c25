"""The viewer of the report: the camera's pixels, the zoom, and outlines that fit the image at any zoom."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.report.conftest import DEFAULT_LEVEL, set_level

from ssim_ae import Detector, find_dataset
from ssim_ae.evaluation import image_files
from ssim_ae.images.files import read_image
from ssim_ae.images.size import Size
from ssim_ae.report.report import write_report

HEIGHT, WIDTH = 150, 240  # px: neither square nor the working size
STAGE = ".stage"
ORIGINAL = ".stage .original img"


@pytest.fixture(scope="module")
def wide(tiny_run, tmp_path_factory):
    """Return a detector that inspects the middle of images, its evaluation of wide images, and its report."""
    root = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(3)
    for number, folder in enumerate(("train/good", "test/good", "test/hole")):
        (root / folder).mkdir(parents=True)
        pixels = (np.indices((HEIGHT, WIDTH)).sum(axis=0)[:, :, None] // 2 + rng.integers(0, 20, 3)).astype(np.uint8)
        pixels += rng.integers(0, 20, pixels.shape, np.uint8)
        if number == 2:
            pixels[90:110, 60:100] = 255
        Image.fromarray(pixels).save(root / folder / f"{number}.png")
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    detector.view = detector.view._replace(working_size=Size(80, 104))  # the view is the middle 64 x 64 of it
    detector.frame = detector.frame._replace(view=detector.view)
    evaluation = write_report(tiny_run.detector_path, detector, find_dataset(root), root / "report")
    return detector, evaluation, root / "report"


def open_defective(page) -> None:
    page.locator(".gallery button[aria-label^=hole]").click()
    page.locator(f"{ORIGINAL}[src$='image.jpg']").wait_for()
    page.evaluate("Promise.all([...document.querySelectorAll('.stage img')].map((image) => image.decode()))")


def box(page) -> dict[str, float]:
    """Return where the image is on the screen, and how large a pixel of it is."""
    found = page.locator(ORIGINAL).bounding_box()
    return found | {"scale": found["width"] / WIDTH}


@pytest.mark.parametrize("steps", [0, 2, 4])
def test_outlines_fit_the_image_at_any_zoom(open_report, wide, steps):
    detector, evaluation, folder = wide
    page = open_report(folder)
    result = next(result for result in evaluation.results if result.defective)
    inspection = detector.inspect(result.image.path)
    level = int(inspection.levels.max()) - 20
    set_level(page, level)
    open_defective(page)
    rows, columns = np.nonzero(detector.view.to_image_size(inspection.levels > level, HEIGHT, WIDTH))
    at, stage = box(page), page.locator(STAGE).bounding_box()
    page.mouse.move(at["x"] + columns.mean() * at["scale"], at["y"] + rows.mean() * at["scale"])
    for _ in range(steps):
        page.mouse.wheel(0, -200)
    page.wait_for_timeout(200)
    at = box(page)
    assert at["height"] / HEIGHT == pytest.approx(at["scale"], rel=1e-3)
    page.evaluate("document.activeElement.blur()")
    shot = np.asarray(Image.open(BytesIO(page.screenshot(clip=stage))).convert("RGB")).astype(int)
    found = np.nonzero(np.abs(shot - (235, 41, 61)).max(axis=2) < 24)
    limits = {0: stage["height"], 1: stage["width"]}
    for axis, (expected, start) in enumerate(((rows, at["y"] - stage["y"]), (columns, at["x"] - stage["x"]))):
        first, last = start + expected.min() * at["scale"], start + (expected.max() + 1) * at["scale"]
        tolerance = 2 + at["scale"]  # a pixel of the view begins within a pixel of the image
        assert abs(found[axis].min() - max(0, first)) <= tolerance
        assert abs(found[axis].max() - min(limits[axis], last)) <= tolerance


def test_the_original_has_the_pixels_of_the_camera(open_report, wide):
    _, evaluation, folder = wide
    page = open_report(folder)
    open_defective(page)
    assert page.evaluate(f"[document.querySelector('{ORIGINAL}').naturalWidth]") == [WIDTH]
    assert page.text_content(".viewer > p") == f"{WIDTH} × {HEIGHT} px"
    for result in evaluation.results:
        copy = read_image(folder / "images" / f"{result.image.name}_image.jpg").astype(int)
        assert np.abs(copy - read_image(result.image.path)).mean() < 4
    page.check("input[name=viewer-view][value=reconstruction]", force=True)
    assert page.is_visible(".stage .reconstruction") and not page.is_visible(ORIGINAL)


def test_a_reduced_copy_says_so(open_report, wide, tiny_run, monkeypatch, tmp_path):
    monkeypatch.setattr(image_files, "MAX_COPIES_BYTES", 4000)
    monkeypatch.setattr(image_files, "MIN_COPY_SIDE", 32)
    detector, _, folder = wide
    write_report(tiny_run.detector_path, detector, find_dataset(folder.parent), tmp_path)
    copies = list(tmp_path.rglob("*_image.jpg"))
    assert len(copies) == 2 and all(path.stat().st_size <= 2000 for path in copies)
    page = open_report(tmp_path)
    open_defective(page)
    height, width = read_image(next(path for path in copies if path.parent.name == "hole")).shape[:2]
    assert width < WIDTH and width / height == pytest.approx(WIDTH / HEIGHT, rel=0.05)
    note = f"{WIDTH} × {HEIGHT} px, shown reduced to {width} × {height} px"
    page.locator(".viewer > p").filter(has_text=note).wait_for()
    assert box(page)["width"] / box(page)["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)


def test_a_missing_copy_is_replaced_by_the_view(browser, wide, tiny_run, tmp_path):
    detector, _, folder = wide
    write_report(tiny_run.detector_path, detector, find_dataset(folder.parent), tmp_path)
    for path in tmp_path.rglob("*_image.jpg"):
        path.unlink()
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    page.locator(".gallery button").first.click()
    note = f"{WIDTH} × {HEIGHT} px, shown at the working size of 104 × 80 px"
    page.locator(".viewer > p").filter(has_text=note).wait_for()
    page.wait_for_timeout(500)
    assert page.text_content(".viewer > p") == note
    page.close()


def test_zoom_by_keys_buttons_wheel_and_double_click(open_report, wide):
    page = open_report(wide[2])
    open_defective(page)
    fitted = box(page)
    stage = page.locator(STAGE).bounding_box()
    assert fitted["width"] == pytest.approx(stage["width"], abs=1) or fitted["height"] == pytest.approx(
        stage["height"], abs=1
    )
    page.keyboard.press("+")
    assert box(page)["scale"] == pytest.approx(1.5 * fitted["scale"], rel=0.01)
    before = box(page)["x"]
    page.keyboard.press("ArrowRight")
    assert box(page)["x"] < before and page.text_content("#dialog-name").startswith("hole")
    page.keyboard.press("0")
    assert box(page) == fitted
    page.click("[aria-label='zoom in']")
    page.click("[aria-label='zoom out']")
    assert box(page)["scale"] == pytest.approx(fitted["scale"], rel=0.01)
    x, y = fitted["x"] + 50, fitted["y"] + 40
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    zoomed = box(page)
    assert zoomed["scale"] > fitted["scale"]
    assert (x - zoomed["x"]) / zoomed["scale"] == pytest.approx(50 / fitted["scale"], abs=0.5)  # the point stays
    page.mouse.down()
    page.mouse.move(x - 30, y - 20)
    page.mouse.up()
    assert box(page)["x"] == pytest.approx(zoomed["x"] - 30, abs=1)
    page.mouse.dblclick(x, y)
    assert box(page) == fitted


def test_two_fingers_zoom(open_report, wide):
    page = open_report(wide[2], has_touch=True)
    open_defective(page)
    before = box(page)
    session = page.context.new_cdp_session(page)
    stage = page.locator(STAGE).bounding_box()
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    for kind, spread in (("touchStart", 40), ("touchMove", 80), ("touchMove", 120)):
        points = [{"x": x - spread, "y": y, "id": 0}, {"x": x + spread, "y": y, "id": 1}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)
    assert box(page)["scale"] == pytest.approx(3 * before["scale"], rel=0.05)


def test_the_threshold_is_in_sight_of_an_opened_image(open_report, wide):
    page = open_report(wide[2])
    open_defective(page)
    page.focus("#image-dialog #bar-threshold")
    page.keyboard.press("End")
    assert page.text_content("#dialog-verdict") == "ok, missed"
    name = page.text_content("#dialog-name")
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#dialog-name") == name  # the key moves the slider
    page.keyboard.press("Home")
    assert page.text_content("#dialog-verdict") == "nok"
    page.keyboard.press("Escape")
    assert page.input_value("#threshold") != str(DEFAULT_LEVEL)
    page.wait_for_selector("aside #threshold-bar", state="attached")  # moved when the dialog reports that it is closed
    assert page.locator("dialog #threshold-bar").count() == 0


def test_the_bytes_of_copies_are_bounded():
    assert image_files.copy_bytes(1) == 2 * 2**20
    assert image_files.copy_bytes(2000) * 2000 <= 500 * 2**20
    noise = np.random.default_rng(1).integers(0, 256, (1500, 2500, 3), np.uint8)
    assert len(image_files._copy(noise, 2**20)) <= 2**20


def test_pictures_of_narrow_images_are_visible(open_report, tiny_run, tmp_path):
    for folder in ("train/good", "test/good"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (1200, 20 + len(folder)), "gray").save(tmp_path / folder / "1.png")
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    write_report(tiny_run.detector_path, detector, find_dataset(tmp_path), Path(tmp_path / "report"))
    page = open_report(tmp_path / "report")
    shown = page.locator(".gallery .layered-image").bounding_box()
    assert shown["width"] == pytest.approx(3 * shown["height"], rel=0.05)
