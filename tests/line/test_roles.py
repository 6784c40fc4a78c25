"""Tokens with roles: what each permits, route by route, and how a file of tokens is read."""

import re

import pytest

from ssim_ae import Detector
from ssim_ae.line.drift import DriftWatch
from ssim_ae.line.history import history_of
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.served_runs import ServedRuns
from ssim_ae.line.server_recorder import ServerRecorder
from ssim_ae.line.sinks.delivery import Deliveries
from ssim_ae.server.app import create_app
from ssim_ae.server.extension import Extension
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.roles import Access, Role, read_tokens
from ssim_ae.sources.routes import api_of

from ..server.conftest import running_server
from .conftest import record

TOKENS = [Access(f"the {role}", role, f"token-{role}") for role in Role]
PUBLIC = {
    "GET /",
    "GET /history",
    "GET /live",
    "GET /healthz",
    "GET /openapi.json",
}  # they show nothing of images or detectors
LEAST = {  # the least role of each other route
    "POST /v1/inspect": Role.INSPECT,
    "POST /v1/inspect/batch": Role.INSPECT,
    "GET /v1/detectors": Role.INSPECT,
    "GET /v1/watched": Role.INSPECT,
    "GET /v1/watched/{number}": Role.INSPECT,
    "GET /v1/access": Role.INSPECT,
    "GET /metrics": Role.INSPECT,
    "GET /v1/sources": Role.INSPECT,
    "GET /v1/sources/{name}": Role.INSPECT,
    "GET /v1/sources/{name}/picture": Role.INSPECT,
    "POST /v1/sources/{name}/trigger": Role.INSPECT,
    "POST /v1/sources/{name}/empty": Role.REVIEW,
    "GET /v1/sinks": Role.REVIEW,
    "GET /v1/log": Role.REVIEW,
    "GET /v1/log/hours": Role.REVIEW,
    "GET /v1/log/detectors": Role.REVIEW,
    "GET /v1/log/{number}/image": Role.REVIEW,
    "GET /v1/log/{number}/reviews": Role.REVIEW,
    "POST /v1/reviews": Role.REVIEW,
    "GET /v1/versions": Role.REVIEW,
    "GET /v1/versions/{detector}": Role.REVIEW,
    "POST /v1/versions/{detector}/candidate": Role.REVIEW,
    "POST /v1/versions/{detector}/discard": Role.REVIEW,
    "GET /v1/versions/{detector}/candidate/pictures/{number}": Role.REVIEW,
    "GET /v1/drift": Role.REVIEW,
    "GET /v1/drift/alarms": Role.REVIEW,
    "POST /v1/drift/alarms/{number}/end": Role.ADMINISTER,
    "POST /v1/versions/{detector}/adopt": Role.ADMINISTER,
    "POST /v1/versions/{detector}/rollback": Role.ADMINISTER,
}


def headers(token):
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.fixture
def extensions(log):
    runs = ServedRuns(log, ServerRecorder(log, {}), {})
    live = Extension("Live", "/live", lambda _: "", api_of({}))
    return [history_of(log, runs, [DriftWatch(log)], Deliveries(log, [])), live]


@pytest.fixture
def client(tiny_run, extensions):
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    with (
        Inspector({"twill": detector}) as inspector,
        running_server(inspector, tokens=TOKENS, extensions=extensions) as client,
    ):
        yield client


def routes_of(routes):
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from routes_of(included.routes)
        else:
            yield from (f"{method} {route.path}" for method in route.methods - {"HEAD"})


def test_every_route_is_public_or_needs_a_role_and_the_list_is_complete(client, extensions):
    app = create_app(Inspector({}), tokens=TOKENS, extensions=extensions)
    routes = {*routes_of(app.routes)}
    assert routes == PUBLIC | LEAST.keys(), "add the new route, with the least role that it needs"
    for route in sorted(routes):
        method, path = route.split()
        path = re.sub(r"\{\w+\}", "1", path)
        for token, role in (("", 0), ("wrong", 0), *((access.token, access.role) for access in TOKENS)):
            status = client.request(method, path, headers=headers(token)).status_code
            if route in PUBLIC or (role and role >= LEAST[route]):
                assert status not in (401, 403), f"{route} as {role!s}"
            else:
                assert status == (403 if role else 401), f"{route} as {role!s}"


def test_the_token_says_who_reviewed(log, client):
    record(log)
    review = {"inspections": [1], "verdict": "good", "reviewer": "somebody else"}
    assert client.post("/v1/reviews", json=review, headers=headers("token-review")).status_code == 204
    (said,) = client.get("/v1/log/1/reviews", headers=headers("token-administer")).json()
    assert (said["reviewer"], said["verdict"]) == ("the review", "good")
    assert client.get("/v1/access", headers=headers("token-inspect")).json() == {
        "name": "the inspect",
        "role": "inspect",
    }


def test_a_role_that_is_too_low_is_one_line(client):
    answer = client.get("/v1/log", headers=headers("token-inspect"))
    assert answer.json() == {"detail": "token: its role is inspect; send one with the role review"}


def test_without_tokens_everyone_administers(extensions):
    with Inspector({}) as inspector, running_server(inspector, extensions=extensions) as client:
        assert client.get("/v1/access").json() == {"name": "", "role": "administer"}
        assert "security" not in str(client.get("/openapi.json").json()["paths"])


@pytest.fixture
def tokens_file(tmp_path):
    def write(text):
        path = tmp_path / "tokens"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o600)
        return path

    return write


def test_a_file_of_tokens(tokens_file, capsys):
    path = tokens_file("# name role token\n\ncamera inspect 0123456789\nAna\treview  abcdefgh=\n")
    assert read_tokens(path) == [
        Access("camera", Role.INSPECT, "0123456789"),
        Access("Ana", Role.REVIEW, "abcdefgh="),
    ]
    assert capsys.readouterr().err == ""
    path.chmod(0o644)
    read_tokens(path)
    assert (
        capsys.readouterr().err
        == f"note: {path}: other users of this machine may read the tokens; chmod 600 keeps them out\n"
    )


FAULTS = {
    "empty": ("# nothing\n", ": no tokens; write a line for each: NAME ROLE TOKEN"),
    "words": ("camera inspect\n", ", line 1: should be NAME ROLE TOKEN, not 2 words"),
    "role": ("\nana boss abcdefgh", ", line 2: unknown role 'boss'; choose one of inspect, review, administer"),
    "short": ("ana review abc", ", line 1: the token is shorter than 8 characters; choose a longer one"),
    "letters": ("ana review geheimnisvöll", ", line 1: should consist of printable ASCII characters without spaces"),
    "name twice": (
        "a review abcdefgh\na inspect 12345678",
        ", line 2: this name or token is there twice; give each its own",
    ),
    "token twice": (
        "a review abcdefgh\nb inspect abcdefgh",
        ", line 2: this name or token is there twice; give each its own",
    ),
    "binary": (b"\xff\xfe\x00", ": not a text file; write a line for each token: NAME ROLE TOKEN"),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_file_is_one_line_without_a_token(tokens_file, text, message):
    path = tokens_file(text)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}{message}')}$"):
        read_tokens(path)


def test_what_a_role_does_not_permit_is_not_offered(open_page, run, reviewed_place):
    with (
        InspectionLog.open(reviewed_place) as log,
        Inspector({"cloth-1": Detector.load(run)}) as inspector,
        ServedRuns(log, ServerRecorder(log, {}), {"cloth-1": run}) as runs,
        running_server(inspector, tokens=TOKENS, extensions=[history_of(log, runs)]) as client,
    ):
        runs.make_candidate("cloth-1", learn=False)
        page = open_page(client)
        page.fill("#token", "token-review")
        page.click("#token-form button")
        page.get_by_role("button", name="Discard").wait_for()
        assert page.get_by_role("button", name="Adopt").count() == 0
        page.evaluate("sessionStorage.setItem('token', 'token-administer')")
        page.reload()
        page.get_by_role("button", name="Adopt").click()
        page.get_by_text("Version 2 adopted by the administer").wait_for()
        page.close()
