"""The options of commands that write to a log, and the log that they name."""

from __future__ import annotations

import argparse
import socket
from contextlib import AbstractContextManager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.line.inspection_log import InspectionLog

KEPT = ("near", "nok", "all", "none")


def add_log_options(parser: Parser) -> None:
    """Add the options of a command that records what it inspects."""
    group = parser.add_argument_group("log of inspections")
    group.add_argument("--log", metavar="PLACE", help="record every inspection in this folder, or postgresql://...")
    group.add_argument("--station", help="name of this station in the log (the name of this machine)")
    group.add_argument(
        "--keep",
        choices=KEPT,
        help="images that the log keeps: near (nok, and ok near the threshold), nok, all or none (near)",
    )
    group.add_argument("--keep_gb", type=float, help="maximum size of all kept images; the oldest are removed (10)")
    group.add_argument("--keep_days", type=float, help="days that images are kept (30)")
    group.add_argument("--log_images", metavar="FOLDER", help="folder of the kept images (PLACE/images)")


def open_log(options: argparse.Namespace) -> AbstractContextManager[InspectionLog] | None:
    """Open the log that the options name; None if they name none. Raises InputError for options that do not fit."""
    given = ("station", "keep", "keep_gb", "keep_days", "log_images")
    if not options.log:
        for name in given:
            if getattr(options, name) is not None:
                raise InputError(f"--{name}: no effect without --log; add --log PLACE")
        return None
    gigabytes = 10.0 if options.keep_gb is None else options.keep_gb
    days = 30.0 if options.keep_days is None else options.keep_days
    for name, value in (("keep_gb", gigabytes), ("keep_days", days)):
        if not (value >= 0 and isfinite(value)):
            raise InputError(f"--{name}: should be a finite number of at least 0, not {value:g}")
    from ssim_ae.line.inspection_log import InspectionLog
    from ssim_ae.line.kept_images import KeepRule

    return InspectionLog.open(
        options.log,
        station=options.station or socket.gethostname(),
        rule=KeepRule(options.keep or "near", 1e9 * gigabytes, days),
        images=Path(options.log_images) if options.log_images else None,
    )
