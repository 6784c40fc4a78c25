"""A report that several tests share."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ssim_ae import Detector, find_dataset
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.report.report import write_report
from ssim_ae.training.train import Run

DEFAULT_LEVEL = 120  # index of the threshold 1


def data_of(folder: Path) -> dict[str, Any]:
    """Return the JSON data of the page in a report's folder."""
    html = (folder / "index.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def set_level(page: Any, level: int) -> None:
    """Move the slider of an open page."""
    script = "level => { const s = $('threshold'); s.value = level; s.dispatchEvent(new Event('input')); }"
    page.evaluate(script, level)


@pytest.fixture
def open_report(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """Return a function that opens the page in a folder.

    The page must not report errors nor request anything but its own files.
    """
    contexts, problems = [], []

    def open_(folder: Path, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1200, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(f"{request.url} {request.failure}"))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or problems.append(request.url))
        page.goto((folder / "index.html").as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def opened(open_report: Callable[[Path], Any], reported: tuple[Detector, Evaluation, Path]) -> Any:
    """The page of the report."""
    return open_report(reported[2])


@pytest.fixture(scope="session")
def reported(
    tiny_run: Run, fabric_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Detector, Evaluation, Path]:
    """Return the detector of the tiny run, its evaluation, and the folder of its report."""
    folder = tmp_path_factory.mktemp("report")
    detector = Detector.load(tiny_run.folder, device_target="CPU")
    return detector, write_report(tiny_run.detector_path, detector, find_dataset(fabric_folder), folder), folder
