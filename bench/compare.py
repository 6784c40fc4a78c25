"""Compare the speed with other implementations: python bench/compare.py --output results.md

Takes a few minutes on two cores. The first run also installs the other implementations in virtual environments beside
this file, which takes minutes more and 4 GB. A comparison that cannot be measured is a row with the reason.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compare_inspection import cold_start_rows, predict_rows, scikit_image_rows
from compare_training import mindspore_rows, own_network_row, stock_pytorch_rows, train_row
from peers.case import Case
from report import Row, comparison, document
from ssim_ae.images.search import find_images

METHOD = """Both measurements of a row come from the same run, on the CPU. Durations and rates are medians of several
repeats after a warm-up, with minimum and maximum in brackets. A cold start is the minimum of several."""


class Plan(NamedTuple):
    """Workloads and numbers of repeats."""

    gray: Case
    color: Case
    gray_step_target: float  # speedup of the training step over stock PyTorch
    color_step_target: float
    repeats: int
    train_seconds: float
    training_images: int
    predicted_images: int
    image_size: int  # px, of synthetic images to predict
    predict_repeats: int
    cold_starts: int
    mindspore_batch: int  # for MindSpore with default settings, which is slow


FULL = Plan(
    gray=Case(crop_size=128, channels=1, z_dim=100, flc=32, batch=128, im_resize=256),
    color=Case(crop_size=256, channels=3, z_dim=500, flc=32, batch=32, im_resize=266),
    gray_step_target=4,
    color_step_target=2.5,
    repeats=7,
    train_seconds=20,
    training_images=40,
    predicted_images=300,
    image_size=448,
    predict_repeats=3,
    cold_starts=5,
    mindspore_batch=8,
)
TOY = Plan(
    gray=Case(crop_size=32, channels=1, z_dim=8, flc=4, batch=2, im_resize=64),
    color=Case(crop_size=32, channels=3, z_dim=8, flc=4, batch=2, im_resize=42),
    gray_step_target=4,
    color_step_target=2.5,
    repeats=1,
    train_seconds=0.2,
    training_images=4,
    predicted_images=4,
    image_size=64,
    predict_repeats=1,
    cold_starts=1,
    mindspore_batch=2,
)


def comparisons(plan: Plan, images: list[Path], *, peers: bool) -> Iterator[Row]:
    """Yield the rows, one comparison after the other; those with other frameworks only with `peers`."""
    if peers:
        yield from stock_pytorch_rows(plan.gray, plan.gray_step_target, plan.repeats)
        yield from stock_pytorch_rows(plan.color, plan.color_step_target, plan.repeats)
    for case in (plan.gray, plan.color):
        yield own_network_row(case, plan.repeats)
    yield train_row(plan.gray, plan.train_seconds, plan.training_images, plan.repeats)
    if peers:
        yield from mindspore_rows(plan.gray, plan.mindspore_batch, plan.repeats)
    yield from scikit_image_rows(3 * plan.repeats)
    yield from predict_rows(plan.color, images, plan.image_size, plan.predicted_images, plan.predict_repeats)
    yield from cold_start_rows(plan.gray, plan.cold_starts)


def main() -> None:
    """Measure, print the table, and write it if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to test the script; the results mean nothing")
    parser.add_argument("--without-peers", action="store_true", help="skip comparisons that need other frameworks")
    parser.add_argument("--images", metavar="FOLDER", help="images to predict (default: synthetic images)")
    parser.add_argument("--output", metavar="FILE", help="write the table as Markdown")
    options = parser.parse_args()
    images = list(find_images(Path(options.images))) if options.images else []
    if options.images and not images:
        parser.error(f"{options.images}: no images found; name a folder of images")
    rows = []
    for row in comparisons(TOY if options.toy else FULL, images, peers=not options.without_peers):
        print(f"{row.name}: {row.cells[3]}", file=sys.stderr, flush=True)
        rows.append(row)
    print(comparison(rows))
    if options.output:
        text = document("Comparison with other implementations", METHOD, comparison(rows))
        Path(options.output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
