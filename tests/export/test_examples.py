"""The example programs print the verdicts and scores of the detector."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from ssim_ae.detector.predictions import Prediction
from ssim_ae.export.export import export
from ssim_ae.export.options import ExportOptions

EXAMPLES = Path(__file__).parents[2] / "examples"
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH", "ETIMEDOUT")


class Example(NamedTuple):
    """A program with its detector, and the suffix of the images that it reads."""

    command: list[str | Path]
    suffix: str

    def __call__(self, *images: Path) -> subprocess.CompletedProcess[str]:
        return _run([*self.command, *images])


@pytest.fixture(scope="session")
def onnx_file(tiny_run, tmp_path_factory):
    return export(tiny_run.folder, tmp_path_factory.mktemp("onnx") / "tiny.onnx").path


@pytest.fixture(scope="session")
def openvino_file(tiny_run, tmp_path_factory):
    pytest.importorskip("openvino")
    options = ExportOptions("openvino", precision="fp32")
    return export(tiny_run.folder, tmp_path_factory.mktemp("openvino") / "tiny.xml", options).path


@pytest.fixture(scope="session")
def node_program(tmp_path_factory):
    """The program with the packages that it needs. They are removed again, because they are large."""
    _needs("node", "npm")
    folder = tmp_path_factory.mktemp("node")
    for name in ("inspect.mjs", "package.json"):
        shutil.copy(EXAMPLES / "node" / name, folder)
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0"]
    installed = _run(install, cwd=folder)
    if installed.returncode and any(code in installed.stderr for code in NO_NETWORK):
        pytest.skip("npm cannot reach its registry")
    assert installed.returncode == 0, installed.stderr
    yield ["node", folder / "inspect.mjs"]
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def openvino_program(tmp_path_factory):
    """The program in C++ with OpenVINO, compiled."""
    package = Path(pytest.importorskip("openvino").__file__).parent
    return [_compiled(tmp_path_factory.mktemp("openvino"), f"-DOpenVINO_DIR={package / 'cmake'}") / "inspect_openvino"]


@pytest.fixture(scope="session")
def onnxruntime_program(tmp_path_factory):
    """The program in C++ with ONNX Runtime, compiled."""
    release = os.environ.get("ONNXRUNTIME_DIR")
    if not release:
        pytest.skip("ONNXRUNTIME_DIR does not name a release of ONNX Runtime with headers")
    return [_compiled(tmp_path_factory.mktemp("ort"), f"-DONNXRUNTIME_DIR={release}") / "inspect_onnxruntime"]


@pytest.fixture(scope="session")
def csharp_program(tmp_path_factory):
    """The program in C#, compiled."""
    _needs("dotnet")
    folder = tmp_path_factory.mktemp("csharp")
    for path in (EXAMPLES / "csharp").iterdir():
        shutil.copy(path, folder)
    built = _run(["dotnet", "build", "--nologo", "-warnaserror", "-p:UseAppHost=false", "-o", "built"], cwd=folder)
    if built.returncode and "NU1301" in built.stdout:
        pytest.skip("dotnet cannot reach its registry")
    assert built.returncode == 0, built.stdout
    return ["dotnet", folder / "built" / "Inspect.dll"]


@pytest.fixture(
    params=[
        ("node_program", "onnx_file", ".png"),
        ("openvino_program", "openvino_file", ".ppm"),
        ("openvino_program", "onnx_file", ".ppm"),
        ("onnxruntime_program", "onnx_file", ".ppm"),
        ("csharp_program", "onnx_file", ".ppm"),
    ],
    ids=["node", "openvino", "openvino-onnx", "onnxruntime", "csharp"],
)
def example(request):
    program, detector, suffix = request.param
    return Example([*request.getfixturevalue(program), request.getfixturevalue(detector)], suffix)


@pytest.fixture
def images(fabric_folder, tmp_path, rng):
    """PNG files: good and defective images, one of another size, one gray, one with alpha."""
    images = [Image.open(path) for path in sorted((fabric_folder / "test").rglob("*.png"))]
    images.append(images[0].resize((90, 70)))
    images.append(images[0].convert("L"))
    images.append(images[0].copy())
    images[-1].putalpha(Image.fromarray(rng.integers(0, 256, images[0].size[::-1], np.uint8)))
    paths = [tmp_path / f"{number}.png" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    return paths


def test_an_example_prints_the_detectors_verdicts_and_scores(example, detector, images):
    if example.suffix == ".ppm":
        images.pop()  # a PPM has no alpha
    inspected = {path: detector.inspect(path) for path in images}
    expected = {
        path: found for path, found in inspected.items() if abs(found.score - 1) > 5e-4
    }  # closer scores differ in float32
    assert {found.verdict for found in expected.values()} == {"ok", "nok"} and len(expected) >= 8
    given = [_saved_as(path, example.suffix) for path in expected]

    done = example(*given)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    scores = [float(line.split()[1]) for line in lines]
    assert scores == pytest.approx([found.score for found in expected.values()], abs=2e-4)
    verdicts = [found.verdict for found in expected.values()]
    assert lines == [str(Prediction(*row)) for row in zip(map(str, given), verdicts, scores, strict=True)]


def test_an_example_reports_unreadable_images_and_continues(example, images, tmp_path):
    good = _saved_as(images[0], example.suffix)
    missing, text, corrupt = (tmp_path / f"{name}{example.suffix}" for name in ("missing", "text", "corrupt"))
    text.write_text("no image")
    corrupt.write_bytes(good.read_bytes()[:-1000])

    done = example(missing, text, good, corrupt)

    assert done.returncode == 2
    assert done.stdout == example(good).stdout != ""
    named, reasons = zip(*(error.split(": ", 1) for error in done.stderr.splitlines()), strict=True)
    assert list(named) == [f"error  {path}" for path in (missing, text, corrupt)] and all(reasons)


def test_an_example_that_cannot_start_prints_one_line(example, images, tmp_path):
    image = _saved_as(images[0], example.suffix)
    *program, detector = example.command
    missing = tmp_path / f"missing{detector.suffix}"
    for arguments, start in (([], "usage: "), ([detector], "usage: "), ([missing, image], f"error  {missing}: ")):
        done = _run([*program, *arguments])
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(start) and done.stderr.removeprefix(start).strip()
        assert done.stderr.count("\n") == 1


def _compiled(folder: Path, runtime: str) -> Path:
    """Compile the program in C++ for a runtime, with all warnings as errors."""
    _needs("cmake", "g++")
    strict = ["-DCMAKE_CXX_COMPILER=g++", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"]
    for command in (["cmake", "-S", EXAMPLES / "cpp", "-B", folder, runtime, *strict], ["cmake", "--build", folder]):
        done = _run(command)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _needs(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def _run(command: list[str | Path], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def _saved_as(png: Path, suffix: str) -> Path:
    path = png.with_suffix(suffix)
    if path != png:
        Image.open(png).save(path)
    return path
