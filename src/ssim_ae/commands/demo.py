"""Train and evaluate on the built-in data set of fabrics, in a few minutes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_evaluation, print_problem, print_thresholds


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", nargs="?", default="demo", help="folder for the data set and the runs (demo)")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.demo import demo
    from ssim_ae.detector.detector_file import read_detector

    for run, evaluation in demo(Path(options.folder)):
        file = read_detector(run.detector_path)
        print_problem(file)
        print_evaluation(evaluation, run.dataset, run.folder / "report", image_level=True)
        print_thresholds(run.detector_path, file)
        print(flush=True)
    return 0
