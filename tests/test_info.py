"""The commands that say what a detector finds: info, and --require of train and threshold."""

import json
from pathlib import Path

import pytest

from ssim_ae.cli import main
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.detector_file import read_detector, write_detector
from ssim_ae.training.train import Run

CHART = DetectabilityChart(
    images=8,
    rejected=0,
    image_height=64,
    image_width=64,
    working_size=64,
    sizes=[2.0, 8.0],
    defects=10,
    found={"low": [0, 2], "medium": [0, 9], "high": [1, 10]},
)


@pytest.fixture
def measured(tiny_run: Run, tmp_path: Path) -> Path:
    file = read_detector(tiny_run.detector_path)
    write_detector(tmp_path / "measured.safetensors", file._replace(detectability=CHART))
    return tmp_path / "measured.safetensors"


def test_info_says_what_the_detector_finds_first(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(measured)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("Finds 90 % of drawn defects of 8 px and larger at medium contrast")
    assert any(line.split() == ["medium", "contrast", "0", "90"] for line in lines)
    assert any(line.startswith("thresholds: ssim") for line in lines)
    assert any("training and" in line for line in lines)


def test_info_names_next_to_nothing_and_the_reasons(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    little = CHART.model_copy(update={"found": {"low": [0, 0], "medium": [0, 0], "high": [0, 0]}})
    write_detector(measured, read_detector(measured)._replace(detectability=little))
    assert main(["info", str(measured)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("This detector finds next to nothing: at most 0 %")
    assert lines[2].startswith("Little training")
    assert lines[3].startswith("Finds none of the drawn defects of up to 8 px")


def test_info_without_a_chart_says_how_to_get_one(tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tiny_run.folder)]) == 0
    assert "not measured; ssim-ae threshold RUN --drawn_defects 40 measures it" in capsys.readouterr().out
    assert main(["info", str(tiny_run.folder), "--require", "90% at 8px"]) == 2


def test_info_prints_everything_as_json(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(measured), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["detectability"] == CHART.model_dump(mode="json")
    assert document["config"]["method"] == "reference"


@pytest.mark.parametrize(("text", "status"), [("90% at 8px", 0), ("90% at 7px", 1), ("20% at 8px low", 0), ("x", 2)])
def test_a_requirement_sets_the_exit_status(
    measured: Path, text: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(measured), "--require", text]) == status
    assert ("not met: " in capsys.readouterr().err) == (status == 1)


def test_a_new_threshold_measures_what_is_found(tiny_run: Run, tmp_path: Path) -> None:
    target = tmp_path / "new.safetensors"
    options = ["--output", str(target), "--drawn_defects", "3", "--require", "100% at 1px"]
    assert main(["threshold", str(tiny_run.folder), *options]) == 1
    chart = read_detector(target).detectability
    assert chart
    assert chart.defects == 3
