"""Evaluate a detector on test images and write a report."""

from __future__ import annotations

import argparse
from contextlib import suppress

from ssim_ae.commands import jobs
from ssim_ae.commands.detectability import note_weakness
from ssim_ae.commands.options import check_given_once, given_settings, named_detector
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import report_and_print
from ssim_ae.config.settings import THRESHOLD_SETTINGS
from ssim_ae.errors import InputError

EVALUATION_KEYS = (
    *("checkpoint_path", "dataset_path", "img_suffix", "mask_suffix", "save_dir"),
    *("image_level", *THRESHOLD_SETTINGS, "device_target"),
)


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "detector", nargs="?", help="detector file or folder of a run (checkpoint_path of the settings)"
    )
    parser.add_argument(
        "folder", nargs="?", help="data set with test images (the data set of the training); with --ray a manifest"
    )
    parser.add_argument("--config_path", metavar="YAML", help="settings; those of the network come from the detector")
    jobs.add_ray_option(parser)
    parser.add_runtime_options()
    parser.add_config_keys(EVALUATION_KEYS)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.config import Config
    from ssim_ae.detector.detector import Detector
    from ssim_ae.detector.detector_file import read_detector
    from ssim_ae.detector.run_folder import detector_path
    from ssim_ae.evaluation.evaluate import check_has_test_images
    from ssim_ae.images.folders import find_dataset
    from ssim_ae.locations import local_config, local_path, results_folder, upload_results
    from ssim_ae.storage import new_folder

    check_given_once(options, "detector", "checkpoint_path")
    check_given_once(options, "folder", "dataset_path")
    if options.ray:
        return jobs.evaluate(options)
    settings = Config.read(options.config_path, given_settings(options))
    config = local_config(settings)
    path = detector_path(named_detector(options, config))
    keys = settings.model_fields_set | ({"dataset_path"} if settings.data_url else set())
    given = {key: getattr(config, key) for key in EVALUATION_KEYS if key in keys}
    config = read_detector(path).config.replace(**given)
    root = local_path(options.folder) if options.folder else config.dataset_path
    if not root:
        raise InputError(f"{path}: its data set is not recorded; name a data set")
    dataset = find_dataset(root, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    check_has_test_images(dataset)
    detector = Detector.load(path, runtime=options.runtime, device_target=config.device_target, threads=options.threads)
    note_weakness(detector)
    results = settings.train_url or settings.save_dir
    folder = new_folder(results_folder(results), dataset.name)
    try:
        report_and_print(folder, path, detector, dataset, config)
    except BaseException:
        with suppress(OSError):  # not empty: the report is complete
            folder.rmdir()
        raise
    upload_results(folder, results)
    return 0
