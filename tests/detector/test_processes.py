"""Detectors in other processes."""

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from ssim_ae import Detector, InputError
from ssim_ae.detector.detector_file import read_detector, write_detector

TIMEOUT = 120  # seconds, for a process that imports a framework on a busy machine
RUNTIMES = ("onnxruntime", "torch", "openvino")
IMAGE = np.arange(3 * 70 * 90, dtype=np.uint8).reshape(70, 90, 3)


@pytest.fixture
def copied(tiny_run, tmp_path):
    """A detector file that a test may replace."""
    path = tmp_path / "detector.safetensors"
    path.write_bytes(tiny_run.detector_path.read_bytes())
    return path


def scores_of_pool(method, detector):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        return [found.score for found in pool.map(detector.inspect, [IMAGE] * 2, timeout=TIMEOUT)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_detector_can_be_sent_to_a_process(copied, method, runtime):
    detector = Detector.load(copied, runtime=runtime, device_target="CPU", threads=1)
    expected = detector.inspect(IMAGE).score
    assert scores_of_pool(method, detector) == pytest.approx([expected] * 2, rel=1e-6)


def test_a_pickled_detector_is_the_path_of_its_file_and_the_options(copied, monkeypatch):
    monkeypatch.chdir(copied.parent)
    data = pickle.dumps(Detector.load(copied.name, runtime="torch", device_target="CPU", threads=1))
    assert len(data) < 1000
    monkeypatch.chdir("/")
    detector = pickle.loads(data)
    assert type(detector.runtime).__name__ == "TorchRuntime" and detector.threads == 1
    assert pickle.dumps(detector) == data


def test_a_pickled_detector_of_another_file_is_an_error(copied):
    detector = Detector.load(copied)
    data = pickle.dumps(detector)
    file = read_detector(copied)
    write_detector(copied, file._replace(thresholds={**file.thresholds, "ssim": 0.5}))
    with pytest.raises(InputError, match=r"detector\.safetensors: changed since the detector was opened"):
        pickle.loads(data)
    copied.unlink()
    with pytest.raises(InputError, match=r"detector\.safetensors: no such file"):
        pickle.loads(data)


def test_a_detector_that_is_not_in_a_file_cannot_be_sent(copied):
    with pytest.raises(InputError, match="detector: not opened from a file"):
        pickle.dumps(Detector.from_file(read_detector(copied)))
    detector = Detector.load(copied)
    detector.thresholds = {**detector.thresholds, "ssim": 0.5}
    with pytest.raises(InputError, match="has other settings than this file"):
        pickle.dumps(detector)


FORK = """
import os, signal, sys
import numpy as np
from ssim_ae import Detector, InputError

folder, runtime = sys.argv[1:]
image = np.zeros((70, 90, 3), np.uint8)
detector = Detector.load(folder, runtime=runtime, device_target="CPU")
score = detector.inspect(image).score
uses = [
    lambda: detector.inspect(image),
    lambda: detector.residuals(image),
    lambda: list(detector.inspect_all([folder, folder])),
    lambda: detector.reconstruct(np.zeros((3, 64, 64), np.float32)),
    lambda: print(Detector.load(folder, runtime=runtime, device_target="CPU").inspect(image).score == score),
]
child = os.fork()
if not child:
    signal.alarm(60)
    for use in uses:
        try:
            use()
        except InputError as error:
            print(error, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert detector.inspect(image).score == score
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_detector_that_was_opened_before_a_fork_is_an_error(tiny_run, runtime):
    command = [sys.executable, "-c", FORK, str(tiny_run.folder), runtime]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout.splitlines()
    assert len(lines) == 5 and set(lines[:4]) == {lines[0]}
    assert lines[0].startswith("detector: opened before this process was forked")
    library = {"torch": "PyTorch", "openvino": "OpenVINO"}.get(runtime)
    assert lines[4].startswith(f"{library}: used before this process was forked" if library else "True")
