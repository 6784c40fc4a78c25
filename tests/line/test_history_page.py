"""The page History in a real browser with a real server."""

import itertools
from io import BytesIO

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from ssim_ae.line.history import history_of
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.line.sinks.sink import Sink
from ssim_ae.server.inspector import Inspector

from ..server.conftest import running_server
from .conftest import BOTTLE, KEEP_ALL, record
from .sinks.conftest import wait_until

HOSTILE = '<img src=x onerror="alert(1)">.png'


def picture(level: int, size: tuple[int, int] = (90, 60)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, (level, 120, 200 - level)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(log, number=12):
    """Two days of inspections: every 40 minutes one, some nok, one that failed, the last with a hostile name."""
    for index in range(number):
        record(log, index, score=0.3 + 0.1 * index, data=picture(20 * index), minutes=40 * index)
    record(log, error="13.png: not an image, or corrupt", name="13.png", minutes=490)
    record(log, name=HOSTILE, score=2, data=picture(9), minutes=500, detector=BOTTLE._replace(name="grid"))
    record(log, name="yesterday.png", minutes=-24 * 60)


@pytest.fixture
def served(place):
    with InspectionLog.open(place, station="line-1", rule=KEEP_ALL) as log:
        fill(log)
        with Inspector({}) as inspector, running_server(inspector, extensions=[history_of(log)]) as client:
            yield client


def names(page):
    return page.locator("#entries .name > span").all_text_contents()


def wait_for(page, count):
    page.wait_for_function("count => document.querySelectorAll('#entries li').length === count", arg=count)


def test_the_latest_day_is_shown(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    assert page.input_value("#day") == "2026-03-14"
    assert page.text_content("#day-title") == "2026-03-14: 8 ok, 5 nok, 1 not inspected"
    assert names(page)[:2] == [HOSTILE, "13.png"]
    labels = page.locator("#hours button").evaluate_all("buttons => buttons.map((button) => button.ariaLabel)")
    assert len(labels) == 24 and labels[12] == "12:00, 2 ok, 0 nok, 0 not inspected"


def test_filters_survive_a_reload(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    page.select_option("#verdict", "nok")
    wait_for(page, 5)
    page.fill("#min_score", "1.25")
    page.press("#min_score", "Enter")
    wait_for(page, 3)
    page.reload()
    wait_for(page, 3)
    assert (page.input_value("#verdict"), page.input_value("#min_score")) == ("nok", "1.25")
    page.select_option("#detector", "grid")
    wait_for(page, 1)
    page.click("button[type=reset]")
    wait_for(page, 15)
    page.reload()
    wait_for(page, 15)
    assert names(page)[-1] == "yesterday.png" and not page.is_visible("#day-section")


def test_an_hour_is_chosen_by_its_bar(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    page.locator("#hours button").nth(13).click()
    wait_for(page, 1)
    page.reload()
    wait_for(page, 1)
    assert page.locator("#hours button[aria-pressed=true]").count() == 1 and names(page) == ["2.png"]
    page.locator("#hours button").nth(13).click()
    wait_for(page, 14)


def test_older_entries_follow(open_page, place):
    with InspectionLog.open(place, rule=KEEP_ALL) as log:
        for number in range(60):
            record(log, number)
        with Inspector({}) as inspector, running_server(inspector, extensions=[history_of(log)]) as client:
            page = open_page(client)
            wait_for(page, 50)
            page.click("#older")
            wait_for(page, 60)
            assert names(page) == [f"{number}.png" for number in range(59, -1, -1)] and not page.is_visible("#older")
            page.close()


def test_entries_are_opened_by_keyboard_and_mouse(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    page.keyboard.press("j")
    page.locator("#entry-image img").wait_for()
    assert page.text_content("#entry-name") == HOSTILE and page.text_content("#entry-verdict") == "nok"
    assert page.locator("#entry-image i").count() == 1
    page.keyboard.press("j")
    assert "13.png: not an image, or corrupt" in page.text_content("#entry-details")
    page.keyboard.press("k")
    assert page.text_content("#entry-name") == HOSTILE
    page.locator("#entries .row > button").nth(3).click()
    assert page.text_content("#entry-name") == "10.png"


def test_images_are_reviewed_by_keyboard_and_mouse(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    for key in "jgd":
        page.keyboard.press(key)
        page.wait_for_timeout(150)
    reviewed = {entry["name"]: entry["review"] for entry in served.get("/v1/log").json()["entries"] if entry["review"]}
    assert reviewed == {HOSTILE: "good", "13.png": "defective"}
    assert page.text_content("#entry-name") == "11.png", "a review goes on to the next"
    page.click("#undo")
    page.get_by_role("status").filter(has_text="13.png: not reviewed").wait_for()
    assert page.text_content("#entry-name") == "13.png"
    page.keyboard.press("d")
    page.get_by_role("status").filter(has_text="13.png: reviewed as defective").wait_for()
    page.select_option("#review", "defective")
    wait_for(page, 1)
    page.reload()
    wait_for(page, 1)
    assert page.text_content("#entries .reviewed") == "defective"
    page.keyboard.press("j")
    page.keyboard.press("g")
    page.get_by_role("status").filter(has_text="13.png: reviewed as good").wait_for()
    page.keyboard.press("u")
    page.get_by_role("status").filter(has_text="13.png: reviewed as defective").wait_for()
    assert len(served.get("/v1/log", params={"review": "none"}).json()["entries"]) == 13


def reviewed(client):
    return {entry["name"]: entry["review"] for entry in client.get("/v1/log").json()["entries"] if entry["review"]}


def test_several_images_are_reviewed_at_once(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    boxes = page.locator("#entries .choose input")
    boxes.nth(2).click()
    boxes.nth(4).click(modifiers=["Shift"])
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.text_content("#chosen-count") == "4 images chosen"
    page.click("#chosen-defective")
    page.get_by_role("status").filter(has_text="4 images: reviewed as defective").wait_for()
    assert reviewed(served) == dict.fromkeys([HOSTILE, "11.png", "10.png", "9.png"], "defective")
    assert not page.is_visible("#chosen")
    boxes.nth(2).click()
    page.locator("#choose-all").check()
    assert page.text_content("#chosen-count") == "14 images chosen"
    page.keyboard.press("g")
    page.get_by_role("status").filter(has_text="14 images: reviewed as good").wait_for()
    assert len(reviewed(served)) == 14
    page.keyboard.press("u")
    page.get_by_role("status").filter(has_text="14 images: as before").wait_for()
    assert reviewed(served) == dict.fromkeys([HOSTILE, "11.png", "10.png", "9.png"], "defective")


def test_a_defect_is_marked_with_a_box(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    page.keyboard.press("j")
    page.locator("#entry-image img").wait_for()
    page.keyboard.press("b")
    frame = page.locator("#entry-image").bounding_box()
    page.mouse.move(frame["x"] + 0.2 * frame["width"], frame["y"] + 0.25 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.6 * frame["width"], frame["y"] + 2 * frame["height"])
    page.mouse.up()
    page.keyboard.press("d")
    page.get_by_role("status").filter(has_text="reviewed as defective").wait_for()
    number = served.get("/v1/log").json()["entries"][0]["id"]
    box = served.get(f"/v1/log/{number}/reviews").json()[0]["box"]
    assert box == {"x": 18, "y": 15, "width": 36, "height": 45}, "it ends at the border of the image of 90 x 60 px"
    page.keyboard.press("k")
    page.locator("#entry-image .mark").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#entry-image .mark").count() == 0


def test_an_empty_log(open_page, place):
    with (
        InspectionLog.open(place) as log,
        Inspector({}) as inspector,
        running_server(inspector, extensions=[history_of(log)]) as client,
    ):
        page = open_page(client)
        page.get_by_role("status").filter(has_text="no inspections").wait_for()
        page.close()


def test_the_page_asks_for_the_token(open_page, place):
    with InspectionLog.open(place, rule=KEEP_ALL) as log:
        fill(log, 3)
        with (
            Inspector({}) as inspector,
            running_server(inspector, token="secret", extensions=[history_of(log)]) as client,
        ):
            page = open_page(client)
            page.fill("#token", "secret")
            page.click("#token-form button")
            wait_for(page, 5)
            page.locator("#entries .row > button img").first.wait_for()
            assert not page.is_visible("#token-form")
            page.close()


class Away(Sink):
    """A place that answers once `is_back`."""

    is_back = False

    def send(self, messages):
        if not self.is_back:
            raise OSError("Connection refused")


def test_a_line_says_how_the_sinks_are_doing(open_page, log):
    sink = Away("mqtt://broker:1883/line-1")
    with (
        Deliveries(log, [sink]) as deliveries,
        Inspector({}) as inspector,
        running_server(inspector, extensions=[history_of(log, deliveries=deliveries)]) as client,
    ):
        fill(log, 3)
        wait_until(lambda: deliveries.states[0].waiting == 6)
        page = open_page(client)
        page.locator("#sinks", has_text="mqtt://broker:1883/line-1: Connection refused, since ").wait_for()
        assert page.text_content("#sinks").endswith("; 6 messages will be sent once it works")
        assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []
        sink.is_back = True
        wait_until(lambda: deliveries.states[0].waiting == 0)
        page.reload()
        page.locator("#sinks", has_text="Messages: all sent").wait_for()
        page.close()


def test_without_sinks_nothing_is_said_of_them(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    assert not page.is_visible("#sinks") and served.get("/v1/sinks").status_code == 404


def test_the_pages_link_to_each_other(open_page, served):
    page = open_page(served, "/")
    page.click("text=History")
    wait_for(page, 14)
    assert page.locator("nav a").all_text_contents() == ["Inspect", "History"]
    assert page.locator("nav a[aria-current=page]").all_text_contents() == ["History"]
    page.click("text=Inspect")
    page.locator("#choose-files").wait_for()


def test_nothing_overlaps_on_a_phone(open_page, log):
    record(log, name="a name that is far too long for a phone.png", data=picture(9, (400, 40)), score=2)
    with Inspector({}) as inspector, running_server(inspector, extensions=[history_of(log)]) as client:
        page = open_page(client, width=390)
        page.locator("#entries img").wait_for()
        boxes = [page.locator(f".row > button {part}").bounding_box() for part in ("img", ".name", ".badge")]
        for left, right in itertools.pairwise(boxes):
            assert left["x"] + left["width"] + 4 <= right["x"]
        page.close()


def test_the_list_does_not_move_when_a_review_is_confirmed(open_page, served):
    page = open_page(served)
    wait_for(page, 14)
    top = page.locator("#entries").bounding_box()["y"]
    page.keyboard.press("j")
    page.keyboard.press("g")
    page.get_by_role("status").filter(has_text="reviewed as good").wait_for()
    assert page.locator("#entries").bounding_box()["y"] == top


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1300)])
def test_the_page_is_accessible(open_page, served, scheme, width):
    page = open_page(served, width=width, color_scheme=scheme, bypass_csp=True)
    wait_for(page, 14)
    page.keyboard.press("j")
    page.locator("#entry-image img").wait_for()
    page.keyboard.press("x")
    found = Axe().run(page)
    assert [violation["id"] for violation in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
