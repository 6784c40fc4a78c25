"""Convert a checkpoint of the reference implementation to a detector."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.options import given_settings
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_problem, print_thresholds
from ssim_ae.commands.threshold import THRESHOLD_KEYS

DATA_KEYS = ("dataset", "dataset_path", "img_suffix", "mask_suffix", "grayscale", "bit_depth", "im_resize", "bg_mask")
NETWORK_KEYS = ("crop_size", "z_dim", "flc", "stride")


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("checkpoint", help=".ckpt file of SSIM-AE in the MindSpore model zoo")
    parser.add_argument("--config_path", metavar="YAML", help="settings of its training")
    parser.add_argument("--output", metavar="FILE", help="detector file (beside the checkpoint)")
    parser.add_config_keys((*DATA_KEYS, *NETWORK_KEYS, *THRESHOLD_KEYS))


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.calibration.thresholds import given_thresholds
    from ssim_ae.config import Config
    from ssim_ae.config.effects import check_have_effect
    from ssim_ae.detector.detector_file import read_detector
    from ssim_ae.locations import local_config, local_output, local_path
    from ssim_ae.model_zoo.import_checkpoint import import_reference

    config = local_config(Config.read(options.config_path, {"method": "reference", **given_settings(options)}))
    check_have_effect(given_settings(options), config)
    with local_output(options.output) as output:
        target = import_reference(Path(local_path(options.checkpoint)), config, output)
        if given_thresholds(config) is None:
            file = read_detector(target)
            print_problem(file)
            print_thresholds(target, file)
        else:
            print(f"detector: {target}")
    return 0
