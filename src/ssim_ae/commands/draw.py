"""Draw a built-in data set of synthetic images."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssim_ae.commands.parser import Parser
from ssim_ae.errors import InputError
from ssim_ae.spelling import did_you_mean


def arguments(parser: Parser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "data_set",
        metavar="DATA_SET",
        help="fabric: two textures and a badge, 256 px; connector: wide parts, fine cracks; plate: large images, small "
        "defects; fibers: a random texture, few images",
    )
    parser.add_argument("folder", metavar="FOLDER", help="folder in which one folder for each class is created")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="classes of fabric: twill, canvas, badge (all)")
    parser.add_argument("--train", type=int, help="training images per class (fibers: 5, others: 100)")
    parser.add_argument("--good", type=int, default=20, help="good test images per class (20)")
    parser.add_argument("--defective", type=int, default=5, help="test images per defect type (5)")
    parser.add_argument(
        "--size", type=int, help="width in px (fabric: 256, fibers: 1024, connector: 1280, plate: 2400)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed; equal seeds draw equal images (0)")


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from ssim_ae.synthetic.built_in import DATA_SETS

    if options.data_set not in DATA_SETS:
        hint = did_you_mean(options.data_set, DATA_SETS)
        raise InputError(f"draw: unknown data set {options.data_set!r}{hint}; choose from {', '.join(DATA_SETS)}")
    data_set = DATA_SETS[options.data_set]
    for name in options.classes or ():
        if name not in data_set.classes:
            hint = did_you_mean(name, data_set.classes)
            raise InputError(f"--classes: unknown class {name!r}{hint}; choose from {', '.join(data_set.classes)}")
    if options.size is None:
        options.size = data_set.size
    if options.train is None:
        options.train = data_set.train
    _check_minimum(options, 1, "train", "good", "defective")
    _check_minimum(options, data_set.min_size, "size")
    if options.size > data_set.max_size:
        raise InputError(f"--size: should be at most {data_set.max_size}, not {options.size}")
    _check_minimum(options, 0, "seed")
    folders = data_set.make(
        Path(options.folder),
        classes=options.classes,
        train=options.train,
        good=options.good,
        defective=options.defective,
        size=options.size,
        seed=options.seed,
    )
    for folder in folders:
        print(folder)
    return 0


def _check_minimum(options: argparse.Namespace, minimum: int, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if value < minimum:
            raise InputError(f"--{name}: should be at least {minimum}, not {value}")
