"""A slice of the campaign that docs/reliability.md tells of: as it is run, in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks into /proc")
@pytest.mark.parametrize(("part", "times"), [("mutations", 2), ("requests", 3)])
def test_a_slice_of_the_campaign(part, times):
    command = [sys.executable, "-m", "campaign", part, "--times", str(times)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=Path(__file__).parents[1], env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout and done.stdout.startswith("| ")
