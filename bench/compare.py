"""Measure this project against others, side by side: python bench/compare.py --output results.md

Takes a few minutes on two cores. The first run makes the others' virtual environments beside this file: minutes more,
and 4 GB. A comparison that cannot be made is a row that says why.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compare_inspection import against_network_alone, against_scikit_image, cold_start
from compare_training import against_mindspore, against_own_network, against_stock, whole_training
from peers.case import Case
from report import Row, comparison, document
from ssim_ae.images.folders import find_images

HOW = """Both sides of a row were measured in the same run, on the CPU: the median of several repeats after a warm-up,
and in brackets the least and the most. A cold start is the best of several."""


class Plan(NamedTuple):
    """How much is measured."""

    gray: Case
    colour: Case
    repeats: int
    train_seconds: float
    drawn: int  # images to train on
    photos: int  # to predict
    photo_size: int  # px, of drawn ones
    rounds: int  # of predict
    starts: int  # from cold
    mindspore_batch: int


FULL = Plan(
    gray=Case(crop_size=128, channels=1, z_dim=100, flc=32, batch=128, im_resize=256),
    colour=Case(crop_size=256, channels=3, z_dim=500, flc=32, batch=32, im_resize=266),
    repeats=7,
    train_seconds=20,
    drawn=40,
    photos=300,
    photo_size=448,
    rounds=3,
    starts=5,
    mindspore_batch=8,
)
TOY = Plan(
    gray=Case(crop_size=32, channels=1, z_dim=8, flc=4, batch=2, im_resize=64),
    colour=Case(crop_size=32, channels=3, z_dim=8, flc=4, batch=2, im_resize=42),
    repeats=2,
    train_seconds=0.2,
    drawn=4,
    photos=4,
    photo_size=64,
    rounds=1,
    starts=2,
    mindspore_batch=2,
)


def comparisons(plan: Plan, photos: list[Path], *, peers: bool) -> Iterator[Row]:
    """Yield the rows one comparison after the other, those with other frameworks only with `peers`."""
    if peers:
        yield from against_stock(plan.gray, 4, plan.repeats)
        yield from against_stock(plan.colour, 2.5, plan.repeats)
    for case in (plan.gray, plan.colour):
        yield against_own_network(case, plan.repeats)
    yield whole_training(plan.gray, plan.train_seconds, plan.drawn, plan.repeats)
    if peers:
        yield from against_mindspore(plan.gray, plan.mindspore_batch, plan.repeats)
    yield from against_scikit_image(3 * plan.repeats)
    yield from against_network_alone(plan.colour, photos, plan.photo_size, plan.photos, plan.rounds)
    yield from cold_start(plan.gray, plan.starts)


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="tiny sizes: does it run? The numbers mean nothing")
    parser.add_argument("--without-peers", action="store_true", help="leave out what needs other frameworks")
    parser.add_argument("--images", metavar="FOLDER", help="images to predict (drawn ones)")
    parser.add_argument("--output", metavar="FILE", help="write the table as Markdown")
    options = parser.parse_args()
    photos = list(find_images(Path(options.images))) if options.images else []
    if options.images and not photos:
        parser.error(f"{options.images}: no folder of images")
    rows = []
    for row in comparisons(TOY if options.toy else FULL, photos, peers=not options.without_peers):
        print(f"{row.name}: {row.cells[3]}", file=sys.stderr, flush=True)
        rows.append(row)
    print(comparison(rows))
    if options.output:
        Path(options.output).write_text(document("Side by side", HOW, comparison(rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
