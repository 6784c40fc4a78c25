"""List runs with their figures, or compare two on a page."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", nargs="?", default="runs", help="folder of all runs (runs)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--compare", nargs=2, metavar="RUN", help="write a page with the figures of two runs")
    parser.add_argument("--output", metavar="FILE", help="page of the comparison (beside the first run)")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.runs.summary import summaries
    from ssim_ae.runs.table import print_runs

    if options.compare:
        from ssim_ae.runs.comparison import compare

        first, second = map(Path, options.compare)
        print(f"comparison: {compare(first, second, Path(options.output) if options.output else None)}")
        return 0
    if options.output:
        raise InputError("--output: no effect without --compare; redirect the output to a file")
    found = summaries(Path(options.folder))
    if options.json:
        print(json.dumps([asdict(summary) for summary in found], indent=1))
    else:
        print_runs(found)
    return 0
