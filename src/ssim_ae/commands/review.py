"""Make a candidate of a run from reviewed images, compare it, and adopt it."""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_version
from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.line.comparison import Comparison


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "action",
        choices=("apply", "adopt"),
        help="apply: make and compare a candidate; adopt: make it the current detector",
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run; ssim-ae threshold RUN --rollback goes back")
    parser.add_argument(
        "--log",
        metavar="PLACE",
        help="folder or URL of the log with the reviews; with adopt: the log that records the adoption",
    )
    parser.add_argument("--log_images", metavar="FOLDER", help="folder of the kept images (PLACE/images)")
    parser.add_argument("--detector", help="name of the detector in the log (that of the run's folder)")
    parser.add_argument(
        "--learn", action="store_true", help="add the confirmed good images to the run (method features)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    folder = Path(options.run)
    if options.action == "adopt":
        _adopt(folder, options)
        return 0
    if not options.log:
        raise InputError("--log: required; name the log with the reviews")
    from ssim_ae.line.candidate import propose
    from ssim_ae.line.comparison import compare
    from ssim_ae.line.inspection_log import InspectionLog
    from ssim_ae.line.reviews import reviewed_images

    images = Path(options.log_images) if options.log_images else None
    with InspectionLog.open(options.log, images=images, create=False) as log:
        reviewed = list(reviewed_images(log, options.detector or folder.resolve().name))
    candidate = propose(folder, reviewed, learn=options.learn)
    _print_comparison(compare(folder, candidate, reviewed), candidate)
    print(f"adopt it with: ssim-ae review adopt {shlex.quote(options.run)}")
    return 0


def _adopt(folder: Path, options: argparse.Namespace) -> None:
    """Make the candidate the current version, and write who did into the log, if one is named."""
    from ssim_ae.detector.detector_file import read_detector
    from ssim_ae.detector.run_folder import detector_path
    from ssim_ae.line.candidate import adopt
    from ssim_ae.line.inspection_log import InspectionLog
    from ssim_ae.line.version_changes import record_change

    if options.learn or options.log_images or (options.detector and not options.log):
        raise InputError("review adopt: takes the run, --log, and with it --detector; leave out the others")
    log = InspectionLog.open(options.log, station=socket.gethostname(), create=False) if options.log else None
    person = _user()
    with log or nullcontext():
        version = adopt(folder)
        if log:
            name = options.detector or folder.resolve().name
            fingerprint = read_detector(detector_path(folder)).fingerprint
            record_change(log, name, person, "adopted", version.number, fingerprint)
    print_version(folder, options.run)


def _user() -> str:
    """Return the name of the user, or the number, if it has no name here, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _print_comparison(comparison: Comparison, candidate: Path) -> None:
    from ssim_ae.console import escape_unprintable
    from ssim_ae.detector.detector_file import read_detector
    from ssim_ae.detector.run_folder import DETECTOR_NAME
    from ssim_ae.line.comparison import GROUPS, SHEET_NAME
    from ssim_ae.tables import Row, print_table

    rows = [
        Row(group.title, [str(group.images), str(group.rejected_before), str(group.rejected_after)])
        for group in comparison.groups()
    ]
    print_table("rejected by the current detector, and by the candidate", ["images", "number", "now", "then"], rows)
    for image in comparison.changed:
        former, new = image.verdicts
        name = escape_unprintable(image.name)
        print(f"{former} -> {new}  {image.before:.4f} -> {image.after:.4f}  {GROUPS[image.group]}: {name}")
    if (candidate / SHEET_NAME).exists():
        print(f"pictures: {candidate / SHEET_NAME}")
    print(read_detector(candidate / DETECTOR_NAME).provenance.thresholds)
