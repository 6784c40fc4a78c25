"""Run a small part of the robustness tests of docs/explanation/reliability.md, in separate processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc")
@pytest.mark.parametrize(("part", "times"), [("mutations", 2), ("requests", 3)])
def test_part_of_the_campaign(part, times):
    command = [sys.executable, "-m", "campaign", part, "--times", str(times)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout and done.stdout.startswith("| ")
