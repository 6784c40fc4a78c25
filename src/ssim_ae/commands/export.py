"""Write a detector as one ONNX file that needs no training framework."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.options import detector_given
from ssim_ae.commands.parser import Parser

if TYPE_CHECKING:
    from ssim_ae.export.export import Export


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("detector", nargs="?", help="a detector file, or a run's folder (the config's checkpoint_path)")
    parser.add_argument("--format", default="onnx", help="onnx, openvino, mindir, air or om (onnx)")
    parser.add_argument("--graph", default="", help="inspection: the whole job; network: patches in and out")
    parser.add_argument("--precision", default="", help="of openvino's weights: fp16, fp32 or int8 (fp16)")
    parser.add_argument("--output", metavar="FILE", help="the exported file (beside the detector)")
    parser.add_argument("--batch_size", type=int, help="of the network: patches at once, always as many (any number)")
    parser.add_argument("--opset", type=int, help="of the network: version of ONNX's operators, 11, 12 or 13 (13)")
    parser.add_argument("--soc_version", default="Ascend310", help="of om: the chip (Ascend310)")
    parser.add_argument("--config_path", metavar="YAML", help="settings, of which checkpoint_path is used")


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.export.export import export
    from ssim_ae.export.form import Form
    from ssim_ae.export.table import print_export
    from ssim_ae.locations import written

    keys = ("format", "graph", "precision", "batch_size", "opset", "soc_version")
    form = Form(**{key: getattr(options, key) for key in keys})
    detector = detector_given(options)
    with written(options.output) as output:
        exported = export(detector, output, form)
        print_export(exported)
        if form.precision == "int8":
            _print_accuracies(detector, exported)
    return 0


def _print_accuracies(detector: Path, exported: Export) -> None:
    from ssim_ae.detector.detector import Detector
    from ssim_ae.export.accuracy import accuracies
    from ssim_ae.export.table import print_accuracies
    from ssim_ae.images.folders import find_dataset

    detectors = [Detector.load(path, runtime="openvino") for path in (detector, exported.path)]
    config = detectors[0].config
    dataset = find_dataset(config.dataset_path, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    if dataset.test:
        print_accuracies(("fp32", exported.form.precision), accuracies(detectors, dataset))
