"""Output that several commands share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssim_ae.config import Config
    from ssim_ae.detector.detector import Detector
    from ssim_ae.detector.detector_file import DetectorFile
    from ssim_ae.evaluation.results import Evaluation
    from ssim_ae.images.folders import Dataset

EXPORTED_SUFFIXES = (".onnx", ".xml", ".mindir", ".air", ".om")


def report_and_print(
    folder: Path, path: Path, detector: Detector, dataset: Dataset, config: Config, figures: str = ""
) -> Evaluation:
    """Write the report of the detector at `path` into `folder`, print its metrics and return them.

    Thresholds that the configuration gives replace those of the detector. `figures` as in `write_report`.
    """
    from ssim_ae.detector.provenance import ThresholdOrigin
    from ssim_ae.report.report import write_report

    thresholds = {**detector.thresholds, **config.given_thresholds}
    if thresholds != detector.thresholds:
        detector.thresholds = thresholds
        detector.provenance = detector.provenance.model_copy(update={"thresholds": ThresholdOrigin()})
    evaluation = write_report(path, detector, dataset, folder, figures)
    print_evaluation(evaluation, dataset, folder, image_level=config.image_level)
    return evaluation


def print_evaluation(evaluation: Evaluation, dataset: Dataset, folder: Path, *, image_level: bool) -> None:
    """Print the metrics, the notes, the path of the report and the summary line of the reference implementation."""
    from ssim_ae.console import print_note
    from ssim_ae.evaluation.table import print_metrics

    if dataset.test:
        print_metrics(evaluation)
    for text in evaluation.notes:
        print_note(text)
    print(f"report: {folder / 'index.html'}", flush=True)
    if dataset.test:
        print(evaluation.reference_line(image_level=image_level), flush=True)


def print_problem(file: DetectorFile) -> None:
    """Print a line if a detector is unusable because it rejects most good images. It comes before all others."""
    if problem := file.provenance.thresholds.problem():
        print(f"UNUSABLE: the detector {problem}", flush=True)


def print_thresholds(path: Path, file: DetectorFile) -> None:
    """Print the thresholds of the detector in the file at `path`, the false alarms to expect and the path."""
    from ssim_ae.maps.residuals import described

    print(f"thresholds: {described(file.thresholds)}. {file.provenance.thresholds}")
    print(f"detector: {path}")


def print_version(run: Path, location: str, *, report_is_current: bool = False) -> None:
    """Print the version that a run has just got, how to go back, and which files are of a former one.

    `location` is the path or URL that the command line names the run by; `report_is_current` if its report is of the
    new version.
    """
    from ssim_ae.console import print_note
    from ssim_ae.detector.run_folder import DETECTOR_NAME, version_paths

    number = version_paths(run)[-1].stem
    print(f"version {number}; back to the former one with: ssim-ae threshold {shlex.quote(location)} --rollback")
    for path in sorted(run.glob(f"{Path(DETECTOR_NAME).stem}.*")):
        if path.suffix in EXPORTED_SUFFIXES:
            print_note(f"{path}: exported from a former version; export again, with --output")
    if (report := run / "report").exists() and not report_is_current:
        print_note(f"{report}: shows a former version; ssim-ae report {shlex.quote(location)} writes it again")
