"""Train on few good images and evaluate: python bench/image_counts.py MVTEC --work FOLDER [--counts 1 5 20]

From each class (a folder in MVTec AD's layout), `count` good training images are drawn at random and learned from with
the defaults; all test images are evaluated. Each result is a row of results.csv in the work folder; those that the file
has already are not computed again.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from accuracy import Result, append_result, evaluate_run, read_results
from report import table
from ssim_ae import Config, train

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
COLUMNS = ("class", "good images", "ok", "nok", "image AUROC")


def classes_in(root: Path, names: Sequence[str] | None) -> list[Path]:
    """Return the folders of the classes in `root`, those of some names or all."""
    classes = [folder for folder in sorted(root.iterdir()) if (folder / "train" / "good").is_dir()]
    return [folder for folder in classes if not names or folder.name in names]


def good_images(folder: Path) -> list[Path]:
    """Return the good training images of a class."""
    return sorted((folder / "train" / "good").iterdir())


def few_images(folder: Path, count: int, seed: int, work: Path) -> Path:
    """Return a folder with copies of `count` good training images of a class."""
    images = good_images(folder)
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    copies = work / "images" / f"{folder.name}-{count}-{seed}"
    copies.mkdir(parents=True, exist_ok=True)
    for index in sorted(chosen):
        (copies / images[index].name).write_bytes(images[index].read_bytes())
    return copies


def train_and_evaluate(folder: Path, count: int, seed: int, work: Path) -> Result:
    """Train on `count` images of a class, and evaluate on its test images."""
    data = few_images(folder, count, seed, work)
    settings: dict[str, Any] = {"dataset_path": str(data), "seed": seed, "run_eval": False, "drawn_defects": 0}
    run = train(Config(**settings), runs=work / "runs")
    return evaluate_run(run.detector_path, run.folder, folder, str(count), seed)


def main() -> None:
    """Print the mean over the seeds for each class and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="MVTEC", help="folder of classes")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="for runs and results")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="default: all")
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, metavar="N", help="numbers of good images")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "results.csv"
    chosen = classes_in(options.root, options.classes)
    done = {(result.name, result.method, result.seed) for result in read_results(path)}
    for seed, folder, count in product(options.seeds, chosen, options.counts):
        enough = len(good_images(folder)) >= count
        if enough and (folder.name, str(count), seed) not in done:
            append_result(path, train_and_evaluate(folder, count, seed, options.work))
    found = read_results(path)
    rows = []
    for folder, count in product(chosen, options.counts):
        of_count = [result for result in found if (result.name, result.method) == (folder.name, str(count))]
        if of_count:
            means = np.mean([(result.ok, result.nok, result.image_auroc / 100) for result in of_count], axis=0)
            rows.append([folder.name, str(count), *(f"{value:.0f}" for value in means[:2]), f"{means[2]:.3f}"])
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
