"""Measure what defective images among the good ones do: which are named, and how far the thresholds move.

    python bench/spoilt.py DATASET... [--shares 1 5 15] [--option=value...]

DATASET is in MVTec AD's layout. Defective test images, of all defect types in turn ("different") or of the type with
the most images ("alike"), are put among the good ones; options are settings of the trainings. The movement of the
thresholds is the factor by which the scores of clean held-out images fall, compared with a calibration without the
spoilt images: with far outliers left out, and with all images kept. Prints a Markdown table.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from report import table
from ssim_ae import Config, Detector, train
from ssim_ae.calibration.calibrate import Calibration, calibrate
from ssim_ae.images.folders import GOOD, Dataset, find_dataset

MARK = "spoilt"
SEED = 1


def defective_images(dataset: Dataset, kind: str) -> list[Path]:
    """Return the defective test images of all types in random order, or those of the most frequent type."""
    images = [(image.defect, image.path) for image in dataset.test if image.defect != GOOD]
    types = [defect for defect, _ in images]
    most_frequent = max(sorted(set(types)), key=types.count)
    chosen = [path for defect, path in images if kind == "different" or defect == most_frequent]
    return [chosen[index] for index in np.random.default_rng(SEED).permutation(len(chosen))]


def spoil(dataset: Dataset, spoilt: Sequence[Path], folder: Path) -> None:
    """Link the good images of a data set and `spoilt` ones, at random places in their order, into a new folder."""
    folder.mkdir(parents=True)
    for index, path in enumerate(dataset.good):
        (folder / f"{index:05d}{path.suffix}").symlink_to(path.resolve())
    places = np.random.default_rng(SEED).choice(len(dataset.good), len(spoilt), replace=False)
    for place, path in zip(places.tolist(), spoilt, strict=True):
        (folder / f"{place:05d}_{MARK}_{path.parent.name}_{path.name}").symlink_to(path.resolve())


def scores(detector: Detector, calibration: Calibration, paths: Sequence[Path]) -> np.ndarray:
    """Return the scores of images with a calibration."""
    calibrated = Detector(
        detector.config,
        calibration.thresholds,
        detector.runtime,
        normal_statistics=calibration.normal_statistics,
    )
    return np.array([calibrated.inspect(path).score for path in paths])


def row(name: str, folder: Path, config: Config) -> list[str]:
    """Train on a spoilt folder and return the cells of its row."""
    run = train(config.replace(dataset_path=str(folder), run_eval=False, drawn_defects=0), runs=folder.parent / "runs")
    detector = Detector.load(run.detector_path)
    split = detector.provenance.split(find_dataset(folder).good)
    spoilt = [path for path in split.held_out + split.training if MARK in path.name]
    clean_held_out, clean_training = (
        [path for path in part if MARK not in path.name] for part in (split.held_out, split.training)
    )
    kept = config.replace(outliers="keep")
    found = calibrate(detector, split.held_out, config, split.training)
    reference = scores(detector, calibrate(detector, clean_held_out, kept, clean_training), clean_held_out)
    movements = [
        float(np.median(reference / scores(detector, calibration, clean_held_out)))
        for calibration in (found, calibrate(detector, split.held_out, kept, split.training))
    ]
    named = [suspect.path for suspect in found.suspects]
    left_out = [suspect.path for suspect in found.suspects if suspect.left_out]
    return [
        name,
        f"{len(spoilt)} ({sum(path in split.held_out for path in spoilt)})",
        f"{sum(path in named for path in spoilt)} of {len(named)}",
        f"{sum(MARK in path.name for path in named[: len(spoilt)])}",
        f"{sum(path in left_out for path in spoilt)} of {len(left_out)}",
        *(f"{movement:.2f}" for movement in movements),
    ]


def rows(options: argparse.Namespace, config: Config, folder: Path) -> Iterator[list[str]]:
    """Yield a row for each data set, kind and share."""
    for place in options.datasets:
        dataset = find_dataset(place)
        for kind in ("different", "alike"):
            images = defective_images(dataset, kind)
            for share in options.shares:
                count = min(max(1, round(len(dataset.good) * share / 100)), len(images))
                target = folder / f"{dataset.name}-{kind}-{share:g}"
                spoil(dataset, images[:count], target)
                yield row(f"{dataset.name}, {kind}, {share:g} %", target, config)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--shares", nargs="+", type=float, default=[1, 5, 15], help="percent of the good images")
    options, settings = parser.parse_known_args()
    given = dict(setting.removeprefix("--").split("=", 1) for setting in settings)
    columns = (
        "data set, kind, share",
        "spoilt (held out)",
        "spoilt of those named",
        "spoilt among as many first named",
        "spoilt of those left out",
        "thresholds move by",
        "with outliers kept",
    )
    with tempfile.TemporaryDirectory() as folder:
        print(table(columns, list(rows(options, Config.read(None, given), Path(folder)))))


if __name__ == "__main__":
    main()
