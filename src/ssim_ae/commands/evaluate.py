"""Measure a detector on test images, with pictures."""

from __future__ import annotations

import argparse

from ssim_ae.commands.options import detector_given, keys_given
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import report_into

EVALUATION_KEYS = (
    *("checkpoint_path", "dataset_path", "img_suffix", "mask_suffix", "save_dir"),
    *("image_level", "ssim_threshold", "l1_threshold", "device_target"),
)


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("detector", nargs="?", help="a detector file, or a run's folder (the config's checkpoint_path)")
    parser.add_argument("folder", nargs="?", help="data set with test images (the one it was trained on)")
    parser.add_argument("--config_path", metavar="YAML", help="settings; the network's are in the detector")
    parser.add_runtime_options()
    parser.add_config_keys(EVALUATION_KEYS)


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.config import Config
    from ssim_ae.detector.detector import Detector, detector_path
    from ssim_ae.detector.detector_file import read_detector
    from ssim_ae.evaluation.evaluate import check_has_test_images
    from ssim_ae.images.folders import find_dataset
    from ssim_ae.locations import local_config, local_path, results_folder, upload_results
    from ssim_ae.storage import new_folder

    asked = Config.read(options.config_path, keys_given(options))
    config = local_config(asked)
    path = detector_path(detector_given(options, config))
    keys = asked.model_fields_set | ({"dataset_path"} if asked.data_url else set())
    given = {key: getattr(config, key) for key in EVALUATION_KEYS if key in keys}
    config = read_detector(path).config.replace(**given)
    root = local_path(options.folder) if options.folder else config.dataset_path
    dataset = find_dataset(root, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    check_has_test_images(dataset)
    how = {"device_target": config.device_target, "runtime": options.runtime, "threads": options.threads}
    detector = Detector.load(path, **how)
    results = asked.train_url or asked.save_dir
    folder = new_folder(results_folder(results), dataset.name)
    report_into(folder, path, detector, dataset, config)
    upload_results(folder, results)
    return 0
