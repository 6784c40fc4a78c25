"""Make a candidate of a run from reviewed images, compare it, and adopt it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_version
from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.line.comparison import Compared


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "action", choices=("apply", "adopt"), help="apply: make and compare a candidate; adopt: take it"
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run; ssim-ae threshold RUN --rollback goes back")
    parser.add_argument("--log", metavar="PLACE", help="folder or URL of the log with the reviews")
    parser.add_argument("--log_images", metavar="FOLDER", help="folder of the kept images (PLACE/images)")
    parser.add_argument("--detector", help="name of the detector in the log (that of the run's folder)")
    parser.add_argument(
        "--learn", action="store_true", help="add the confirmed good images to the run (method features)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    folder = Path(options.run)
    if options.action == "adopt":
        if options.log or options.learn or options.log_images or options.detector:
            raise InputError("review adopt: takes the run alone; give no other argument")
        from ssim_ae.line.candidate import adopt

        adopt(folder)
        print_version(folder, options.run)
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


def _print_comparison(compared: list[Compared], candidate: Path) -> None:
    from ssim_ae.console import escape_unprintable
    from ssim_ae.detector.detector_file import read_detector
    from ssim_ae.detector.run_folder import DETECTOR_NAME
    from ssim_ae.line.comparison import GROUPS, SHEET_NAME
    from ssim_ae.tables import Row, print_table

    rows = []
    for group, title in GROUPS.items():
        verdicts = [image.verdicts for image in compared if image.group == group]
        before, after = (sum(pair[index] == "nok" for pair in verdicts) for index in (0, 1))
        rows.append(Row(title, [str(len(verdicts)), str(before), str(after)]))
    print_table("rejected by the current detector, and by the candidate", ["images", "number", "now", "then"], rows)
    for image in compared:
        if image.is_changed:
            former, new = image.verdicts
            name = escape_unprintable(image.name)
            print(f"{former} -> {new}  {image.before:.4f} -> {image.after:.4f}  {GROUPS[image.group]}: {name}")
    if (candidate / SHEET_NAME).exists():
        print(f"pictures: {candidate / SHEET_NAME}")
    print(read_detector(candidate / DETECTOR_NAME).provenance.thresholds)
