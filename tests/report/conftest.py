"""A report that several tests share."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ssim_ae import Detector, find_dataset
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.report.report import write_report
from ssim_ae.training.train import Run


def data_of(folder: Path) -> dict[str, Any]:
    """Return the JSON data of the page in a report's folder."""
    html = (folder / "index.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="session")
def reported(
    tiny_run: Run, fabric_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Detector, Evaluation, Path]:
    """Return the detector of the tiny run, its evaluation, and the folder of its report."""
    folder = tmp_path_factory.mktemp("report")
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    return detector, write_report(tiny_run.detector_path, detector, find_dataset(fabric_folder), folder), folder
