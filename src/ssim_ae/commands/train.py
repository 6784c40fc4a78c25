"""Train a detector on good images."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from ssim_ae.commands import INTERRUPTED
from ssim_ae.commands.detectability import add_require_option, check_requirement, print_detectability
from ssim_ae.commands.options import check_given_once, given_settings
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_problem, print_thresholds, print_version, report_and_print
from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.training.learner import Addition
    from ssim_ae.training.train import Run


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", nargs="?", help="good images, or a data set in MVTec AD's layout; --add: a run")
    parser.add_argument(
        "--config_path",
        metavar="YAML",
        help="YAML file with settings; options on the command line override it",
    )
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="folder of all runs (runs)")
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="continue an interrupted run; with --epochs +5 or --minutes +10, train on where a finished one ended",
    )
    parser.add_argument(
        "--add", metavar="FOLDER", help="add the good images of a folder to a finished run of the method features"
    )
    parser.add_argument("--skip-bad", action="store_true", help="skip images that cannot be read")
    add_require_option(parser)
    parser.add_config_keys()


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.config import Config
    from ssim_ae.config.effects import check_have_effect, note_unused_estimators
    from ssim_ae.locations import local_config, local_path, results_folder, upload_results, upload_to_origin
    from ssim_ae.training.train import train

    check_requirement(options)
    given = given_settings(options)
    if options.add is not None:
        return _add_images(options, given)
    if options.folder:
        check_given_once(options, "folder", "dataset_path")
        given["dataset_path"] = options.folder
    add = _addition(given) if options.resume else None
    if options.resume and (given or options.config_path):
        raise InputError(
            "--resume: a run continues with its own settings; give no other settings, "
            "except --epochs +5 or --minutes +10 to add to a finished run"
        )
    config = Config.read(options.config_path, given)
    check_have_effect(given, config)
    note_unused_estimators(config, options.config_path)
    results = config.train_url or options.runs
    if options.resume:
        trained = train(config, resume=local_path(options.resume), add=add, skip_bad=options.skip_bad)
    else:
        trained = train(local_config(config), runs=results_folder(results), skip_bad=options.skip_bad)
    if not trained.is_main:
        return 0
    status = _print_result(trained, options)
    if add:
        print_version(trained.folder, options.resume, report_is_current=trained.config.run_eval)
    if options.resume:
        upload_to_origin(trained.folder, options.resume)
    else:
        upload_results(trained.folder, results)
    if not trained.finished:
        skip = " --skip-bad" if options.skip_bad else ""
        print(f"stopped early; continue with: ssim-ae train --resume {shlex.quote(str(trained.folder))}{skip}")
        return INTERRUPTED
    return status


def _add_images(options: argparse.Namespace, given: dict[str, Any]) -> int:
    """Add images to a run and return the exit status."""
    from ssim_ae.locations import local_path, upload_to_origin
    from ssim_ae.training.add_images import add_images

    if not options.folder or not options.add:
        raise InputError("--add: name the folder of the images and the run: ssim-ae train --add FOLDER RUN")
    if options.resume or options.config_path or given:
        raise InputError("--add: a run keeps its own settings; give no other settings, and no --resume")
    try:
        added = add_images(local_path(options.folder), local_path(options.add), skip_bad=options.skip_bad)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("; nothing is added, the run is as it was") from None
    try:
        status = _print_result(added.run, options, f"{added}\n")
    except KeyboardInterrupt:
        raise KeyboardInterrupt("; the images are added, the report is not written: ssim-ae report RUN") from None
    if added.run.trained:
        print_version(added.run.folder, options.folder, report_is_current=added.run.config.run_eval)
        upload_to_origin(added.run.folder, options.folder)
    return status


def _print_result(trained: Run, options: argparse.Namespace, first: str = "") -> int:
    """Print what the detector of a run finds, write its report, and return the exit status."""
    from ssim_ae.detector.detector import Detector
    from ssim_ae.detector.detector_file import read_detector

    file = read_detector(trained.detector_path)
    print_problem(file)
    print(first, end="", flush=True)
    status = print_detectability(file, options) if trained.finished else 0
    report = trained.folder / "report"
    if trained.finished and trained.config.run_eval and (trained.trained or not report.exists()):
        detector = Detector.load(trained.detector_path, device_target=trained.config.device_target)
        report_and_print(report, trained.detector_path, detector, trained.dataset, trained.config)
    print_thresholds(trained.detector_path, file)
    return status


def _addition(given: dict[str, Any]) -> Addition | None:
    """Take --epochs +N or --minutes +N out of the given settings."""
    from ssim_ae.training.learner import Addition

    added = {key: given.pop(key) for key in Addition._fields if str(given.get(key, "")).startswith("+")}
    if not added:
        return None
    numbers: dict[str, Any] = {}
    for key, kind, noun in (("epochs", int, "a whole number"), ("minutes", float, "a number")):
        try:
            numbers[key] = kind(added.get(key, 0))
        except ValueError as error:
            raise InputError(f"--{key}: should be + and {noun}, not {added[key]}") from error
    return Addition(**numbers)
