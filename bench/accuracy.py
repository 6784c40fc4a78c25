"""Train and evaluate on every class of a folder: python bench/accuracy.py MVTEC --work FOLDER

Each class (a folder in MVTec AD's layout) is learned by each method with each seed, from its good images alone and with
the defaults: `repair`'s, and for `reference` the file in config/ that is named after the class, if there is one.
Thresholds come from held-out good images at the stated false-alarm rate; `reference` is judged by its own percentile
too. Every result is a line of results.csv in the work folder. What is there already is not done again.
"""

import argparse
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import machine
from report import table
from ssim_ae import Config, Detector, evaluate, train
from ssim_ae.calibration.recalibrate import recalibrate
from ssim_ae.images.folders import ALL, find_dataset
from ssim_ae.training.history import read_history

CONFIGS = Path(__file__).parents[1] / "config"
REPAIR, REFERENCE, PERCENTILE = "repair", "reference", "reference, its percentile"
FIGURES = ("ok", "nok", "avg", "image_auroc", "pixel_auroc", "au_pro_30")
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
    "minutes",
    "patches",
)
PUBLISHED = {  # the model zoo's ok / nok / avg with the best epoch and percentile for the test images; always nok
    "bottle": ((90, 98.4, 96.4), 75.9),
    "cable": ((0, 100, 61.3), 61.3),
    "capsule": ((47.8, 91.7, 84.1), 82.6),
    "carpet": ((50, 98.8, 87.1), 76.1),
    "grid": ((100, 94.7, 96.2), 73.1),
    "metal_nut": ((27.2, 91.4, 79.1), 80.9),
}


class Result(NamedTuple):
    """One training, evaluated: shares and areas in per cent."""

    name: str
    method: str
    seed: int
    ok: float
    nok: float
    avg: float
    image_auroc: float
    pixel_auroc: float
    au_pro_30: float
    minutes: float
    patches: int


def learned(folder: Path, method: str, seed: int, work: Path, changes: dict[str, str]) -> Iterator[Result]:
    """Train on one class and yield what comes of it."""
    named = CONFIGS / f"{folder.name}_config.yaml"
    file = named if method == REFERENCE and named.exists() else None
    given = {"dataset_path": str(folder), "seed": str(seed), "method": method, "run_eval": "False"}
    run = train(Config.read(file, given | changes), runs=work / f"{method}-{seed}")
    if not run.finished:
        raise SystemExit("interrupted: what is not finished is not a result")
    yield evaluated(run.detector_path, run.folder, folder, method, seed)
    if method == REFERENCE:
        percentile, _ = recalibrate(run.detector_path, None, {"threshold": "percent"})
        yield evaluated(percentile, run.folder, folder, PERCENTILE, seed)


def evaluated(detector: Path, run: Path, folder: Path, method: str, seed: int) -> Result:
    """Evaluate a detector on the test images."""
    figures = evaluate(Detector.load(detector), find_dataset(folder), run / f"test-{method}").metrics[ALL]
    end = read_history(run)[-1]
    shares = {name: 100 * getattr(figures, name).value for name in FIGURES}
    patches = end.steps * Config.read(run / "config.yaml").batch_size
    return Result(folder.name, method, seed, **shares, minutes=end.seconds / 60, patches=patches)


def read_results(path: Path) -> list[Result]:
    """Return what was done before."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        kinds = Result.__annotations__.items()
        return [Result(*(kind(row[name]) for name, kind in kinds)) for row in csv.DictReader(file)]


def append(path: Path, result: Result) -> None:
    """Write a line."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(Result._fields)
        writer.writerow(result)


def rows(results: Sequence[Result]) -> Iterator[list[str]]:
    """Yield the mean over the seeds, and the worst of them below, class by class, beside what is published."""
    for name in sorted({result.name for result in results}):
        for method in (REPAIR, REFERENCE, PERCENTILE):
            own = [result for result in results if (result.name, result.method) == (name, method)]
            if own:
                yield [name, method, str(len(own)), *_shares(own, mean), *_costs(own)]
                yield ["", "worst", "", *_shares(own, min), "", ""]
        if name in PUBLISHED:
            (ok, nok, avg), always = PUBLISHED[name]
            nothing = ["", "", "", "", ""]
            yield [name, "published, the model zoo's", "1", f"{ok:.1f}", f"{nok:.1f}", f"{avg:.1f}", *nothing]
            yield ["", "always nok", "", "0.0", "100.0", f"{always:.1f}", *nothing]
    for method in (REPAIR, REFERENCE, PERCENTILE):
        own = [result for result in results if result.method == method]
        if len({result.name for result in own}) > 1:
            yield ["all", method, str(len(own)), *_shares(own, mean), *_costs(own)]


def _shares(results: Sequence[Result], of: Callable[[Iterable[float]], float]) -> list[str]:
    return [f"{of(getattr(result, name) for result in results):.1f}" for name in FIGURES]


def _costs(results: Sequence[Result]) -> list[str]:
    return [
        f"{mean(getattr(result, name) for result in results):,.{digits}f}"
        for name, digits in (("minutes", 1), ("patches", 0))
    ]


def main() -> None:
    """Do what is not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds the classes")
    parser.add_argument("--work", type=Path, required=True, help="where runs and results are kept")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="some of them (all)")
    parser.add_argument("--methods", nargs="+", choices=(REPAIR, REFERENCE), default=(REPAIR, REFERENCE))
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--set", nargs="+", default=(), metavar="KEY=VALUE", help="settings for all, such as minutes=5")
    options = parser.parse_args()
    changes = dict(setting.split("=", 1) for setting in options.set)
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "results.csv"
    names = options.classes or sorted(folder.name for folder in options.folder.iterdir() if (folder / "train").is_dir())
    for seed in options.seeds:
        for name in names:
            for method in options.methods:
                if (name, method, seed) not in [result[:3] for result in read_results(path)]:
                    for result in learned(options.folder / name, method, seed, options.work, changes):
                        append(path, result)
    print(machine.description(), end="\n\n")
    print(table(COLUMNS, rows(read_results(path))))


if __name__ == "__main__":
    main()
