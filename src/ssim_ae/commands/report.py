"""Write a report: a page with metrics, curves and test images."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import report_and_print
from ssim_ae.errors import InputError


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("detector", help="detector file or folder of a run")
    parser.add_argument("folder", nargs="?", help="data set (the data set of the training)")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder of the report (beside the detector: report, or report-<data set> for another one)",
    )
    parser.add_argument("--format", metavar="png|svg", help="also write the curves as figures for a paper")
    parser.add_runtime_options()


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.buckets import is_url
    from ssim_ae.detector.detector import Detector
    from ssim_ae.detector.run_folder import detector_path
    from ssim_ae.locations import dataset_of, local_output, local_path
    from ssim_ae.report.report import FIGURES, report_folder

    if options.format not in (None, "png", "svg"):
        raise InputError(f"--format: should be png or svg, not {options.format!r}")
    if is_url(options.detector) and not options.output:
        raise InputError("--output: required for a detector in an object store; name a folder")
    path = detector_path(Path(local_path(options.detector)))
    detector = Detector.load(path, runtime=options.runtime, threads=options.threads)
    config = detector.config
    root = local_path(options.folder) if options.folder else config.dataset_path
    if not root:
        raise InputError(f"{path}: its data set is not recorded; name a data set")
    dataset = dataset_of(config, root)
    with local_output(options.output) as output:
        folder = output or report_folder(path, config, dataset)
        report_and_print(folder, path, detector, dataset, config, options.format or "")
        for figure in (folder / f"{name}.{options.format}" for name in FIGURES):
            if figure.exists():
                print(f"figure: {figure}")
    return 0
