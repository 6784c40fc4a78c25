"""Estimate new thresholds for a detector from good images."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.detectability import add_require_option, check_requirement, print_detectability
from ssim_ae.commands.options import given_settings
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_thresholds

THRESHOLD_KEYS = ("threshold", "false_alarm_rate", "percent", "k_sigma", "min_area", "ssim_threshold", "l1_threshold")


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("detector", help="detector file or folder of a run")
    parser.add_argument("folder", nargs="?", help="folder of good images (the held-out images of its training)")
    parser.add_argument("--output", metavar="FILE", help="new detector file (beside the detector)")
    add_require_option(parser)
    parser.add_config_keys(THRESHOLD_KEYS)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.calibration.recalibrate import recalibrate
    from ssim_ae.locations import local_output, local_path

    check_requirement(options)
    good = Path(local_path(options.folder)) if options.folder else None
    with local_output(options.output) as output:
        target, _ = recalibrate(Path(local_path(options.detector)), good, given_settings(options), output)
        status = print_detectability(target, options)
        print_thresholds(target)
    return status
