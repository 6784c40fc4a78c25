"""Candidates, adoption and the way back, by the API of a running server and on its page."""

import shutil
import time

import pytest
from axe_playwright_python.sync_playwright import Axe

from ssim_ae import Detector
from ssim_ae.cli import main
from ssim_ae.line import served_runs
from ssim_ae.line.history import history_of
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.served_runs import ServedRuns
from ssim_ae.line.server_recorder import ServerRecorder
from ssim_ae.server.inspector import Inspector

from ..server.conftest import running_server
from .conftest import KEEP_ALL

NAME = "cloth-1"
PATH = f"/v1/versions/{NAME}"


@pytest.fixture
def served(run, reviewed_place):
    """A client of a server with a run, and a log with reviews."""
    with (
        InspectionLog.open(reviewed_place, station="line-1", rule=KEEP_ALL) as log,
        Inspector({NAME: Detector.load(run)}, recorder=ServerRecorder(log, {NAME: 1})) as inspector,
        ServedRuns(log, inspector.recorder, {NAME: run, "other": run / "none.onnx"}) as runs,
        running_server(inspector, extensions=[history_of(log, runs)]) as client,
    ):
        yield client


def make_candidate(client, *, learn=False):
    answer = client.post(f"{PATH}/candidate", json={"learn": learn})
    assert answer.status_code == 202
    steps = set()
    for _ in range(4000):
        state = client.get(PATH).json()
        if not state["work"]:
            return state, steps
        steps.add(state["work"]["step"])
        time.sleep(0.005)
    raise AssertionError(f"still {state['work']}")


@pytest.mark.parametrize("learn", [False, True], ids=["threshold", "learn"])
def test_from_reviews_to_a_version_and_back_while_the_server_inspects(served, run, images_of_cloth, learn):
    before = served.get("/v1/versions").json()[0]
    assert (before["version"], before["versions"], before["confirmed_good"]) == (1, 1, 2)
    assert before["confirmed_defective"] >= 2 and before["can_learn"] and not before["candidate"]
    state, steps = make_candidate(served, learn=learn)
    assert not learn or steps & {"fitting", "measuring images by fits without them", "estimating thresholds"}
    candidate = state["candidate"]
    good = candidate["groups"][0]
    assert (good["title"], good["rejected_before"]) == ("confirmed good", 2)
    changed = [image for image in candidate["changed"] if image["group"] == "good"]
    assert changed and all(image["before"] > 1 >= image["after"] for image in changed)
    picture = served.get(f"{PATH}/candidate/pictures/0")
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    assert served.get(f"{PATH}/candidate/pictures/23").status_code == 404
    adopted = served.post(f"{PATH}/adopt", json={"candidate": candidate["fingerprint"]}).json()
    assert (adopted["version"], adopted["versions"], adopted["candidate"]) == (2, 2, None)
    detector = Detector.load(run)
    assert adopted["fingerprint"] == detector.fingerprint != before["fingerprint"]
    data = images_of_cloth[0].read_bytes()
    answer = served.post("/v1/inspect", content=data, headers={"Content-Type": "image/png"}).json()
    assert answer["score"] == detector.inspect(images_of_cloth[0]).score
    entry = served.get("/v1/log").json()["entries"][0]
    assert (entry["version"], entry["fingerprint"]) == (2, detector.fingerprint)
    back = served.post(f"{PATH}/rollback", json={"fingerprint": detector.fingerprint}).json()
    assert (back["version"], back["versions"], back["fingerprint"]) == (1, 2, before["fingerprint"])
    served.post("/v1/inspect", content=data, headers={"Content-Type": "image/png"})
    assert served.get("/v1/log").json()["entries"][0]["version"] == 1
    assert [(change["action"], change["version"]) for change in back["changes"]] == [("rolled back", 1), ("adopted", 2)]


@pytest.fixture
def images_of_cloth(cloth_folder):
    return sorted((cloth_folder / "test").rglob("*.png"))


def test_only_the_candidate_that_was_looked_at_is_adopted(served, run):
    state, _ = make_candidate(served)
    answer = served.post(f"{PATH}/adopt", json={"candidate": "0" * 64})
    message = f"{NAME}: has another candidate by now, or none; load the page again"
    assert (answer.status_code, answer.json()["detail"]) == (409, message)
    main(["threshold", str(run), "--distance_threshold", "99", "--force"])
    answer = served.post(f"{PATH}/adopt", json={"candidate": state["candidate"]["fingerprint"]})
    assert answer.status_code == 400 and "has another detector since its candidate was made" in answer.json()["detail"]
    assert served.post(f"{PATH}/rollback", json={"fingerprint": "0" * 64}).status_code == 409
    assert served.post(f"{PATH}/discard").json()["candidate"] is None
    assert served.post(f"{PATH}/adopt", json={"candidate": "0" * 64}).status_code == 409


def test_why_no_candidate_could_be_made_is_said(served):
    for entry in served.get("/v1/log", params={"review": "good"}).json()["entries"]:
        served.post("/v1/reviews", json={"inspections": [entry["id"]], "verdict": "withdrawn"})
    state, _ = make_candidate(served)
    assert "no kept image was reviewed as good" in state["problem"] and state["candidate"] is None


def test_a_fault_of_the_program_does_not_leave_the_page_waiting(served, monkeypatch):
    def fail(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr(served_runs, "propose", fail)
    state, _ = make_candidate(served)
    assert state["problem"] == f"{NAME}: ZeroDivisionError()"


def test_one_candidate_is_made_at_a_time_and_stopped_with_the_server(run, reviewed_place, monkeypatch):
    from ssim_ae.console import progress

    def endless(*_arguments, **_options):
        with progress("waiting", 10**9) as bar:
            while True:
                bar.advance()
                time.sleep(0.01)

    monkeypatch.setattr(served_runs, "propose", endless)
    with InspectionLog.open(reviewed_place) as log:
        with ServedRuns(log, ServerRecorder(log, {}), {NAME: run}) as runs:
            runs.make_candidate(NAME, learn=False)
            for action in (
                lambda: runs.make_candidate(NAME, learn=True),
                lambda: runs.discard(NAME),
                lambda: runs.adopt(NAME, "", "", None),
                lambda: runs.roll_back(NAME, "", "", None),
            ):
                with pytest.raises(ValueError, match=r"^cloth-1: a candidate is being made; wait for it$"):
                    action()
        assert runs.state(NAME).work is None


def test_what_is_no_run_has_no_versions(served):
    assert [state["detector"] for state in served.get("/v1/versions").json()] == [NAME]
    for method, path in (("GET", ""), ("POST", "/adopt"), ("POST", "/discard"), ("GET", "/candidate/pictures/0")):
        answer = served.request(
            method, f"/v1/versions/none{path}", json={"candidate": ""} if method == "POST" else None
        )
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            f"none: no run of this server; choose one of {NAME}",
        )


def test_reviews_of_an_image_say_who_and_where(served):
    number = served.get("/v1/log").json()["entries"][0]["id"]
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    served.post("/v1/reviews", json={"inspections": [number], "verdict": "defective", "box": box, "reviewer": "Ana"})
    latest = served.get(f"/v1/log/{number}/reviews").json()[0]
    assert (latest["verdict"], latest["reviewer"], latest["box"]) == ("defective", "Ana", box)
    assert served.get("/v1/log/999999/reviews").json() == []


def test_an_interrupted_comparison_is_no_candidate(served, run, monkeypatch):
    make_candidate(served)
    (run / "candidate" / "comparison.json").unlink()
    assert served.get(PATH).json()["candidate"] is None
    shutil.rmtree(run / "candidate")


# The page


def test_a_version_is_learned_adopted_and_rolled_back_on_the_page(open_page, served):
    page = open_page(served, bypass_csp=True)
    page.locator("#versions summary").click()
    page.get_by_text("Version 1 of 1. 2 images confirmed good").wait_for()
    page.get_by_role("button", name="Raise thresholds").click()
    page.get_by_role("button", name="Adopt").wait_for()
    assert "would change" in page.text_content("#runs")
    page.locator("#runs .changed img").first.wait_for()
    page.set_viewport_size({"width": 390, "height": 800})
    assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Adopt").click()
    page.get_by_text("Version 2 of 2").wait_for()
    page.reload()
    page.locator("#versions summary").click()
    page.get_by_role("button", name="Back to the version before").click()
    page.get_by_text("Version 1 of 2").wait_for()
    assert served.get("/v1/versions").json()[0]["version"] == 1
