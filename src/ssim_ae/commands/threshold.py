"""Set new thresholds for a detector: estimated from good images, or given."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.detectability import add_require_option, check_requirement, print_detectability
from ssim_ae.commands.options import given_settings
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_problem, print_thresholds, print_version
from ssim_ae.config.settings import THRESHOLD_SETTINGS
from ssim_ae.errors import InputError

THRESHOLD_KEYS = (
    *("threshold", "false_alarm_rate", "percent", "k_sigma", "min_area", "outliers"),
    *(*THRESHOLD_SETTINGS, "drawn_defects", "regions"),
)


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("detector", help="folder of a run, which keeps its former detector; or detector file")
    parser.add_argument("folder", nargs="?", help="folder of good images (the held-out images of its training)")
    parser.add_argument("--output", metavar="FILE", help="new detector file (a run: its current detector)")
    parser.add_argument("--rollback", action="store_true", help="go back to the former detector of the run")
    parser.add_argument("--force", action="store_true", help="keep thresholds that reject most good images")
    add_require_option(parser)
    parser.add_config_keys(THRESHOLD_KEYS)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.buckets import is_url
    from ssim_ae.detector.detector_file import read_detector
    from ssim_ae.detector.run_folder import run_of
    from ssim_ae.locations import local_output, local_path, upload_to_origin
    from ssim_ae.training.recalibrate import recalibrate

    check_requirement(options)
    if options.rollback and (options.folder or options.output or options.force or given_settings(options)):
        raise InputError("--rollback: takes the run alone; give no other argument")
    detector = Path(local_path(options.detector))
    run = run_of(detector)
    with local_output(options.output) as output:
        if options.rollback:
            target = _roll_back(detector, run)
        else:
            if is_url(options.detector) and not (run or options.output):
                raise InputError("--output: required for a detector file in an object store; name a file")
            good = Path(local_path(options.folder)) if options.folder else None
            target, _ = recalibrate(detector, good, given_settings(options), output, force=options.force)
        file = read_detector(target)
        print_problem(file)
        status = print_detectability(file, options)
        print_thresholds(target, file)
    if run and not (options.output or options.rollback):
        print_version(run, options.detector)
    if detector.is_dir() and not options.output:
        upload_to_origin(detector, options.detector)
    return status


def _roll_back(detector: Path, run: Path | None) -> Path:
    """Make the former version of a run current; return its path."""
    from ssim_ae.detector.run_folder import VERSIONS_NAME, detector_path, roll_back
    from ssim_ae.storage import lock_folder

    path = detector_path(detector)
    if run is None:
        raise InputError(f"{detector}: not a run, so it has no former detector; name the folder of a run")
    with lock_folder(run):
        version = roll_back(run)
    print(f"version {version.number} of {version.total} is the current one again; all are in {run / VERSIONS_NAME}")
    return path
