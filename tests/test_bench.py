"""The benchmarks run, at sizes where their numbers mean nothing."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssim_ae import find_dataset, train

BENCH = Path(__file__).parents[1] / "bench"
OURS = [
    "whole step against our network alone, 32 px gray",
    "whole step against our network alone, 32 px RGB",
    "train against its steps alone",
    "residual maps against scikit-image's SSIM",
    "SSIM map alone against scikit-image's",
    "largest difference from scikit-image's map",
    "predict on 4 images against its network alone",
    "predict with overlays on 4 images against its network alone",
    "ssim-ae predict of one 64 px image from a cold start, 32 px gray, z 8, through ONNX Runtime",
    "ssim-ae predict of one 64 px image from a cold start, 32 px gray, z 8, through PyTorch",
    "our own imports of it",
]
PEERS = [
    "training step, 32 px gray",
    "training step, 32 px RGB",
    "SSIM loss and gradient, 32 px gray",
    "SSIM loss and gradient, 32 px RGB",
    "whole step against the stock network alone in bf16, 32 px gray",
    "whole step against the stock network alone in bf16, 32 px RGB",
    "training against MindSpore as it comes",
    "training against MindSpore kept to AVX2",
]


def written(script: str, output: Path, *options: str) -> str:
    """Return what a benchmark writes at toy sizes, with one thread: other work on the machine hardly slows it."""
    command = [sys.executable, str(BENCH / script), "--toy", "--output", str(output), *options]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return output.read_text(encoding="utf-8")


def written_by(script: str, *arguments: object) -> str:
    """Return what a study of detectors prints."""
    command = [sys.executable, str(BENCH / script), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def table_rows(markdown: str) -> list[list[str]]:
    """Return the cells of every line of every table, headings left out."""
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("|")]
    headings = {index - 1 for index, cells in enumerate(lines) if set(cells[0]) == {"-"}}
    return [cells for index, cells in enumerate(lines) if index not in headings and index - 1 not in headings]


def check_ratios(markdown: str, names: list[str]) -> None:
    rows = table_rows(markdown)
    assert len(rows) == len(names)
    for name in names:
        (row,) = [row for row in rows if row[0].startswith(name)]
        ratio = float(row[3].split()[0].replace(",", ""))
        assert math.isfinite(ratio) and ratio > 0, row


def test_compares_with_what_is_here(tmp_path):
    markdown = written("compare.py", tmp_path / "compare.md", "--without-peers")
    check_ratios(markdown, OURS)
    assert "- CPU: " in markdown and "- PyTorch: " in markdown
    for place in (Path.home(), BENCH.parent, tmp_path):
        assert str(place) not in markdown


@pytest.mark.long
def test_compares_with_others(tmp_path):
    check_ratios(written("compare.py", tmp_path / "compare.md"), OURS + PEERS)


@pytest.mark.long
def test_measures_how_the_work_grows(tmp_path):
    markdown = written("scaling.py", tmp_path / "scaling.md")
    rows = table_rows(markdown)
    assert [row[0] for row in rows] == ["32 px", "64 px", "2", "4", "32 px", "64 px", "1", "3", "1", "2"]
    assert markdown.count("\n## ") == 5


def test_says_which_damage_is_found_and_which_promises_are_kept(tiny_config, tmp_path):
    run = train(tiny_config.replace(method="repair", epochs=1, holdout=0.5), runs=tmp_path)
    damage = table_rows(written_by("damage.py", run.folder))
    assert [row[1] for row in damage] == ["a piece of another image", "a colour", "clouds", "a tint", "a blur"]
    assert all(0 <= float(cell.split()[0]) <= 100 for row in damage for cell in row[2:])
    promises = table_rows(written_by("thresholds.py", run.folder))
    assert promises[0][:2] == [f"{run.folder.name}, 9", "false_alarm_rate 1 %"]


def test_draws_parts_in_every_condition(tmp_path):
    written_by("conditions.py", tmp_path, "--train", 1, "--size", 32)
    folders = {folder.name.split(", ")[1]: folder for folder in tmp_path.glob("badge, *")}
    assert len(folders) == 8 and all(len(find_dataset(folder).good) == 1 for folder in folders.values())

    def defect(condition):
        return {path.name: path.read_bytes() for path in (folders[condition] / "ground_truth" / "hole").iterdir()}

    assert defect("dark") == defect("as drawn")  # a mask moves with what moves, and is else as it was
    assert defect("turned") != defect("as drawn") != defect("shifted")


def test_trains_and_evaluates_class_by_class(tiny_config, fabric_folder, tmp_path):
    settings = [f"{key}={getattr(tiny_config, key)}" for key in ("im_resize", "crop_size", "flc", "augment_num")]
    options = ["--work", tmp_path, "--seeds", "1", "--methods", "repair", "--set", "epochs=1", *settings]
    printed = written_by("accuracy.py", fabric_folder.parent, *options)
    mean, worst = table_rows(printed)
    assert mean[:3] == [fabric_folder.name, "repair", "1"] and worst[0] == "worst"
    assert written_by("accuracy.py", fabric_folder.parent, *options) == printed


def test_a_peer_that_fails_is_a_row_that_says_why(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    from compare_training import against_mindspore
    from peers import environments
    from peers.case import Case

    bare = Path(sys.base_prefix) / "bin" / "python3"  # nothing is installed there
    monkeypatch.setattr(environments, "python_of", lambda _: bare)
    rows = against_mindspore(Case(32, 1, 8, 4, 2, 64), slow_batch=2, repeats=1)
    assert [row.ratio for row in rows] == [None, None]
    assert all(row.other == "left out: ModuleNotFoundError: No module named 'mindspore'" for row in rows)


def test_a_reason_names_no_place_on_the_machine(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    from peers.environments import without_places

    text = "ERROR: /home/someone/peers/x.txt: nothing at https://registry.example/simple/x for x==1"
    assert without_places(text) == "ERROR: x.txt: nothing at x for x==1"
