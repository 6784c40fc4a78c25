"""The figures of a run, from the files in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ssim_ae.config import Config
from ssim_ae.console import print_note
from ssim_ae.detector.detector_file import CONFIG_NAME, DetectorFile, read_detector
from ssim_ae.detector.run_folder import DETECTOR_NAME, find_runs
from ssim_ae.errors import InputError
from ssim_ae.evaluation.metrics_file import SavedEvaluation, read_evaluation
from ssim_ae.images.folders import ALL
from ssim_ae.storage import is_locked
from ssim_ae.training.history import read_history
from ssim_ae.training.train import is_finished

REPORT_NAME = "report"  # the folder in a run's folder with the report of its data set


@dataclass(frozen=True)
class RunSummary:
    """A run in figures. Rates are in [0, 1]; None for what is not known (yet)."""

    run: str  # the path of its folder
    started: str  # date and time, as in ISO 8601
    dataset: str
    method: str
    state: str  # running, finished or interrupted
    images: int | None  # good images: trained and held out
    epochs: float | None  # of a method that trains in epochs
    minutes: float
    ok: float | None
    nok: float | None
    image_auroc: float | None
    expected_false_alarm_rate: float | None
    evaluated: bool | None  # whether ok, nok and AUROC are those of the current detector; None without any


def summaries(folder: Path) -> list[RunSummary]:
    """Return the runs in a folder, the newest first; note those whose files cannot be read. InputError without any."""
    found = []
    for run in find_runs(folder):
        try:
            found.append(summarize(run))
        except InputError as error:
            print_note(f"skipped: {error}")
    if not found:
        raise InputError(f"{folder}: no runs; name the folder that ssim-ae train --runs names (runs)")
    return found


def summarize(run: Path) -> RunSummary:
    """Return the figures of a run. Raises InputError if a file in its folder is corrupt."""
    config = Config.read(run / CONFIG_NAME)
    started = datetime.fromtimestamp((run / CONFIG_NAME).stat().st_mtime)  # written once, at the start
    path = run / DETECTOR_NAME
    detector = read_detector(path) if path.exists() else None
    evaluation = read_evaluation(run / REPORT_NAME)
    total = evaluation.metrics[ALL] if evaluation else None
    steps, minutes = _duration(run, detector)
    expected = detector.provenance.thresholds.expected if detector else None
    provenance = detector.provenance if detector else None
    return RunSummary(
        run=str(run),
        started=started.isoformat(sep=" ", timespec="minutes"),
        dataset=config.dataset if config.dataset != "none" else Path(config.dataset_path).name,
        method=config.method,
        state="running" if is_locked(run) else "finished" if is_finished(run, config) else "interrupted",
        images=len(provenance.training_images) + len(provenance.held_out_images) if provenance else None,
        epochs=round(steps / config.epoch_steps, 1) if config.uses("epochs") else None,
        minutes=round(minutes, 1),
        ok=total.ok.value if total else None,
        nok=total.nok.value if total else None,
        image_auroc=total.image_auroc.value if total else None,
        expected_false_alarm_rate=expected.rate if expected else None,
        evaluated=_is_of(evaluation, detector) if evaluation else None,
    )


def _duration(run: Path, detector: DetectorFile | None) -> tuple[int, float]:
    """Return the steps and the minutes of a training so far."""
    history = read_history(run)
    if history and (detector is None or history[-1].steps > detector.provenance.steps):
        return history[-1].steps, history[-1].seconds / 60
    return (detector.provenance.steps, detector.provenance.minutes) if detector else (0, 0.0)


def _is_of(evaluation: SavedEvaluation, detector: DetectorFile | None) -> bool:
    """Whether an evaluation is one of a detector: another version has other thresholds."""
    return detector is not None and evaluation.thresholds == dict(detector.thresholds)
