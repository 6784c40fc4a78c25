"""What a source inspects is in the log as a posted image is, under the name of the source."""

import pytest

pytest.importorskip("sqlalchemy")

from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.kept_images import KeepRule
from ssim_ae.line.queries import all_entries
from ssim_ae.line.server_recorder import ServerRecorder
from ssim_ae.storage import file_hash

from .conftest import metric, wait_until


@pytest.fixture
def log(tmp_path):
    with InspectionLog.open(str(tmp_path / "log"), station="line-1", rule=KeepRule("all")) as log:
        yield log


def entries(log):
    return sorted(all_entries(log, Filters()), key=lambda entry: entry.id)


def test_a_video_is_inspected_at_intervals_and_logged(serve_sources, video, log, loaded):
    recorder = ServerRecorder(log, {"twill": 3})
    with serve_sources(f"press1={video}", triggers=["press1=every:200ms"], recorder=recorder) as client:
        wait_until(lambda: client.get("/v1/sources/press1").json()["state"] == "ended")
        wait_until(lambda: metric(client, "dropped_total") + client.get("/v1/sources/press1").json()["results"] == 5)
        described = client.get("/v1/sources").json()
        assert [metric(client, name) for name in ("pictures_total", "failed_total")] == [25, 0]
    logged = entries(log)
    assert 1 <= len(logged) <= 5
    assert {(entry.station, entry.source, entry.detector, entry.version) for entry in logged} == {
        ("press1", "camera", "twill", 3)
    }
    assert all(entry.name.startswith("press1-") and entry.milliseconds > 0 for entry in logged)
    for entry in logged:
        data = log.image_path(entry.id).read_bytes()
        assert file_hash(data) == entry.image_hash
        assert loaded.inspect(log.image_path(entry.id)).score == entry.score, "the image that is kept was inspected"
    (source,) = described
    assert (source["name"], source["trigger"], source["pictures"]) == ("press1", "every:200ms", 25)
    assert source["result"]["score"] == logged[-1].score and source["result"]["name"] == logged[-1].name
