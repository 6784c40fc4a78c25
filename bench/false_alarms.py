"""Compare stated with observed false-alarm rates of whole trainings: python bench/false_alarms.py ROOT --work FOLDER

From the good training images of each class in ROOT (MVTec AD's layout), `count` are drawn at random and learned from,
up to the thresholds; all others are new images, which are inspected. Test images are not used. Each draw is a row of
false_alarms.csv in the work folder; those that the file has already are not computed again.

The table has the means over the draws: the rate that the training states (in brackets, if the images that it left out
of the threshold are good), and the rate of new images that were rejected (in brackets, the highest of a draw); then how
many draws rejected at most twice the stated rate.
"""

import argparse
import csv
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from image_counts import classes_in, few_images, good_images
from report import table
from ssim_ae import Config, Detector, train
from ssim_ae.detector.detector_file import read_detector

COLUMNS = ("class", "good images", "draws", "stated, %", "observed, %", "draws with at most twice the stated")


class Draw(NamedTuple):
    """What a training on some good images of a class states, and how many of the new images it rejects."""

    name: str
    method: str
    learned: int
    seed: int
    stated: float  # in [0, 1]
    left_out: int  # of the images, out of the threshold
    new: int
    rejected: int

    @classmethod
    def of_row(cls, row: list[str]) -> Self:
        """Return the draw in a row of a CSV file."""
        name, method, count, seed, stated, *rest = row
        return cls(name, method, int(count), int(seed), float(stated), *map(int, rest))

    @property
    def observed(self) -> float:
        """The share of the new images that are rejected."""
        return self.rejected / self.new

    @property
    def stated_with_left_out(self) -> float:
        """The stated rate, if the images that were left out of the threshold are good."""
        return self.stated + self.left_out / self.learned


def draw(folder: Path, method: str, count: int, seed: int, work: Path) -> Draw:
    """Train on `count` images of a class and inspect its other good training images."""
    images = few_images(folder, count, seed, work)
    settings: dict[str, Any] = {"dataset_path": str(images), "seed": seed, "run_eval": False, "drawn_defects": 0}
    config = Config(method=method, **settings)
    run = train(config, runs=work / "runs")
    learned = {path.name for path in images.iterdir()}
    new = [path for path in good_images(folder) if path.name not in learned]
    scores = [inspection.score for inspection in Detector.load(run.folder).inspect_all(new)]  # type: ignore[union-attr]
    origin = read_detector(run.detector_path).provenance.thresholds
    assert origin.expected
    rejected = sum(score > 1 for score in scores)
    return Draw(folder.name, method, count, seed, origin.expected.rate, origin.left_out_images, len(new), rejected)


def rows(draws: list[Draw]) -> Iterator[list[str]]:
    """Yield a row for each class and number of images."""
    for name, count in dict.fromkeys((each.name, each.learned) for each in draws):
        found = [each for each in draws if (each.name, each.learned) == (name, count)]
        stated, with_left_out, observed = (
            100 * np.array([getattr(each, field) for each in found])
            for field in ("stated", "stated_with_left_out", "observed")
        )
        yield [
            name,
            str(count),
            str(len(found)),
            f"{stated.mean():.1f} ({with_left_out.mean():.1f})",
            f"{observed.mean():.1f} ({observed.max():.1f})",
            f"{np.mean(observed <= 2 * stated):.0%}",
        ]


def main() -> None:
    """Make the draws and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of classes")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="for runs and results")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="default: all")
    parser.add_argument("--method", default="features")
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 20, 50, 100], metavar="N")
    parser.add_argument("--draws", type=int, default=10, metavar="N", help="for each class and count")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "false_alarms.csv"
    found = [Draw.of_row(row) for row in csv.reader(path.read_text().splitlines())] if path.exists() else []
    done = {each[:4] for each in found}
    chosen = classes_in(options.root, options.classes)
    for seed, folder, count in product(range(options.draws), chosen, options.counts):
        enough = len(good_images(folder)) > count
        if not enough or (folder.name, options.method, count, seed) in done:
            continue
        found.append(draw(folder, options.method, count, seed, options.work))
        with path.open("a", newline="") as file:
            csv.writer(file).writerow(found[-1])
    wanted = set(product((folder.name for folder in chosen), [options.method], options.counts))
    print(table(COLUMNS, rows(sorted(each for each in found if each[:3] in wanted))))


if __name__ == "__main__":
    main()
