import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from ssim_ae import Detector, InputError
from ssim_ae.cli import main

RUNTIMES = ("onnxruntime", "openvino", "torch")


@pytest.fixture
def image(fabric_folder):
    return next((fabric_folder / "test" / "good").iterdir())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("threads", [1, 2, None])
def test_every_runtime_returns_the_same_scores(tiny_run, detector, image, fabric_folder, runtime, threads):
    loaded = Detector.load(tiny_run.folder, runtime=runtime, device_target="CPU", threads=threads)
    assert type(loaded.runtime).__module__ == f"ssim_ae.runtimes.{runtime.removesuffix('runtime')}_runtime"
    assert np.abs(loaded.inspect(image).planes - detector.inspect(image).planes).max() < 1e-5
    paths = sorted((fabric_folder / "test").rglob("*.png")) * 3
    scores = [inspection.score for inspection in loaded.inspect_all(paths)]
    assert scores == pytest.approx([detector.inspect(path).score for path in paths], abs=1e-3)


def test_auto_selects_onnx_runtime_on_a_cpu(detector):
    assert type(detector.runtime).__name__ == "OnnxRuntime"


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("target", ["GPU", "Ascend", "TPU"])
def test_a_missing_device_is_an_input_error(tiny_run, target, runtime):
    with pytest.raises(InputError, match=f"device_target.*{target}"):
        Detector.load(tiny_run.folder, runtime=runtime, device_target=target)


@pytest.mark.parametrize("target", ["GPU", "Ascend"])
def test_auto_names_the_missing_device(tiny_run, target):
    with pytest.raises(InputError, match=f"device_target {target}"):
        Detector.load(tiny_run.folder, device_target=target)


def test_runtime_and_threads_are_command_line_options(tiny_run, image, capsys):
    for runtime in RUNTIMES:
        assert main(["predict", str(tiny_run.folder), str(image), "--runtime", runtime, "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.split()[1] for line in lines}) == 1
    assert main(["predict", str(tiny_run.folder), str(image), "--runtime", "tensorrt"]) == 2
    assert "runtime: should be one of auto, onnxruntime" in capsys.readouterr().err
    assert main(["predict", str(tiny_run.folder), str(image), "--threads", "0"]) == 2
    assert "threads: should be at least 1" in capsys.readouterr().err


def test_no_runtime_writes_telemetry_files(tiny_run, tmp_path, fabric_folder):
    image = next((fabric_folder / "test" / "good").iterdir())
    program = [sys.executable, "-m", "ssim_ae", "predict", str(tiny_run.folder), str(image), "--runtime"]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    home, temporary = (tmp_path / name for name in ("home", "tmp"))
    for runtime in ("openvino", "onnxruntime"):
        home.mkdir(exist_ok=True)
        temporary.mkdir(exist_ok=True)
        folders = {"HOME": str(home), "TMPDIR": str(temporary)}
        done = subprocess.run([*program, runtime], env=environment | folders, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not [*home.iterdir(), *temporary.iterdir()], "a library left files"


def test_reconstructions_that_overlap_restore_the_number_of_threads(tiny_run):
    """The second of two begins before the first ends, and ends after it."""
    runtime = Detector.load(tiny_run.folder, runtime="torch", device_target="CPU", threads=1).runtime
    network, both_run, first_ended = runtime.network, threading.Barrier(2), threading.Event()
    numbers = []

    def slow_network(batch):
        numbers.append(torch.get_num_threads())
        both_run.wait(20)
        if threading.current_thread() is second:
            assert first_ended.wait(20)
        return network(batch)

    def reconstruct():
        runtime.run(np.zeros((1, 3, 32, 32), np.float32))

    runtime.network = slow_network
    first, second, later = (
        threading.Thread(target=function)
        for function in (reconstruct, reconstruct, lambda: numbers.append(torch.get_num_threads()))
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        first.start()
        while not numbers:
            assert first.is_alive()
        second.start()
        first.join()
        first_ended.set()
        second.join()
        later.start()
        later.join()
        assert numbers == [1, 1, 3]
    finally:
        torch.set_num_threads(before)


def test_concurrent_inspections_that_overlap_leave_the_model_of_openvino(tiny_run, image):
    detector = Detector.load(tiny_run.folder, runtime="openvino")
    compiled = detector.runtime.compiled
    first, second = (detector.inspect_all([image] * 20) for _ in range(2))
    next(first)
    next(second)
    first.close()
    second.close()
    assert detector.runtime.compiled is compiled
