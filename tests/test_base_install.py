"""The base install alone, in a new virtual environment, as on an edge device."""

import subprocess
import sys
from pathlib import Path

import pytest

from ssim_ae.detector.detector_file import read_detector

ROOT = Path(__file__).parents[1]
BUDGET_MB = 300
FRAMEWORKS = ("torch", "openvino", "mindspore", "nncf", "matplotlib")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", ROOT], check=True, capture_output=True)
    return folder


def command(environment, *arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run([environment / "bin" / "ssim-ae", *map(str, arguments)], capture_output=True, text=True)


def test_it_is_light(environment):
    code = f"from importlib.util import find_spec; print([name for name in {FRAMEWORKS} if find_spec(name)])"
    found = subprocess.run([environment / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    megabytes = sum(path.lstat().st_size for path in environment.rglob("*")) / 1e6
    print(f"the environment: {megabytes:.0f} MB")
    assert megabytes < BUDGET_MB


def test_every_file_it_can_open_works(environment, tiny_run, detector, fabric_folder, tmp_path):
    assert command(environment, "export", tiny_run.folder, "--output", tmp_path / "tiny.onnx").returncode == 0
    images = sorted((fabric_folder / "test").rglob("*.png"))
    expected = [detector.inspect(path) for path in images]
    for path in (tiny_run.detector_path, tmp_path / "tiny.onnx"):
        done = command(environment, "predict", path, *images)
        assert (done.returncode, done.stderr) == (0, "")
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [line[0] for line in lines] == [found.verdict for found in expected]
        assert [float(line[1]) for line in lines] == pytest.approx([found.score for found in expected], abs=1e-3)
        save = ["--save_dir", tmp_path / "pictures"]
        assert command(environment, "evaluate", path, fabric_folder, *save).returncode == 0
        new = tmp_path / f"new{path.suffix}.safetensors"
        options = ["--threshold", "max", "--drawn_defects", 2, "--force", "--output", new]
        assert command(environment, "threshold", path, fabric_folder, *options).returncode == 0
        assert read_detector(new).config.threshold == "max"


def test_the_default_method_is_trained(environment, fabric_folder, tmp_path):
    done = command(environment, "train", fabric_folder, "--resolution", 64, "--runs", tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_detector(tmp_path / "twill-1" / "detector.safetensors").config.method == "features"
    image = next((fabric_folder / "test" / "good").iterdir())
    assert command(environment, "predict", tmp_path / "twill-1", image).returncode == 0


def not_installed(module: str, packages: str) -> str:
    return f"ssim-ae: {module} is not installed; pip install {packages}"


def test_a_missing_package_is_named(environment, tiny_run, fabric_folder, tmp_path):
    done = command(environment, "train", fabric_folder, "--method", "repair", "--runs", tmp_path / "runs")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, not_installed("torch", "torch matplotlib"))
    image = next((fabric_folder / "test" / "good").iterdir())
    needs = {"torch": "torch matplotlib", "openvino": "openvino", "mindspore": "mindspore matplotlib"}
    for runtime, packages in needs.items():
        done = command(environment, "predict", tiny_run.folder, image, "--runtime", runtime)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, not_installed(runtime, packages))
    done = command(environment, "export", tiny_run.folder, "--format", "openvino", "--output", tmp_path / "x.xml")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, not_installed("openvino", "openvino"))
    assert not list(tmp_path.iterdir())
