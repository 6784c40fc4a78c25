"""The list of runs, and the page that compares two."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ssim_ae import Detector, InputError, find_dataset
from ssim_ae.cli import main
from ssim_ae.report.report import write_report
from ssim_ae.runs.comparison import compare
from ssim_ae.runs.summary import summaries, summarize
from ssim_ae.storage import lock_folder
from ssim_ae.training.recalibrate import recalibrate


@pytest.fixture(scope="module")
def evaluated(tiny_run, tmp_path_factory) -> Path:
    """Return a copy of the tiny run with a report."""
    folder = shutil.copytree(tiny_run.folder, tmp_path_factory.mktemp("evaluated") / "twill-1")
    detector = Detector.load(folder, device_target="CPU")
    write_report(folder / "detector.safetensors", detector, tiny_run.dataset, folder / "report")
    return folder


@pytest.fixture(scope="module")
def rejecting(evaluated, tiny_run, tmp_path_factory) -> Path:
    """Return a copy of it that rejects every image, with a report."""
    folder = shutil.copytree(evaluated, tmp_path_factory.mktemp("rejecting") / "twill-2")
    recalibrate(folder, None, {"ssim_threshold": 1e-6, "l1_threshold": 1e-6}, force=True)
    detector = Detector.load(folder, device_target="CPU")
    write_report(folder / "detector.safetensors", detector, tiny_run.dataset, folder / "report")
    return folder


@pytest.fixture
def pair(evaluated, rejecting, tmp_path) -> tuple[Path, Path]:
    """Return copies of the two runs."""
    first, second = (shutil.copytree(run, tmp_path / "runs" / run.name) for run in (evaluated, rejecting))
    return first, second


def page_data(path):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.S)[1])


def test_a_run_is_summarized(evaluated):
    summary = summarize(evaluated)
    metrics = json.loads((evaluated / "report" / "metrics.json").read_text())["metrics"]["all"]
    assert (summary.dataset, summary.method, summary.state) == ("twill", "reference", "finished")
    assert (summary.images, summary.epochs, summary.evaluated) == (10, 2, True)
    assert (summary.ok, summary.image_auroc) == (metrics["ok"]["value"], metrics["image_auroc"]["value"])
    assert summary.expected_false_alarm_rate > 0 and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", summary.started)


def test_a_method_without_epochs_has_none(evaluated, features_run, tmp_path, capsys):
    fitted = shutil.copytree(features_run.folder, tmp_path / "runs" / "twill-9")
    write_report(fitted / "detector.safetensors", Detector.load(fitted), features_run.dataset, fitted / "report")
    summary = summarize(fitted)
    assert (summary.method, summary.images, summary.epochs) == ("features", 30, None)
    assert main(["runs", str(tmp_path / "runs")]) == 0
    assert re.search(r"features +30 +0\.\d ", capsys.readouterr().out)
    data = page_data(compare(evaluated, fitted))
    assert dict(data["figures"])["epochs"] == ["2", "–"] and dict(data["settings"])["z_dim"] == ["8", "–"]


def test_states_of_runs(evaluated, tiny_run, tmp_path):
    with lock_folder(evaluated):
        assert summarize(evaluated).state == "running"
    started = tmp_path / "twill-2"
    started.mkdir()
    shutil.copy(tiny_run.folder / "config.yaml", started)
    shutil.copy(tiny_run.folder / "history.csv", started)
    summary = summarize(started)
    assert (summary.state, summary.epochs, summary.images, summary.ok) == ("interrupted", 2, None, None)


def test_figures_of_a_former_version_are_marked(evaluated, tmp_path, capsys):
    run = shutil.copytree(evaluated, tmp_path / "runs" / "twill-1")
    recalibrate(run, None, {"ssim_threshold": 9, "l1_threshold": 9})
    assert summarize(run).evaluated is False
    assert main(["runs", str(tmp_path / "runs")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"100\.0\*|\d\.\d\*", printed) and "* of a former version" in printed


def test_runs_are_listed_and_those_that_cannot_be_read_are_named(evaluated, tmp_path, capsys):
    folder = tmp_path / "runs"
    shutil.copytree(evaluated, folder / "twill-1")
    shutil.copytree(evaluated, folder / "twill-2")
    (folder / "twill-2" / "detector.safetensors").write_bytes(b"corrupt")
    (folder / "notes").mkdir()
    assert main(["runs", str(folder), "--json"]) == 0
    captured = capsys.readouterr()
    (row,) = json.loads(captured.out)
    assert row["run"] == str(folder / "twill-1") and row["state"] == "finished"
    assert f"note: skipped: {folder}/twill-2/detector.safetensors: not a detector file" in captured.err
    with pytest.raises(InputError, match="no runs; name the folder"):
        summaries(tmp_path / "none")


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_a_terminal(evaluated, tmp_path, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    shutil.copytree(evaluated, tmp_path / "twill-1")
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "."]) == 0
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width and any("twill-1" in line and "finished" in line for line in lines)
    assert any("started" in line for line in lines) is (width == 200)


def test_two_runs_are_compared(pair):
    data = page_data(compare(*pair))
    assert data["names"] == ["twill-1", "twill-2"] and not data["notes"]
    figures = dict(data["figures"])
    assert figures["test images"] == ["4 good, 6 defective"] * 2 and figures["ok"][1].startswith("0.0 %")
    differing = {image["name"]: [side["verdict"] for side in image["sides"]] for image in data["images"]}
    metrics = json.loads((pair[0] / "report" / "metrics.json").read_text())
    accepted = {name for name, result in metrics["images"].items() if result["score"] <= 1}
    assert differing == {name: ["ok", "nok"] for name in accepted} and accepted
    for image in data["images"]:
        assert all(
            url.startswith("data:image/jpeg;base64,") for url in [image["original"], image["sides"][0]["overlay"]]
        )
        is_good = image["name"].startswith("good/")
        assert [side["correct"] for side in image["sides"]] == [is_good, not is_good]


def test_images_with_long_names_have_their_pictures(pair, tmp_path):
    data_set = tmp_path / "long"
    (data_set / "test" / "good").mkdir(parents=True)
    source = next((pair[0] / "report" / "images" / "good").glob("*_origin.png"))
    shutil.copy(source, data_set / "test" / "good" / f"{'n' * 250}.png")
    for run in pair:
        shutil.rmtree(run / "report")
        detector = Detector.load(run, device_target="CPU")
        if run == pair[0]:
            detector.thresholds = {"ssim": 1e9, "l1": 1e9}
        write_report(run / "detector.safetensors", detector, find_dataset(data_set), run / "report")
    (image,) = page_data(compare(*pair))["images"]
    assert image["original"].startswith("data:image/jpeg;base64,")
    assert all(side["overlay"].startswith("data:image/jpeg;base64,") for side in image["sides"])


def test_a_comparison_says_what_cannot_be_compared(pair):
    metrics = pair[1] / "report" / "metrics.json"
    document = json.loads(metrics.read_text())
    recalibrate(pair[0], None, {"ssim_threshold": 9, "l1_threshold": 9})
    first = next(iter(document["images"].values()))
    first["sha256"] = None
    metrics.write_text(json.dumps(document))
    notes = page_data(compare(*pair))["notes"]
    assert notes[0] == "9 images are in both evaluations, of 10 and 10; the metrics are of all."
    assert notes[1].startswith("twill-1: the metrics are of a former version; ssim-ae report ")
    for result in document["images"].values():
        result["sha256"] = None
    metrics.write_text(json.dumps(document))
    data = page_data(compare(*pair))
    assert data["notes"][0].startswith("The runs were evaluated on different images") and not data["images"]


def test_what_cannot_be_compared_is_an_error(pair, tmp_path):
    with pytest.raises(InputError, match="exists already"):
        compare(*pair, pair[0] / "config.yaml")
    with pytest.raises(InputError, match="a file; name the folder of a run"):
        compare(pair[0] / "detector.safetensors", pair[1])
    (pair[1] / "report" / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match=r"metrics.json: corrupt, or from another version; write the report again"):
        compare(*pair)
    shutil.rmtree(pair[1] / "report")
    with pytest.raises(InputError, match="twill-2: no report to compare; write one with: ssim-ae report"):
        compare(*pair)


def test_the_page_shows_both_runs(pair, browser):
    page = browser.new_page()
    page.goto(compare(*pair).as_uri())
    assert page.title() == "twill-1 and twill-2"
    assert page.locator("#figures tbody tr").count() > 10
    assert page.locator("#images section").count() == len(page_data(compare(*pair))["images"])
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    page.close()
