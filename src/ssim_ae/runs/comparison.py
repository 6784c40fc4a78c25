"""Compare two runs on a page: settings, figures, and the images with different verdicts."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ssim_ae.config import Config
from ssim_ae.detector.run_folder import config_path, detector_path
from ssim_ae.errors import InputError
from ssim_ae.evaluation.image_files import thumbnail
from ssim_ae.evaluation.metrics_file import SavedEvaluation, SavedMetrics, SavedResult, read_evaluation
from ssim_ae.evaluation.table import HEADINGS
from ssim_ae.images.folders import ALL
from ssim_ae.outputs import short_path
from ssim_ae.pages.page import render_page
from ssim_ae.runs.summary import REPORT_NAME, RunSummary, summarize
from ssim_ae.storage import write_atomic

METRICS = ("ok", "nok", "avg", "image_auroc", "pixel_auroc", "au_pro_30")
MAX_SHOWN_IMAGES = 200  # on a page


class _ComparedRun(NamedTuple):
    """A run, and what the report of its data set says."""

    folder: Path
    config: Config
    summary: RunSummary
    evaluation: SavedEvaluation

    @property
    def metrics(self) -> SavedMetrics:
        return self.evaluation.metrics[ALL]


class _Pair(NamedTuple):
    """An image that both runs were evaluated on: its name in each, and its results."""

    names: tuple[str, str]
    results: tuple[SavedResult, SavedResult]


def compare(first: Path, second: Path, output: Path | None = None) -> Path:
    """Write a page that compares two runs, by the reports in their folders; return its path.

    The page is one file. Raises InputError if a run has no report, or if `output` exists.
    """
    if output and output.exists():
        raise InputError(f"{output}: exists already; name another file with --output")
    runs = (_read(first), _read(second))
    path = output or first.parent / f"{first.name}-and-{second.name}.html"
    title = " and ".join(run.folder.resolve().name for run in runs)
    write_atomic(path, render_page("runs", title, _page_data(runs), ("comparison.js",)))
    return path


def _read(run: Path) -> _ComparedRun:
    detector_path(run)  # raises an InputError if the folder is no run
    if not run.is_dir():
        raise InputError(f"{run}: a file; name the folder of a run")
    evaluation = read_evaluation(run / REPORT_NAME)
    if evaluation is None:
        raise InputError(f"{run}: no report to compare; write one with: ssim-ae report {shlex.quote(str(run))}")
    return _ComparedRun(run, Config.read(config_path(run)), summarize(run), evaluation)


def _page_data(runs: tuple[_ComparedRun, _ComparedRun]) -> dict[str, Any]:
    """Return the data that comparison.js reads."""
    pairs = _pairs(*(run.evaluation.images for run in runs))
    differing = [pair for pair in pairs if pair.results[0].rejected != pair.results[1].rejected]
    return {
        "names": [run.folder.resolve().name for run in runs],
        "figures": [*_training_rows(runs), *_metric_rows(runs)],
        "settings": _differing_settings(runs),
        "notes": list(_notes(runs, len(pairs), len(differing))),
        "images": [_image(runs, pair) for pair in differing[:MAX_SHOWN_IMAGES]],
    }


def _pairs(first: dict[str, SavedResult], second: dict[str, SavedResult]) -> list[_Pair]:
    """Return the images that are in both evaluations: files with the same content."""
    by_hash = {result.sha256: name for name, result in second.items() if result.sha256}
    return [
        _Pair((name, by_hash[result.sha256]), (result, second[by_hash[result.sha256]]))
        for name, result in first.items()
        if result.sha256 in by_hash
    ]


def _training_rows(runs: tuple[_ComparedRun, _ComparedRun]) -> Iterator[tuple[str, list[str]]]:
    """Yield figures of the trainings: a name, and the value of each run as text."""
    both = [run.summary for run in runs]
    yield "data set", [run.dataset for run in both]
    yield "method", [run.method for run in both]
    yield "started", [run.started for run in both]
    yield "state", [run.state for run in both]
    yield "good images", ["–" if run.images is None else str(run.images) for run in both]
    yield "epochs", ["–" if run.epochs is None else f"{run.epochs:g}" for run in both]
    yield "minutes", [f"{run.minutes:g}" for run in both]
    yield "expected false alarms", [_percent(run.expected_false_alarm_rate) for run in both]


def _metric_rows(runs: tuple[_ComparedRun, _ComparedRun]) -> Iterator[tuple[str, list[str]]]:
    """Yield the metrics with their intervals, in percent."""
    yield "test images", [f"{run.metrics.good} good, {run.metrics.defective} defective" for run in runs]
    for key in METRICS:
        estimates = [getattr(run.metrics, key) for run in runs]
        yield HEADINGS[key], [_percent(estimate.value, estimate.low, estimate.high) for estimate in estimates]


def _percent(value: float | None, low: float | None = None, high: float | None = None) -> str:
    if value is None:
        return "–"
    interval = "" if low is None or high is None else f" ({100 * low:.0f}–{100 * high:.0f})"
    return f"{100 * value:.1f} %{interval}"


def _differing_settings(runs: tuple[_ComparedRun, _ComparedRun]) -> list[tuple[str, list[str]]]:
    """Return the settings in which the runs differ, each with both values."""
    used = [
        run.config.portable_settings() | {key: Path(getattr(run.config, key)).name for key in ("exclude", "regions")}
        for run in runs
    ]
    values = {key: [str(settings.get(key, "–")) for settings in used] for key in Config.model_fields}
    return [(key, both) for key, both in values.items() if both[0] != both[1]]


def _notes(runs: tuple[_ComparedRun, _ComparedRun], common: int, differing: int) -> Iterator[str]:
    counts = [len(run.evaluation.images) for run in runs]
    if not common:
        yield "The runs were evaluated on different images: their metrics cannot be compared."
    elif set(counts) != {common}:
        yield f"{common} images are in both evaluations, of {counts[0]} and {counts[1]}; the metrics are of all."
    for run in runs:
        if run.summary.evaluated is False:
            name = run.folder.resolve().name
            yield f"{name}: the metrics are of a former version; ssim-ae report {run.folder} evaluates the current one."
    if differing > MAX_SHOWN_IMAGES:
        yield f"The first {MAX_SHOWN_IMAGES} of {differing} images with different verdicts are shown."


def _image(runs: tuple[_ComparedRun, _ComparedRun], pair: _Pair) -> dict[str, Any]:
    """Return an image with both verdicts and overlays."""
    sides = zip(runs, pair.names, pair.results, strict=True)
    return {
        "name": pair.names[0],
        "original": _data_url(runs[0], f"{short_path(pair.names[0])}_origin.png"),
        "sides": [
            {
                "overlay": _data_url(run, f"{short_path(name)}_visual.png"),
                "verdict": "nok" if result.rejected else "ok",
                "score": result.score,
                "correct": result.correct,
            }
            for run, name, result in sides
        ],
    }


def _data_url(run: _ComparedRun, name: str) -> str:
    """Return a file of the report as a small JPEG in a data URL; empty if it cannot be read."""
    try:
        with Image.open(run.folder / REPORT_NAME / "images" / name) as image:
            small = thumbnail(image.convert("RGB"))
    except OSError:
        return ""
    return f"data:image/jpeg;base64,{b64encode(small).decode()}"
