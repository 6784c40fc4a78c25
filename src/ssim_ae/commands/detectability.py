"""What a detector finds, as `train`, `threshold` and `info` print it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ssim_ae.commands import REQUIREMENT_NOT_MET
from ssim_ae.commands.parser import Parser

if TYPE_CHECKING:
    from ssim_ae.detectability.reasons import Described
    from ssim_ae.detector.detectability_chart import DetectabilityChart
    from ssim_ae.detector.detector_file import DetectorFile

MEASURE_COMMAND = "ssim-ae threshold RUN --drawn_defects 40"  # the default of the setting


def add_require_option(parser: Parser) -> None:
    """Add the option that makes the exit status depend on what the detector finds."""
    parser.add_argument(
        "--require",
        metavar="'90% at 14px'",
        help=f"exit with {REQUIREMENT_NOT_MET} if fewer of the drawn defects of this size (px of the image) and larger "
        "are found; at medium contrast, unless 'low' or 'high' is added",
    )


def print_detectability(file: DetectorFile, options: argparse.Namespace) -> int:
    """Print what a detector finds, and whether it is enough; return the exit status."""
    for line in detectability_lines(file):
        print(line, flush=True)
    return requirement_status(file.detectability, options)


def detectability_lines(file: DetectorFile) -> Iterator[str]:
    """Yield what a detector finds; first, if it is little, that and the reasons."""
    from ssim_ae.detectability.reasons import weakness

    yield from weakness(file)
    if file.detectability:
        yield file.detectability.summary()


def note_weakness(detector: Described) -> None:
    """Print a note if a detector that is used finds little."""
    from ssim_ae.console import print_note
    from ssim_ae.detectability.reasons import weakness

    if lines := weakness(detector):
        print_note(" ".join(lines))


def check_requirement(options: argparse.Namespace) -> None:
    """Raise InputError, before any work, if the option --require cannot be understood."""
    from ssim_ae.detector.requirement import Requirement

    if options.require is not None:
        Requirement.parse(options.require)


def requirement_status(chart: DetectabilityChart | None, options: argparse.Namespace) -> int:
    """Return the exit status, and print why it is not 0."""
    from ssim_ae.console import print_message
    from ssim_ae.detector.requirement import Requirement
    from ssim_ae.errors import InputError

    if options.require is None:
        return 0
    requirement = Requirement.parse(options.require)
    if not chart:
        raise InputError(f"--require: what the detector finds was not measured; run {MEASURE_COMMAND}")
    if requirement.is_met_by(chart):
        return 0
    share = chart.share_at(requirement.size, requirement.contrast)
    print_message(f"--require: not met: {requirement}; the detector finds {int(1000 * share) / 10:g} %")
    return REQUIREMENT_NOT_MET
