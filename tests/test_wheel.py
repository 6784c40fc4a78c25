"""The release is reproducible, bit for bit."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def built(folder: Path, **environment: str) -> Path:
    """Return the wheel, built into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_a_wheel_built_twice_is_the_same(tmp_path):
    first, again = built(tmp_path / "a", TZ="UTC"), built(tmp_path / "b", TZ="Asia/Tokyo", PYTHONHASHSEED="7")
    assert first.read_bytes() == again.read_bytes()
    names = zipfile.ZipFile(first).namelist()
    assert all(name.startswith(("ssim_ae/", "ssim_ae-")) for name in names)
    assert "ssim_ae/server/page.html" in names and not any("test" in name for name in names)
