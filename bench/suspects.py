"""Count which images a training names as possibly defective: good ones, and defective ones put among them.

    python bench/suspects.py DATASET... [--counts 10 20 40 100] [--defective 0 1 3] [--seeds 5] [--option=value...]

DATASET is in MVTec AD's layout. For each count and seed, so many of its good images and so many of its defective test
images are drawn at random and trained on; options are settings of the trainings. Prints a Markdown table: in each
cell the good images and the defective images that are named, in all seeds together.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from report import table
from ssim_ae import Config, train
from ssim_ae.calibration.suspects_sheet import LIST_NAME
from ssim_ae.images.exclusions import read_exclusions
from ssim_ae.images.folders import GOOD, Dataset, find_dataset

DEFECTIVE = "defective"


def draw(dataset: Dataset, good: int, defective: int, seed: int, folder: Path) -> None:
    """Link random good and defective images, in random order, into a new folder."""
    rng = np.random.default_rng(seed)
    kinds = {GOOD: (list(dataset.good), good)}
    kinds[DEFECTIVE] = ([image.path for image in dataset.test if image.defect != GOOD], defective)
    images = [
        (kind, paths[index])
        for kind, (paths, count) in kinds.items()
        for index in rng.choice(len(paths), count, replace=False)
    ]
    folder.mkdir(parents=True)
    for place, index in enumerate(rng.permutation(len(images))):
        kind, path = images[index]
        (folder / f"{place:05d}_{kind}{path.suffix}").symlink_to(path.resolve())


def named(folder: Path, config: Config) -> dict[str, int]:
    """Train on a folder; return how many good and defective images are named."""
    run = train(config.replace(dataset_path=str(folder), run_eval=False, drawn_defects=0), runs=folder.parent / "runs")
    listing = run.folder / LIST_NAME
    suspects = read_exclusions(listing, list(folder.iterdir()), folder) if listing.exists() else set()
    return {kind: sum(f"_{kind}." in path.name for path in suspects) for kind in (GOOD, DEFECTIVE)}


def row(dataset: Dataset, good: int, defective: Sequence[int], seeds: int, config: Config) -> Iterator[str]:
    """Yield the cells of a row."""
    yield f"{dataset.name}, {good}"
    for planted in defective:
        found = {GOOD: 0, DEFECTIVE: 0}
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                draw(dataset, good, planted, seed, Path(folder) / "images")
                for kind, count in named(Path(folder) / "images", config).items():
                    found[kind] += count
        of_defective = f"; {found[DEFECTIVE]} of {planted * seeds}" if planted else ""
        yield f"{found[GOOD]} of {good * seeds}{of_defective}"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 20, 40, 100], help="good images")
    parser.add_argument("--defective", nargs="+", type=int, default=[0, 1, 3], help="defective images among them")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each")
    options, settings = parser.parse_known_args()
    config = Config.read(None, dict(setting.removeprefix("--").split("=", 1) for setting in settings))
    columns = ["data set, good images", *(f"with {count} defective" for count in options.defective)]
    rows = [
        list(row(dataset, count, options.defective, options.seeds, config))
        for dataset in map(find_dataset, options.datasets)
        for count in options.counts
        if count <= len(dataset.good)
    ]
    print(table(columns, rows))


if __name__ == "__main__":
    main()
