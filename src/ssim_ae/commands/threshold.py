"""Estimate the thresholds of a detector anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.options import keys_given
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_thresholds

THRESHOLD_KEYS = ("threshold", "false_alarm_rate", "percent", "k_sigma", "min_area", "ssim_threshold", "l1_threshold")


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("detector", help="a detector file, or a run's folder")
    parser.add_argument("folder", nargs="?", help="good images (the held-out ones of its training)")
    parser.add_argument("--output", metavar="FILE", help="the new detector file (beside the old one)")
    parser.add_config_keys(THRESHOLD_KEYS)


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.calibration.recalibrate import recalibrate
    from ssim_ae.locations import local, written

    good = Path(local(options.folder)) if options.folder else None
    with written(options.output) as output:
        target, _ = recalibrate(Path(local(options.detector)), good, keys_given(options), output)
        print_thresholds(target)
    return 0
