"""Files that are passed on name no place on the machine that wrote them: no folder, no user, no host."""

import getpass
import shutil
import socket
import zlib
from pathlib import Path

import pytest
from PIL import Image

from ssim_ae import Config, Detector, train
from ssim_ae.cli import main
from ssim_ae.detector.detector_file import read_detector, write_detector

SECRET = "secret-folder"
EXPORTS = [
    ("onnx", "inspection", ".onnx"),
    ("onnx", "network", ".onnx"),
    ("openvino", "inspection", ".xml"),
    ("openvino", "network", ".xml"),
]


@pytest.fixture(scope="module")
def run(tiny_config, fabric_folder, tmp_path_factory) -> Path:
    """A run in a secret folder, trained on images in it; one mask cannot be used and one image not be read."""
    root = tmp_path_factory.mktemp(SECRET)
    data = shutil.copytree(fabric_folder, root / "data")
    Image.new("L", (200, 10), 255).save(next((data / "ground_truth" / "hole").iterdir()))
    settings = {"dataset_path": str(data), "aug_dir": str(root / "patches"), "save_dir": str(root / "output")}
    folder = train(tiny_config.replace(**settings), runs=root / "runs").folder
    (data / "test" / "cut" / "000.png").write_bytes(b"")
    return folder


def assert_names_no_place(files):
    names = [SECRET, str(Path.home()), socket.gethostname()] + [getpass.getuser()] * (getpass.getuser() != "root")
    files = [path for path in files if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        found = [name for name in names if len(name) > 3 and any(name.encode() in part for part in parts(content))]
        assert not found, f"{path.name} names {found}"


def parts(content: bytes):
    """Yield a file, and all that is compressed in it."""
    yield content
    for start in (
        index for index in range(len(content) - 1) if content[index : index + 2] in (b"x\x9c", b"x\x01", b"x\xda")
    ):
        try:
            yield zlib.decompressobj().decompress(content[start:], 2**20)
        except zlib.error:
            continue


def test_the_files_of_a_run(run):
    assert SECRET in (run / "config.yaml").read_text(), "the one file that says where the data are"
    assert_names_no_place(path for path in run.rglob("*") if path.name != "config.yaml")


@pytest.mark.parametrize(("file_format", "graph", "suffix"), EXPORTS)
def test_exported_files(run, tmp_path, monkeypatch, file_format, graph, suffix, capsys):
    if file_format == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.chdir(run)
    target = tmp_path / f"exported{suffix}"
    assert main(["export", str(run), "--format", file_format, "--graph", graph, "--output", str(target)]) == 0
    assert "no held-out image found" not in capsys.readouterr().err
    assert_names_no_place(tmp_path.iterdir())
    assert read_detector(target).config.dataset_path == ""


def test_report_evaluation_and_new_thresholds(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    report, other = tmp_path / "report", tmp_path / "other.safetensors"
    assert main(["report", str(run), "--output", str(report)]) == 0
    assert main(["evaluate", str(run), "--save_dir", str(tmp_path / "output")]) == 0
    assert main(["threshold", str(run), "--threshold", "max", "--output", str(other)]) == 0
    notes = (report / "metrics.json").read_text()
    assert "test/cut/000.png: an empty file; image skipped" in notes and "ground_truth/hole/" in notes
    assert_names_no_place(tmp_path.rglob("*"))


def test_a_run_finds_its_data_set_and_a_detector_elsewhere_says_what_it_lacks(run, tmp_path, capsys):
    copy = Path(shutil.copy(run / "detector.safetensors", tmp_path))
    assert Detector.load(run).config.dataset_path == str(run.parents[1] / "data")
    assert Detector.load(copy).config.dataset_path == ""
    for command in ("evaluate", "report"):
        assert main([command, str(copy)]) == 2
        assert capsys.readouterr().err == f"ssim-ae: {copy}: its data set is not recorded; name a data set\n"
    assert main(["threshold", str(copy)]) == 2
    assert "its held-out images are not recorded; name a folder of good images" in capsys.readouterr().err


@pytest.mark.parametrize("settings", ["dataset_path: [1, 2]", "dataset_path: x: y", "- a list", "\xff", "other: 1", ""])
def test_another_program_s_config_beside_a_detector_is_ignored(run, tmp_path, settings):
    copy = Path(shutil.copy(run / "detector.safetensors", tmp_path))
    (tmp_path / "config.yaml").write_text(settings, encoding="latin-1")
    assert read_detector(copy).config.dataset_path == ""


def test_the_place_in_an_older_file_is_used_and_not_passed_on(run, tmp_path, monkeypatch):
    file = read_detector(run / "detector.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(Config, "portable_settings", Config.model_dump)
        write_detector(tmp_path / "older.safetensors", file)
    older = read_detector(tmp_path / "older.safetensors")
    assert older.config.dataset_path == file.config.dataset_path != ""
    write_detector(tmp_path / "newer.safetensors", older)
    assert read_detector(tmp_path / "newer.safetensors").config.dataset_path == ""
