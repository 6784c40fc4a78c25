"""MindSpore files, each in a process of its own, because importing the framework changes the state of a process."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from ssim_ae import Detector, InputError
from ssim_ae.detector.detector_file import read_detector

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not find_spec("mindspore"), reason="MindSpore is not installed: pip install mindspore"),
]


def command(*arguments) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-W", "ignore", "-m", "ssim_ae"]
    return subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_mindir_file_has_equal_outputs(tiny_run, detector, fabric_folder, tmp_path, batch_size):
    path = tmp_path / "tiny.mindir"
    fixed = ["--batch_size", batch_size] if batch_size else []
    done = command("export", tiny_run.folder, "--format", "mindir", "--output", path, *fixed)
    assert done.returncode == 0, done.stderr
    assert "2 of 2" in done.stdout
    file = read_detector(path)
    assert file.config.portable_settings() == detector.config.portable_settings()
    assert file.thresholds == detector.thresholds
    images = sorted((fabric_folder / "test").rglob("*.png"))
    done = command("predict", path, *images)
    assert done.returncode == 0, done.stderr
    scores = [float(line.split()[1]) for line in done.stdout.splitlines()]
    assert scores == pytest.approx([detector.inspect(image).score for image in images], abs=2e-4)


def test_the_runtime_builds_the_network_from_the_table(tiny_run, detector, fabric_folder):
    images = sorted((fabric_folder / "test").rglob("*.png"))
    done = command("predict", tiny_run.folder, *images, "--runtime", "mindspore")
    assert done.returncode == 0, done.stderr
    scores = [float(line.split()[1]) for line in done.stdout.splitlines()]
    assert scores == pytest.approx([detector.inspect(image).score for image in images], abs=2e-4)


def test_an_unsupported_request_is_one_line(tiny_run, fabric_folder, tmp_path):
    path = tmp_path / "tiny.mindir"
    assert command("export", tiny_run.folder, "--format", "mindir", "--output", path).returncode == 0
    image = next((fabric_folder / "test" / "good").iterdir())
    done = command("predict", path, image, "--runtime", "torch")
    assert done.returncode == 2 and "runs in mindspore only" in done.stderr
    done = command("predict", path, image, "--device_target", "Ascend")
    assert done.returncode == 2 and "device_target Ascend: MindSpore has no such device" in done.stderr
    done = command("export", tiny_run.folder, "--format", "air", "--output", tmp_path / "tiny.air")
    assert done.returncode == 2 and "MindSpore writes AIR files only on an Ascend" in done.stderr
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"tiny\.mindir: corrupt, or from another detector"):
        Detector.load(path)


@pytest.mark.parametrize("change", ["operator", "function", "attribute"])
def test_an_unsafe_or_invalid_graph_is_not_run(tiny_run, detector, fabric_folder, tmp_path, change):
    path = tmp_path / "tiny.mindir"
    assert command("export", tiny_run.folder, "--format", "mindir", "--output", path).returncode == 0
    subprocess.run([sys.executable, "-c", CHANGE_FILE, str(path), change], check=True)
    image = next((fabric_folder / "test" / "good").iterdir())
    done = command("predict", path, image)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[1]) == pytest.approx(detector.inspect(image).score, abs=2e-4)


@pytest.mark.parametrize("change", ["garbage", "shape", "missing", "number"])
def test_weights_that_do_not_fit_are_rejected(tiny_run, fabric_folder, tmp_path, change):
    path = tmp_path / "tiny.mindir"
    assert command("export", tiny_run.folder, "--format", "mindir", "--output", path).returncode == 0
    subprocess.run([sys.executable, "-c", CHANGE_FILE, str(path), change], check=True)
    done = command("predict", path, next((fabric_folder / "test" / "good").iterdir()))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    reasons = {"garbage": "corrupt, or not a MINDIR file", "number": "a weight is not a finite number"}
    assert reasons.get(change, "do not fit the network") in done.stderr


CHANGE_FILE = """
import json, sys
from pathlib import Path
from mindspore.train import mind_ir_pb2
from ssim_ae.checked_files import EMPTY_CHECKSUM, file_hash, with_checksum

path, change = Path(sys.argv[1]), sys.argv[2]
sidecar = path.with_name(path.name + ".json")
metadata = json.loads(sidecar.read_bytes())
model = mind_ir_pb2.ModelProto()
model.ParseFromString(path.read_bytes())
if change == "operator":
    model.primitives[0].op_type = "Custom"
if change == "function":
    model.functions.add().name = "f"
if change == "attribute":
    for primitive in model.primitives:
        for attribute in primitive.attribute:
            attribute.ClearField("values")
weight = model.graph.parameter[0]
if change == "shape":
    weight.raw_data = weight.raw_data[:-4]
if change == "missing":
    weight.name = "x"
if change == "number":
    weight.raw_data = bytes.fromhex("0000c07f") + weight.raw_data[4:]
path.write_bytes(model.SerializeToString()[: None if change != "garbage" else 900])
metadata |= {"weights_sha256": file_hash(path.read_bytes()), **EMPTY_CHECKSUM}
sidecar.write_bytes(with_checksum(json.dumps(metadata).encode()))
"""
