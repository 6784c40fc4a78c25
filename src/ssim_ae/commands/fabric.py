"""Draw the built-in data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError
from ssim_ae.spelling import nearest


def arguments(parser: Parser) -> None:
    """Say what can be given."""
    parser.add_argument("folder", help="where the class folders are made")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="of twill, canvas, badge (all three)")
    parser.add_argument("--train", type=int, default=100, help="good images to learn from, a class (100)")
    parser.add_argument("--good", type=int, default=20, help="good test images, a class (20)")
    parser.add_argument("--defective", type=int, default=5, help="test images a type of defect (5)")
    parser.add_argument("--size", type=int, default=256, help="height and width, px (256)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same images (0)")


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from ssim_ae.synthetic import fabric

    for name in options.classes or ():
        if name not in fabric.CLASSES:
            raise InputError(f"--classes: unknown class {name!r}{nearest(name, fabric.CLASSES)}")
    if min(options.train, options.good, options.defective) < 1 or options.size < 64 or options.seed < 0:
        raise InputError("--train, --good and --defective should be at least 1, --size at least 64, --seed at least 0")
    folders = fabric.make(
        Path(options.folder),
        classes=options.classes or fabric.CLASSES,
        train=options.train,
        good=options.good,
        defective=options.defective,
        size=options.size,
        seed=options.seed,
    )
    for folder in folders:
        print(folder)
    return 0
