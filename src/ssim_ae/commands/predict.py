"""Inspect images and print the verdict of each."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ssim_ae.commands import INPUT_ERROR, NOK_FOUND, jobs
from ssim_ae.commands.detectability import note_weakness
from ssim_ae.commands.log_options import add_log_options, open_log
from ssim_ae.commands.parser import Parser
from ssim_ae.console import print_message
from ssim_ae.errors import InputError
from ssim_ae.outputs import Output, check_outputs

MAX_THRESHOLD_SCALE = 8  # as the slider of the pages and the sensitivity of the server


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("detector", help="detector file or folder of a run")
    parser.add_argument(
        "images", nargs="+", help="files, folders or patterns; with --output also lists (.txt) and prefixes"
    )
    parser.add_argument("--csv", metavar="FILE", help="write a table with one row per image")
    parser.add_argument("--json", metavar="FILE", help="write the same as a JSON array with one object per image")
    parser.add_argument(
        "--output",
        metavar="PLACE",
        help="any number of images: write the rows to a Parquet file, or in parts to a folder or bucket, continued if "
        "it exists",
    )
    jobs.add_ray_option(parser)
    jobs.add_pictures_option(parser)
    parser.add_argument(
        "--part_images",
        type=int,
        default=jobs.PART_IMAGES,
        metavar="NUMBER",
        help=f"images in a part of --output, on average ({jobs.PART_IMAGES})",
    )
    parser.add_argument("--overlays", metavar="FOLDER", help="write a heatmap with outlined defects for each image")
    parser.add_argument(
        "--threshold_scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help=f"threshold of the score, 1/{MAX_THRESHOLD_SCALE} to {MAX_THRESHOLD_SCALE} times that of the detector (1)",
    )
    parser.add_argument("--fail-on-nok", action="store_true", help=f"exit with {NOK_FOUND} if an image is defective")
    parser.add_argument("--device_target", default="auto", help="auto, CPU, GPU or Ascend (auto)")
    add_log_options(parser)
    parser.add_runtime_options()


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.console import print_note
    from ssim_ae.detector.detector import Detector
    from ssim_ae.detector.predictions import csv_table, json_list, predict
    from ssim_ae.images.search import expand_paths, is_image_name
    from ssim_ae.locations import local_output, local_path
    from ssim_ae.spelling import counted

    scale = options.threshold_scale
    if not 1 / MAX_THRESHOLD_SCALE <= scale <= MAX_THRESHOLD_SCALE:
        limits = f"from {1 / MAX_THRESHOLD_SCALE} to {MAX_THRESHOLD_SCALE}"
        raise InputError(f"--threshold_scale: should be {limits}, not {scale:g}")
    if options.output or options.ray or options.pictures:
        return jobs.predict(options)
    detector = Detector.load(
        local_path(options.detector),
        runtime=options.runtime,
        device_target=options.device_target,
        threads=options.threads,
    )
    note_weakness(detector)
    suffix = detector.config.img_suffix
    paths, skipped = expand_paths([local_path(location) for location in options.images], suffix)
    for folder, others in skipped.items():
        print_note(f"{folder}: skipped: {others}")
    if unlike := sum(not is_image_name(path.name, suffix) for path in paths if suffix):
        print_note(
            f"{counted(unlike, 'file')} without the suffix {suffix} of the images that the detector learned from"
        )
    with (
        local_output(options.overlays) as overlays,
        local_output(options.csv) as csv_path,
        local_output(options.json) as json_path,
        ExitStack() as files,
    ):
        check_outputs(_outputs(paths, overlays, csv_path, json_path), paths)
        formats = ((csv_table, csv_path), (json_list, json_path))
        records = [files.enter_context(open_record(path)) for open_record, path in formats if path]
        reading: dict[str, Any] = {}
        if opened := open_log(options):
            from ssim_ae.line.predictions import PredictionRecorder

            log, path = files.enter_context(opened), Path(local_path(options.detector))
            recorder = PredictionRecorder(log, path, grayscale=detector.config.grayscale, usual=detector.usual)
            records.append(recorder.record)
            reading["read"] = recorder.read
        failures = 0
        counts: Counter[str] = Counter()
        for prediction in predict(detector, paths, overlays, threshold=scale, **reading):
            for record in records:
                record(prediction)
            counts[prediction.verdict] += 1
            failures += bool(prediction.error)
            if prediction.verdict != "error":
                print(prediction, flush=True)
            if prediction.error:
                print_message(f"error  {prediction.error}")
    if failures:
        return INPUT_ERROR
    return NOK_FOUND if options.fail_on_nok and counts["nok"] else 0


def _outputs(paths: list[Path], overlays: Path | None, csv: Path | None, json: Path | None) -> Iterator[Output]:
    """Yield the files that the command writes."""
    from ssim_ae.detector.overlay_names import overlay_names
    from ssim_ae.detector.predictions import CSV_MARK, JSON_MARK
    from ssim_ae.images.own_folders import OVERLAY_MARK

    if overlays and overlays.exists() and not overlays.is_dir():
        raise InputError(f"{overlays}: not a folder; name a folder for --overlays")
    if csv:
        yield Output("--csv", csv, CSV_MARK)
    if json:
        yield Output("--json", json, JSON_MARK)
    if overlays:
        for name in overlay_names(paths):
            yield Output("--overlays", overlays / name, OVERLAY_MARK)
