"""Inspect images: a line each."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import ExitStack

from ssim_ae.commands import NOK_FOUND, UNUSABLE
from ssim_ae.commands.parser import Parser


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("detector", help="a detector file, or a run's folder")
    parser.add_argument("images", nargs="+", help="files, folders or patterns")
    parser.add_argument("--csv", metavar="FILE", help="write a line an image")
    parser.add_argument("--json", metavar="FILE", help="write the same as JSON")
    parser.add_argument("--overlays", metavar="FOLDER", help="write a heatmap with the defects outlined, an image each")
    parser.add_argument("--fail-on-nok", action="store_true", help=f"exit with {NOK_FOUND} if an image is defective")
    parser.add_argument("--device_target", default="auto", help="auto, CPU, GPU or Ascend")
    parser.add_runtime()


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.detector.detector import Detector
    from ssim_ae.detector.predictions import csv_table, json_list, predict
    from ssim_ae.images.folders import expand_paths
    from ssim_ae.locations import local, written

    paths = expand_paths([local(place) for place in options.images])
    detector = Detector.load(
        local(options.detector), runtime=options.runtime, device_target=options.device_target, threads=options.threads
    )
    verdicts: Counter[str] = Counter()
    with (
        written(options.overlays) as overlays,
        written(options.csv) as table,
        written(options.json) as document,
        ExitStack() as files,
    ):
        records = [
            files.enter_context(open_(path)) for open_, path in ((csv_table, table), (json_list, document)) if path
        ]
        for prediction in predict(detector, paths, overlays):
            for record in records:
                record(prediction)
            verdicts[prediction.verdict] += 1
            print(prediction, file=sys.stderr if prediction.error else sys.stdout, flush=True)
    if verdicts["error"]:
        return UNUSABLE
    return NOK_FOUND if options.fail_on_nok and verdicts["nok"] else 0
