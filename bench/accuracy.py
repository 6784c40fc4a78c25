"""Train and evaluate on every class of a folder: python bench/accuracy.py MVTEC --work FOLDER

Each class (a folder in MVTec AD's layout) is trained with each method and seed, on its good images alone. Settings are
the defaults of the method and, for `reference`, those of the file in config/ that is named after the class, if there is
one. Thresholds are estimated from held-out good images at the expected false-alarm rate of the settings; `reference` is
evaluated with its own percentile as well. With --equal_brightness, all images are scaled to the same median first. Each
result is a row of results.csv in the work folder. Results that the file has already are not computed again.
"""

import argparse
import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np

import machine
from report import table
from ssim_ae import Config, Detector, evaluate, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.files import read_image, write_png
from ssim_ae.images.folders import ALL, find_dataset
from ssim_ae.methods import METHOD_ORDER
from ssim_ae.training.recalibrate import recalibrate

CONFIGS = Path(__file__).parents[1] / "config"
REFERENCE = "reference"
REFERENCE_PERCENT = "reference, percent"  # with the threshold estimator of the reference
SHOWN = (*METHOD_ORDER, REFERENCE_PERCENT)
METRICS = ("ok", "nok", "avg", "image_auroc", "pixel_auroc", "au_pro_30")
COLUMNS = (
    "class",
    "method",
    "seeds",
    "ok",
    "nok",
    "avg",
    "image AUROC",
    "pixel AUROC",
    "AU-PRO .3",
    "seconds",
)
# By class: ok, nok and avg of the model zoo, with the epoch and percentile that are best on the test images; avg if all
# test images are rejected.
PUBLISHED = {
    "bottle": ((90, 98.4, 96.4), 75.9),
    "cable": ((0, 100, 61.3), 61.3),
    "capsule": ((47.8, 91.7, 84.1), 82.6),
    "carpet": ((50, 98.8, 87.1), 76.1),
    "grid": ((100, 94.7, 96.2), 73.1),
    "metal_nut": ((27.2, 91.4, 79.1), 80.9),
}


class Result(NamedTuple):
    """The evaluation of one training. Metrics are in per cent."""

    name: str
    method: str
    seed: int
    ok: float
    nok: float
    avg: float
    image_auroc: float
    pixel_auroc: float
    au_pro_30: float
    seconds: float  # of the training


def train_and_evaluate(folder: Path, method: str, seed: int, work: Path, changes: dict[str, str]) -> Iterator[Result]:
    """Train on one class and yield the results of the detector."""
    class_config = CONFIGS / f"{folder.name}_config.yaml"
    file = class_config if method == REFERENCE and class_config.exists() else None
    given = {"dataset_path": str(folder), "seed": str(seed), "method": method, "run_eval": "False"}
    run = train(Config.read(file, given | changes), runs=work / f"{method}-{seed}")
    if not run.finished:
        raise SystemExit(f"{run.folder}: training interrupted; start the benchmark again")
    yield evaluate_run(run.detector_path, run.folder, folder, method, seed)
    if method == REFERENCE:
        recalibrated, _ = recalibrate(
            run.folder, None, {"threshold": "percent"}, run.folder / "percent.safetensors", force=True
        )
        yield evaluate_run(recalibrated, run.folder, folder, REFERENCE_PERCENT, seed)


def evaluate_run(detector: Path, run: Path, folder: Path, method: str, seed: int) -> Result:
    """Evaluate a detector on the test images of a class."""
    metrics = evaluate(Detector.load(detector), find_dataset(folder), run / f"test-{method}").metrics[ALL]
    values = {name: 100 * getattr(metrics, name).value for name in METRICS}
    return Result(folder.name, method, seed, **values, seconds=60 * read_detector(detector).provenance.minutes)


def equalized(folder: Path, work: Path) -> Path:
    """Return a copy of a class in which all images have the median brightness of the median training image."""
    copy = work / "equal_brightness" / folder.name
    if copy.exists():
        return copy
    paths = sorted(path for part in ("train", "test") for path in (folder / part).rglob("*") if path.is_file())
    training = [path for path in paths if path.is_relative_to(folder / "train")]
    target = median(float(np.median(read_image(path))) for path in training)
    for path in paths:
        image = read_image(path)
        factor = target / max(1.0, float(np.median(image)))
        new = copy / path.relative_to(folder)
        new.parent.mkdir(parents=True, exist_ok=True)
        write_png(new.with_suffix(".png"), np.clip(np.rint(image * factor), 0, 255).astype(np.uint8))
    if (folder / "ground_truth").exists():
        shutil.copytree(folder / "ground_truth", copy / "ground_truth")
    return copy


def read_results(path: Path) -> list[Result]:
    """Return the results in a CSV file; none if it does not exist."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        types = Result.__annotations__.items()
        return [Result(*(convert(row[name]) for name, convert in types)) for row in csv.DictReader(file)]


def append_result(path: Path, result: Result) -> None:
    """Append a result to a CSV file, which is created if needed."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(Result._fields)
        writer.writerow(result)


def rows(results: Sequence[Result]) -> Iterator[list[str]]:
    """Yield mean and minimum over the seeds by class and method, published metrics, and the means over all classes."""
    for name in sorted({result.name for result in results}):
        for method in SHOWN:
            found = [result for result in results if (result.name, result.method) == (name, method)]
            if found:
                yield [name, method, str(len(found)), *_metrics(found, mean), _seconds(found)]
                yield ["", "worst", "", *_metrics(found, min), ""]
        if name in PUBLISHED:
            (ok, nok, avg), avg_all_rejected = PUBLISHED[name]
            empty = ["", "", "", ""]
            yield [name, "model zoo, published", "1", f"{ok:.1f}", f"{nok:.1f}", f"{avg:.1f}", *empty]
            yield ["", "all rejected", "", "0.0", "100.0", f"{avg_all_rejected:.1f}", *empty]
    for method in SHOWN:
        found = [result for result in results if result.method == method]
        if len({result.name for result in found}) > 1:
            yield ["all", method, str(len(found)), *_metrics(found, mean), _seconds(found)]


def _metrics(results: Sequence[Result], aggregate: Callable[[Iterable[float]], float]) -> list[str]:
    return [f"{aggregate(getattr(result, name) for result in results):.1f}" for name in METRICS]


def _seconds(results: Sequence[Result]) -> str:
    return f"{mean(result.seconds for result in results):,.0f}"


def main() -> None:
    """Train and evaluate all that is missing in results.csv, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="parent folder of the classes")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and results")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="train only these classes")
    parser.add_argument("--methods", nargs="+", choices=METHOD_ORDER, default=METHOD_ORDER)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument(
        "--set", nargs="+", default=(), metavar="KEY=VALUE", help="settings of all trainings, such as minutes=5"
    )
    parser.add_argument("--equal_brightness", action="store_true", help="scale all images to the same median first")
    options = parser.parse_args()
    changes = dict(setting.split("=", 1) for setting in options.set)
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "results.csv"
    names = options.classes or sorted(folder.name for folder in options.folder.iterdir() if (folder / "train").is_dir())
    for seed, name, method in product(options.seeds, names, options.methods):
        if (name, method, seed) not in [result[:3] for result in read_results(path)]:
            folder = options.folder / name
            if options.equal_brightness:
                folder = equalized(folder, options.work)
            for result in train_and_evaluate(folder, method, seed, options.work, changes):
                append_result(path, result)
    print(machine.description(), end="\n\n")
    print(table(COLUMNS, rows(read_results(path))))


if __name__ == "__main__":
    main()
