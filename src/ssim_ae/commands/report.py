"""Write a page about a detector: figures, curves, every test image."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.parser import Parser
from ssim_ae.commands.printing import report_into
from ssim_ae.errors import InputError


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("detector", help="a detector file, or a run's folder")
    parser.add_argument("folder", nargs="?", help="data set to show it on (the one it was trained on)")
    parser.add_argument("--output", metavar="FOLDER", help="where the page goes (report, beside the detector)")
    parser.add_argument("--format", metavar="png|svg", help="write the curves as figures for a paper too")
    parser.add_runtime_options()


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.buckets import is_url
    from ssim_ae.detector.detector import DETECTOR_NAME, Detector, detector_path
    from ssim_ae.images.folders import find_dataset
    from ssim_ae.locations import local_output, local_path

    if options.format not in (None, "png", "svg"):
        raise InputError(f"--format: should be png or svg, not {options.format!r}")
    if options.format:
        from ssim_ae.report.plots import write_plots
    if is_url(options.detector) and not options.output:
        raise InputError("--output should say where the page goes: the detector is in an object store")
    path = detector_path(Path(local_path(options.detector)))
    detector = Detector.load(path, runtime=options.runtime, threads=options.threads)
    config = detector.config
    root = local_path(options.folder) if options.folder else config.dataset_path
    if not root:
        raise InputError(f"{path}: does not know what it was trained on; name a data set")
    dataset = find_dataset(root, img_suffix=config.img_suffix, mask_suffix=config.mask_suffix)
    with local_output(options.output) as output:
        folder = output or path.parent / ("report" if path.name == DETECTOR_NAME else f"report-{path.stem}")
        evaluation = report_into(folder, path, detector, dataset, config)
        if options.format:
            for figure in write_plots(evaluation, path.parent, folder, options.format):
                print(f"figure: {figure}")
    return 0
