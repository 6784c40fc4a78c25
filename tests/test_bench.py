"""The benchmarks run, at sizes at which their results mean nothing."""

import math
import runpy
import sys
from pathlib import Path
from statistics import mean

import pytest

from ssim_ae import Detector, find_dataset, train
from ssim_ae.calibration import calibrate
from ssim_ae.methods import get_method

BENCH = Path(__file__).parents[1] / "bench"
ROWS_WITHOUT_PEERS = [
    "training step vs. its network alone, 32 px gray",
    "training step vs. its network alone, 32 px RGB",
    "train vs. its training steps alone",
    "residual maps vs. SSIM of scikit-image",
    "SSIM map alone vs. SSIM of scikit-image",
    "maximum difference from the SSIM of scikit-image",
    "predict on 4 images vs. its network alone",
    "predict with overlays on 4 images vs. its network alone",
    "cold start of ssim-ae predict with one 64 px image, 32 px gray, z_dim 8, ONNX Runtime",
    "cold start of ssim-ae predict with one 64 px image, 32 px gray, z_dim 8, PyTorch",
    "imports of ssim_ae alone in a cold start",
]
ROWS_OF_PEERS = [
    "training step, 32 px gray",
    "training step, 32 px RGB",
    "SSIM loss and gradient, 32 px gray",
    "SSIM loss and gradient, 32 px RGB",
    "training step vs. stock network alone in bf16, 32 px gray",
    "training step vs. stock network alone in bf16, 32 px RGB",
    "training vs. MindSpore with default settings",
    "training vs. MindSpore limited to AVX2",
]


class Bench:
    """Runs scripts of the benchmarks in this process, in which the frameworks are imported already."""

    def __init__(self, monkeypatch, capsys):
        monkeypatch.syspath_prepend(BENCH)
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def printed_by(self, script: str, *arguments: object) -> str:
        """Return what a benchmark prints."""
        self.capsys.readouterr()
        self.monkeypatch.setattr(sys, "argv", [str(BENCH / script), *map(str, arguments)])
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            assert not end.code
        return self.capsys.readouterr().out

    def output_of_toy(self, script: str, output: Path, *options: str) -> str:
        """Return what a benchmark writes at toy sizes."""
        self.printed_by(script, "--toy", "--output", output, *options)
        return output.read_text(encoding="utf-8")


@pytest.fixture
def bench(monkeypatch, capsys):
    return Bench(monkeypatch, capsys)


def table_rows(markdown: str) -> list[list[str]]:
    """Return the cells of each row of each table, without the headings."""
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


def test_compare_without_peers(bench, tmp_path):
    markdown = bench.output_of_toy("compare.py", tmp_path / "compare.md", "--without-peers")
    check_ratios(markdown, ROWS_WITHOUT_PEERS)
    assert "- CPU: " in markdown and "- PyTorch: " in markdown
    for path in (Path.home(), BENCH.parent, tmp_path):
        assert str(path) not in markdown


@pytest.mark.long
def test_compare_with_peers(bench, tmp_path):
    check_ratios(bench.output_of_toy("compare.py", tmp_path / "compare.md"), ROWS_WITHOUT_PEERS + ROWS_OF_PEERS)


@pytest.mark.long
def test_scaling_writes_five_tables(bench, tmp_path):
    markdown = bench.output_of_toy("scaling.py", tmp_path / "scaling.md")
    rows = table_rows(markdown)
    assert [row[0] for row in rows] == ["32 px", "64 px", "2", "4", "32 px", "64 px", "1", "3", "1", "2"]
    assert markdown.count("\n## ") == 5


def test_damage_and_thresholds_print_a_row_for_each_fill_and_estimator(bench, tiny_config, tmp_path):
    run = train(tiny_config.replace(method="repair", epochs=1, holdout=0.5), runs=tmp_path)
    damage = table_rows(bench.printed_by("damage.py", run.folder))
    assert [row[1] for row in damage] == ["piece of another image", "color", "smooth noise", "tint", "blur"]
    assert all(0 <= float(cell.split()[0]) <= 100 for row in damage for cell in row[2:])
    rates = table_rows(bench.printed_by("thresholds.py", run.folder))
    assert rates[0][:2] == [f"{run.folder.name}, 9", "false_alarm_rate 1 %"]


def test_detectability_prints_a_row_for_each_detector_and_the_correlation(bench, tiny_config, tmp_path):
    runs = [train(tiny_config.replace(seed=seed), runs=tmp_path).folder for seed in (1, 2)]
    printed = bench.printed_by("detectability.py", *runs, "--defects", 5)
    rows = table_rows(printed)
    assert sorted(row[0] for row in rows) == [run.name for run in runs]
    assert all(0 <= float(row[1]) <= 100 and 0 <= float(row[4]) <= 100 for row in rows)
    assert printed.splitlines()[-1].startswith("all: ")


def test_a_correlation_of_equal_values_is_undefined(bench):
    import detectability

    assert detectability._rank_correlation([1, 2, 3], [2, 4, 9]) == "1.00"
    assert detectability._rank_correlation([1, 2], [5, 5]) == "undefined (equal values)"


def test_stages_of_an_inspection_are_measured_for_each_size_and_format(bench, features_run):
    rows = table_rows(bench.printed_by("inspection_stages.py", features_run.folder, "--sizes", 40, 90, "--repeats", 1))
    assert [tuple(row[:2]) for row in rows][:6] == [
        (size, name) for size in ("40", "90") for name in ("png", "jpeg", "bmp")
    ]


def test_spoilt_prints_a_row_for_each_kind_and_share(bench, tiny_config, fabric_folder):
    keys = ("method", "im_resize", "crop_size", "z_dim", "flc", "stride", "augment_num")
    settings = [f"--{key}={getattr(tiny_config, key)}" for key in keys]
    rows = table_rows(bench.printed_by("spoilt.py", fabric_folder, "--shares", 10, "--epochs=1", *settings))
    assert [row[0] for row in rows] == ["twill, different, 10 %", "twill, alike, 10 %"]
    assert all(row[1].startswith("1 (") and float(row[5]) > 0 for row in rows)


def test_suspects_counts_good_and_defective_images_that_are_named(bench, fabric_folder, monkeypatch):
    monkeypatch.setattr(calibrate, "NAMED_DISTANCE", -math.inf)  # all are named
    options = ["--counts", 5, 99, "--defective", 0, 1, "--seeds", 1, "--method=features", "--im_resize=64"]
    rows = table_rows(bench.printed_by("suspects.py", fabric_folder, *options))
    assert rows == [["twill, 5", "5 of 5", "5 of 5; 1 of 1"]]


def test_conditions_writes_a_data_set_for_each_condition(bench, tmp_path):
    bench.printed_by("conditions.py", tmp_path, "--train", 1, "--size", 32)
    folders = {folder.name.split(", ")[1]: folder for folder in tmp_path.glob("badge, *")}
    assert len(folders) == 8 and all(len(find_dataset(folder).good) == 1 for folder in folders.values())

    def defect(condition):
        return {path.name: path.read_bytes() for path in (folders[condition] / "ground_truth" / "hole").iterdir()}

    assert defect("dark") == defect("original")  # a mask changes only where its image moves
    assert defect("rotated") != defect("original") != defect("shifted")


def test_accuracy_trains_each_class_once(bench, tiny_config, fabric_folder, tmp_path):
    settings = [f"{key}={getattr(tiny_config, key)}" for key in ("im_resize", "crop_size", "flc", "augment_num")]
    options = ["--work", tmp_path, "--seeds", "1", "--methods", "repair", "--set", "epochs=1", *settings]
    printed = bench.printed_by("accuracy.py", fabric_folder.parent, *options)
    mean, worst = table_rows(printed)
    assert mean[:3] == [fabric_folder.name, "repair", "1"] and worst[0] == "worst"
    assert bench.printed_by("accuracy.py", fabric_folder.parent, *options) == printed


def test_a_failing_peer_is_a_row_with_the_reason(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    from compare_training import mindspore_rows
    from peers import environments
    from peers.case import Case

    bare = Path(sys.base_prefix) / "bin" / "python3"  # without MindSpore
    monkeypatch.setattr(environments, "peer_python", lambda _: bare)
    rows = mindspore_rows(Case(32, 1, 8, 4, 2, 64), slow_batch=2, repeats=1)
    assert [row.ratio for row in rows] == [None, None]
    assert all(row.baseline == "not measured: ModuleNotFoundError: No module named 'mindspore'" for row in rows)


def test_a_reason_has_no_path_of_the_machine(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    from peers.environments import without_paths

    text = "ERROR: /home/someone/peers/x.txt: nothing at https://registry.example/simple/x for x==1"
    assert without_paths(text) == "ERROR: x.txt: nothing at x for x==1"


@pytest.fixture
def gpu_parts(monkeypatch):
    """The parts of gpu.py by name, and the plan of tiny sizes on the CPU."""
    monkeypatch.syspath_prepend(BENCH)
    import gpu
    from gpu_result import Plan

    return gpu.PARTS, Plan.toy()


@pytest.mark.parametrize("name", ["machine", "losses", "inspection", "waiting", "steps", "inspection rate"])
def test_a_part_of_gpu_runs_on_a_cpu_and_its_checks_succeed(gpu_parts, name):
    parts, plan = gpu_parts
    results = list(parts[name].run(plan))
    assert results and all(result.met for result in results if result.is_check)


def test_gpu_writes_results_as_they_come_and_its_status_tells_a_failed_check(bench, gpu_parts, tmp_path, monkeypatch):
    import gpu
    from gpu_result import Plan

    assert "| machine | bf16 matrix product |" in bench.output_of_toy(
        "gpu.py", tmp_path / "gpu.md", "--parts", "machine"
    )
    plan = Plan.toy()._replace(device_target="nonsense")
    ((part, skipped),) = gpu.measure(plan._replace(least_seconds=1e9), ["losses"], 1, None)
    assert (part, skipped.name, skipped.met) == ("losses", "not run", None)
    (result,) = gpu.run_part("losses", plan, limit=60)
    assert result.name == "not completed" and result.met is False and "nonsense" in result.value
    (result,) = gpu.run_part("losses", plan, limit=0.1)
    assert result.value == "stopped after 0 s"


@pytest.mark.long
def test_all_parts_of_gpu_run_on_a_cpu(bench, tmp_path):
    markdown = bench.output_of_toy("gpu.py", tmp_path / "gpu.md")
    assert "not completed" not in markdown and "not run" not in markdown


def test_image_counts_prints_a_row_for_each_count_and_computes_nothing_twice(
    bench, fabric_folder, tmp_path, monkeypatch
):
    monkeypatch.setitem(get_method("features").defaults, "resolution", 64)
    options = [fabric_folder.parent, "--work", tmp_path, "--counts", 1, 3, "--classes", fabric_folder.name]
    printed = bench.printed_by("image_counts.py", *options)
    assert [row[:2] for row in table_rows(printed)] == [[fabric_folder.name, "1"], [fabric_folder.name, "3"]]
    assert bench.printed_by("image_counts.py", *options) == printed


def test_false_alarms_counts_the_new_images_that_are_rejected(bench, fabric_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(get_method("features").defaults, "resolution", 64)
    options = [fabric_folder.parent, "--work", tmp_path, "--counts", 4, "--draws", 2, "--classes", fabric_folder.name]
    printed = bench.printed_by("false_alarms.py", *options)
    (row,) = table_rows(printed)
    assert row[:3] == [fabric_folder.name, "4", "2"]
    rows = [line.split(",") for line in (tmp_path / "false_alarms.csv").read_text().splitlines()]
    good = list((fabric_folder / "train" / "good").iterdir())
    assert [int(new) for *_, new, _ in rows] == [len(good) - 4] * 2
    runs = [Detector.load(run) for run in sorted((tmp_path / "runs").iterdir())]
    learned = [{path.name for path in folder.iterdir()} for folder in sorted((tmp_path / "images").iterdir())]
    counted = [
        sum(detector.inspect(path).score > 1 for path in good if path.name not in names)
        for detector, names in zip(runs, learned, strict=True)
    ]
    assert [int(rejected) for *_, rejected in rows] == counted
    observed = 100 * mean(rejected / (len(good) - 4) for rejected in counted)
    assert row[4].startswith(f"{observed:.1f} (")
    assert bench.printed_by("false_alarms.py", *options) == printed
