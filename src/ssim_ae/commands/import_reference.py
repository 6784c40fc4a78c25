"""Make a detector of a checkpoint of the reference system."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.options import keys_given
from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import print_thresholds
from ssim_ae.commands.threshold import THRESHOLD_KEYS


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("checkpoint", help="a .ckpt file of the MindSpore model zoo's SSIM-AE")
    parser.add_argument("--config_path", metavar="YAML", help="the settings it was trained under")
    parser.add_argument("--output", metavar="FILE", help="the detector file (beside the checkpoint)")
    data = ("dataset", "dataset_path", "img_suffix", "mask_suffix", "grayscale", "bit_depth", "im_resize", "bg_mask")
    parser.add_config_keys((*data, "crop_size", "z_dim", "flc", "stride", *THRESHOLD_KEYS))


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.calibration.thresholds import given_thresholds
    from ssim_ae.config import Config
    from ssim_ae.locations import local, local_config, written
    from ssim_ae.model_zoo.import_checkpoint import import_reference

    config = local_config(Config.read(options.config_path, {"method": "reference", **keys_given(options)}))
    with written(options.output) as output:
        target = import_reference(Path(local(options.checkpoint)), config, output)
        if given_thresholds(config) is None:
            print_thresholds(target)
        else:
            print(f"detector: {target}")
    return 0
