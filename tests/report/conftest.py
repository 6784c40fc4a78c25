"""A report that the tests of its files and those of its page look at."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ssim_ae import Detector, find_dataset
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.report.report import report
from ssim_ae.training.train import Run


def data_of(folder: Path) -> dict[str, Any]:
    """Return what a page shows."""
    html = (folder / "index.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="session")
def reported(
    tiny_run: Run, fabric_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Detector, Evaluation, Path]:
    """The detector of the tiny run, its evaluation, and the folder of its report."""
    folder = tmp_path_factory.mktemp("report")
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    return detector, report(tiny_run.detector_path, detector, find_dataset(fabric_folder), folder), folder
