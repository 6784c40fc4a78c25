"""The page Live in a real browser with a real server and a real stream."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from ..server.conftest import page_opener
from .conftest import wait_until


@pytest.fixture
def open_page(browser):
    with page_opener(browser, "/live") as open_:
        yield open_


@pytest.fixture
def client(serve_sources, mjpeg_server):
    with serve_sources(
        f"press1={mjpeg_server.url(credentials='admin:s3cr3t@')}", triggers=["press1=request"]
    ) as client:
        yield client


def picture_requests(page):
    requests = []
    page.on("request", lambda request: "/picture?" in request.url and requests.append(request.url))
    return requests


def test_the_page_shows_live_pictures_and_the_latest_result(open_page, client, mjpeg_server):
    page = open_page(client, path="/")
    page.get_by_role("link", name="Live").click()
    page.locator(".picture").wait_for()
    wait_until(lambda: page.evaluate("document.querySelector('.picture').naturalWidth === 64"))
    assert not page.locator(".title-bar strong").is_visible() and not page.locator(".outlines").is_visible()
    page.get_by_role("button", name="Inspect now").click()
    page.locator(".badge").wait_for()
    result = client.get("/v1/sources/press1").json()["result"]
    assert page.text_content(".badge") == result["verdict"]
    assert f"score {result['score']:.4f}, threshold 1.000" in page.text_content("#sources")
    wait_until(lambda: page.evaluate("document.querySelector('.outlines').naturalWidth === 64"))
    boxes = [page.locator(name).bounding_box() for name in (".picture", ".outlines")]
    assert boxes[0] == pytest.approx(boxes[1]), "the detector inspects the whole picture"
    assert "s3cr3t" not in page.content()


def test_a_result_of_the_trigger_appears_by_itself(open_page, serve_sources, mjpeg_server):
    with serve_sources(f"press1={mjpeg_server.url()}", triggers=["press1=every:200ms"]) as client:
        page = open_page(client)
        page.locator(".badge").wait_for()
        first = page.text_content("#sources")
        wait_until(lambda: page.text_content("#sources") != first)


def test_pictures_come_at_most_at_the_rate_of_the_camera(open_page, client):
    page = open_page(client)
    page.locator(".picture").wait_for()
    before = client.get("/v1/sources/press1").json()["pictures"]
    requests = picture_requests(page)
    wait_until(lambda: page.wait_for_timeout(50) or len(requests) > 5)
    assert len(requests) <= client.get("/v1/sources/press1").json()["pictures"] - before + 2
    assert len(set(requests)) == len(requests), "each request is for a newer picture"


def test_nothing_is_sent_while_nobody_looks(open_page, client):
    page = open_page(client)
    page.locator(".picture").wait_for()
    requests = picture_requests(page)
    page.evaluate("document.querySelector('#sources').style.marginTop = '3000px'")  # scrolled out of sight
    page.wait_for_timeout(300)
    seen = len(requests)
    page.wait_for_timeout(400)
    assert len(requests) == seen
    page.evaluate("document.querySelector('#sources').style.marginTop = 0")
    wait_until(lambda: page.wait_for_timeout(20) or len(requests) > seen)


def test_a_source_that_goes_away_and_comes_back(open_page, client, mjpeg_server):
    page = open_page(client)
    page.locator(".picture").wait_for()
    mjpeg_server.stop()
    page.get_by_text("away; tried again until it answers").wait_for()
    assert page.get_by_role("button", name="Inspect now").is_disabled()
    mjpeg_server.start()
    page.get_by_text("connected; trigger request").wait_for()
    assert page.get_by_role("button", name="Inspect now").is_enabled()


def test_the_empty_picture_can_be_set_for_the_trigger_still_alone(open_page, serve_sources, video, mjpeg_server):
    sources = (f"press1={mjpeg_server.url()}", f"press2={mjpeg_server.url()}")
    with serve_sources(*sources, triggers=["press1=still", "press2=stop"]) as client:
        page = open_page(client)
        page.locator(".picture").nth(1).wait_for()
        assert page.get_by_role("button", name="No part there").count() == 1
        with page.expect_response("**/v1/sources/press1/empty") as response:
            page.get_by_role("button", name="No part there").click()
        assert response.value.status == 204


def test_the_page_asks_for_the_token(open_page, serve_sources, mjpeg_server):
    with serve_sources(f"press1={mjpeg_server.url()}", token="secret") as client:
        page = open_page(client)
        page.fill("#token", "secret")
        page.get_by_role("button", name="Continue").click()
        page.locator(".picture").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_accessible_and_fits(open_page, client, scheme, width):
    page = open_page(client, width=width, color_scheme=scheme)
    page.locator(".picture").wait_for()
    page.get_by_role("button", name="Inspect now").click()
    page.locator(".badge").wait_for()
    assert Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
