"""Export a detector for other programs and compare the file with it."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.options import named_detector
from ssim_ae.commands.parser import Parser

if TYPE_CHECKING:
    from ssim_ae.export.export import ExportResult


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    from ssim_ae.export.formats import FORMATS

    precisions = [f"{name}: {', '.join(row.precisions)}" for name, row in FORMATS.items() if len(row.precisions) > 1]
    parser.add_argument("detector", nargs="?", help="detector file or folder of a run (the config's checkpoint_path)")
    parser.add_argument("--format", default="onnx", help=f"{', '.join(FORMATS)} (onnx)")
    parser.add_argument(
        "--graph",
        default="",
        help="inspection: image in, verdict out; network: the network alone (the format's default)",
    )
    parser.add_argument(
        "--precision",
        default="",
        help=f"precision of the weights, the default first; {'; '.join(precisions)}; other formats: fp32",
    )
    parser.add_argument("--output", metavar="FILE", help="exported file (beside the detector)")
    parser.add_argument("--batch_size", type=int, help="graph network: fixed number of patches (any number)")
    parser.add_argument("--opset", type=int, help="graph network: version of the ONNX operators, 11, 12 or 13 (13)")
    parser.add_argument("--soc_version", default="", help="format om: name of the chip (Ascend310)")
    parser.add_argument("--config_path", metavar="YAML", help="settings; only checkpoint_path is used")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.export.export import export
    from ssim_ae.export.options import ExportOptions
    from ssim_ae.export.table import print_export
    from ssim_ae.locations import local_output

    export_options = ExportOptions(**{field.name: getattr(options, field.name) for field in fields(ExportOptions)})
    detector = named_detector(options)
    with local_output(options.output) as output:
        result = export(detector, output, export_options)
        print_export(result)
        if export_options.precision == "int8":
            _print_accuracies(detector, result)
    return 0


def _print_accuracies(detector: Path, result: ExportResult) -> None:
    """Print metrics and speed of the detector and of the exported one, if its data set has test images."""
    from ssim_ae.detector.detector import Detector
    from ssim_ae.export.accuracy import compare_accuracy
    from ssim_ae.export.table import print_accuracies
    from ssim_ae.images.folders import find_dataset

    detectors = [Detector.load(path, runtime="openvino") for path in (detector, result.path)]
    config = detectors[0].config
    if not config.dataset_path:
        return
    dataset = find_dataset(config.dataset_path, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    if dataset.test:
        print_accuracies(("fp32", result.options.precision), compare_accuracy(detectors, dataset))
