"""Print what a detector finds, and what else its file says about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ssim_ae.commands.detectability import (
    MEASURE_COMMAND,
    add_require_option,
    check_requirement,
    detectability_lines,
    requirement_status,
)
from ssim_ae.commands.parser import Parser
from ssim_ae.spelling import significant

if TYPE_CHECKING:
    from ssim_ae.detector.detectability_chart import DetectabilityChart
    from ssim_ae.detector.detector_file import DetectorFile


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument("detector", help="detector file or folder of a run")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    add_require_option(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.detector.detector_file import header, read_detector
    from ssim_ae.detector.run_folder import detector_path
    from ssim_ae.locations import local_path

    check_requirement(options)
    path = detector_path(Path(local_path(options.detector)))
    file = read_detector(path)
    if options.json:
        print(json.dumps({**header(file), "fingerprint": file.fingerprint}, indent=1))
    else:
        print("\n".join(_lines(path, file)))
    return requirement_status(file.detectability, options)


def _lines(path: Path, file: DetectorFile) -> Iterator[str]:
    """Yield the description of a detector: what it finds first."""
    from ssim_ae.maps.residuals import described
    from ssim_ae.spelling import duration

    config, provenance = file.config, file.provenance
    yield f"{path}: {'exported' if file.model else 'trained'} detector, method {config.method}"
    if file.detectability:
        yield from detectability_lines(file)
        yield from _table(file.detectability)
    else:
        yield f"What it finds was not measured; {MEASURE_COMMAND} measures it."
    yield f"thresholds: {described(file.thresholds)}. {provenance.thresholds}"
    if file.regions:
        yield f"regions: {file.regions}"
    yield f"fingerprint: {file.fingerprint}"
    channels = "gray" if config.grayscale else "color"
    patches = f"; patches of {config.crop_size} px" if config.uses("crop_size") else ""
    yield f"images: {channels}, resized to {config.working_size}{patches}"
    if provenance.training_images:
        steps = f"{provenance.steps} steps, " if config.uses("epochs") else ""
        yield (
            f"training: {len(provenance.training_images)} training and {len(provenance.held_out_images)} held-out "
            f"images of {provenance.dataset or 'an unnamed data set'}, "
            f"{steps}{duration(provenance.minutes)} on {provenance.device or 'an unknown device'}"
            f"{'' if provenance.finished else ', not finished'}"
        )
    if provenance.imported_from:
        yield f"imported from: {provenance.imported_from}"
    if provenance.versions:
        yield "versions: " + ", ".join(f"{name} {version}" for name, version in provenance.versions.items())


def _table(chart: DetectabilityChart) -> Iterator[str]:
    """Yield the chart as a table: the share of defects found in percent, by contrast and size."""
    if not chart.found:
        return
    yield "found, %, of drawn defects of " + "".join(f"{f'{significant(size, 3)} px':>8}" for size in chart.sizes)
    for contrast, counts in chart.found.items():
        cells = "".join(f"{100 * count / chart.defects:>8.0f}" for count in counts)
        yield f"{f'  {contrast} contrast':<30}{cells}"
    for tolerance in chart.tolerances:
        cells = ", ".join(
            f"{100 * rejected / tolerance.images:.0f} % at {amount:.3g}"
            for amount, rejected in zip(tolerance.amounts, tolerance.rejected, strict=True)
        )
        yield f"good parts rejected after a change ({tolerance.change}, {tolerance.unit}): {cells}"
