"""Inspect images and print the verdict of each."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import ExitStack

from ssim_ae.commands import INPUT_ERROR, NOK_FOUND
from ssim_ae.commands.parser import Parser


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("detector", help="detector file or folder of a run")
    parser.add_argument("images", nargs="+", help="files, folders or patterns")
    parser.add_argument("--csv", metavar="FILE", help="write a table with one row per image")
    parser.add_argument("--json", metavar="FILE", help="write the same as JSON")
    parser.add_argument("--overlays", metavar="FOLDER", help="write a heatmap with outlined defects for each image")
    parser.add_argument("--fail-on-nok", action="store_true", help=f"exit with {NOK_FOUND} if an image is defective")
    parser.add_argument("--device_target", default="auto", help="auto, CPU, GPU or Ascend (auto)")
    parser.add_runtime_options()


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.console import print_note
    from ssim_ae.detector.detector import Detector
    from ssim_ae.detector.predictions import csv_table, json_list, predict
    from ssim_ae.images.search import expand_paths, is_image_name
    from ssim_ae.locations import local_output, local_path
    from ssim_ae.spelling import counted

    detector = Detector.load(
        local_path(options.detector),
        runtime=options.runtime,
        device_target=options.device_target,
        threads=options.threads,
    )
    suffix = detector.config.img_suffix
    paths, passed_over = expand_paths([local_path(location) for location in options.images], suffix)
    for folder, others in passed_over.items():
        print_note(f"{folder}: passed over: {others}")
    if unlike := sum(not is_image_name(path.name, suffix) for path in paths if suffix):
        print_note(
            f"{counted(unlike, 'file')} without the suffix {suffix} of the images that the detector learned from"
        )
    counts: Counter[str] = Counter()
    with (
        local_output(options.overlays) as overlays,
        local_output(options.csv) as csv_path,
        local_output(options.json) as json_path,
        ExitStack() as files,
    ):
        formats = ((csv_table, csv_path), (json_list, json_path))
        records = [files.enter_context(open_record(path)) for open_record, path in formats if path]
        for prediction in predict(detector, paths, overlays):
            for record in records:
                record(prediction)
            counts[prediction.verdict] += 1
            print(prediction, file=sys.stderr if prediction.error else sys.stdout, flush=True)
    if counts["error"]:
        return INPUT_ERROR
    return NOK_FOUND if options.fail_on_nok and counts["nok"] else 0
