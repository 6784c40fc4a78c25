"""Windows and macOS by a stand-in: what Python lacks there is taken away, and files follow the rules of Windows."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("another_system.py")
SMALL = "--drawn_defects 0 --resolution 64"
FIRST = ["draw fabric data --classes twill --train 6 --good 1 --defective 1", f"train data/twill {SMALL}"]
USE = [
    "predict runs/twill-1 data/twill/test --csv results.csv --overlays overlays",
    "predict runs/twill-1 data/twill/test --log log",
    "threshold runs/twill-1 --false_alarm_rate 0.05 --drawn_defects 0 --force",
    "threshold runs/twill-1 --rollback",
    "export runs/twill-1",
    "report runs/twill-1",
    "serve runs/twill-1 --log log --port {port}",
]
MORE = [
    "train --resume runs/twill-1",
    "train --add data/twill/test/good runs/twill-1",
    "export runs/twill-1 --format openvino",
    "evaluate runs/twill-1 data/twill",
    "predict runs/twill-1 data/twill/test --output results.parquet",
    "predict runs/twill-1 data/twill/test --output parts",
    "predict runs/twill-1 data/twill/test --log log",
    "log log --output log.csv",
    "runs runs",
    "runs --compare runs/twill-1 runs/twill-1",
    "train data/twill --method repair --epochs 1 --im_resize 64 --crop_size 64 --augment_num 32 --drawn_defects 0",
    "predict runs/twill-2 data/twill/test",
]


def run_as(system: str, commands: list[str], folder: Path, *libraries: str) -> subprocess.CompletedProcess[str]:
    """Run commands in a folder as on another system."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = "\n".join(commands).format(port=port)
    command = [sys.executable, SCRIPT, system, *libraries]
    return subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_a_detector_is_trained_and_used(system, tmp_path):
    done = run_as(system, FIRST + USE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"verdict"' in done.stdout and (tmp_path / "runs/twill-1/detector.onnx").is_file()
    assert not list(tmp_path.rglob("*.part")), "temporary files are removed"


@pytest.mark.long
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_other_commands_work_too(system, tmp_path):
    done = run_as(system, FIRST + MORE, tmp_path, "openvino", "torch", "matplotlib.figure")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("open('a', 'w').close(); file = open('a'); os.replace('a', 'b')", "renames and removes no open file"),
        ("os.mkdir('a'); file = open('a/b', 'w'); os.rename('a', 'c')", "renames and removes no open file"),
        ("os.open('.', os.O_RDONLY)", "opens no folder"),
        ("open('12:30', 'w')", "accepts no such name"),
        ("import fcntl", "fcntl"),
    ],
)
def test_the_stand_in_refuses_what_windows_refuses(code, refused, tmp_path):
    program = f"import os, sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import another_system as other"
    command = [sys.executable, "-c", f"{program}; other.become('win32'); {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and refused in done.stderr.splitlines()[-1]
