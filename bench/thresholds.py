"""Promised false alarms against met ones, on good images alone: python bench/thresholds.py RUN[=FOLDER]...

A run (a folder made by `ssim-ae train`) scores the good images it was not made from: those held out, the good test
images, and those of FOLDER, if one is named. Of these, 10, 20, 50 and 200 are drawn a thousand times to set the limit,
with `repair` beside those it learned from, and the others are asked. Told are the mean share of them above the limit,
in brackets the share of draws that keep twice the promise, and how far the limit lies from the median score. A train
with `--holdout 0.9` leaves many.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from report import table
from ssim_ae import Detector, find_dataset
from ssim_ae.calibration.calibrate import MOST_LEARNED
from ssim_ae.calibration.false_alarms import prediction_limit
from ssim_ae.calibration.thresholds import mean_and_deviations
from ssim_ae.detector.detector import detector_path
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.images.folders import GOOD, content_hash

DRAWS = 1000
COUNTS = (10, 20, 50, 200)
LEFT = 20  # images to be asked, at least
Estimator = Callable[[np.ndarray], float]


def with_spoilt(estimator: Estimator) -> Estimator:
    """Return the estimator of scores of which one is three times as high as it should be."""
    return lambda scores: estimator(np.concatenate([[3 * np.median(scores)], scores[1:]]))


def three_sigma(scores: np.ndarray) -> float:
    """Return k_sigma's limit."""
    return mean_and_deviations(scores, 3)


def estimators(method: str, learned: np.ndarray) -> dict[str, tuple[Estimator, float | None]]:
    """Return the limits to be compared, for a detector's method and its learned scores, and the rates they promise."""

    def at_rate(rate: float) -> Estimator:
        return lambda scores: prediction_limit(scores, rate, training_scores=learned, log_scores=method == "repair")

    return {
        "false_alarm_rate 1 %": (at_rate(0.01), 0.01),
        "with a spoilt image": (with_spoilt(at_rate(0.01)), 0.01),
        "false_alarm_rate 5 %": (at_rate(0.05), 0.05),
        "max": (lambda scores: float(scores.max()), None),
        "k_sigma 3": (three_sigma, None),
        "k_sigma 3, with a spoilt image": (with_spoilt(three_sigma), None),
    }


def scores_of(run: Path, folder: Path | None) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the detector's method, the scores of good images that it has not learned from, and of those it has.

    The latter are none where they say nothing of the limit.
    """
    file = read_detector(detector_path(run))
    learned = set(file.provenance["trained_images"])
    paths: list[Path] = []
    for root in (Path(file.config.dataset_path), *([folder] if folder else [])):
        dataset = find_dataset(root)
        paths += [*dataset.good, *(image.path for image in dataset.test if image.defect == GOOD)]
    by_content = {content_hash(path): path for path in paths}
    detector, method = Detector.load(run), file.config.method
    unseen = [path for key, path in by_content.items() if key not in learned]
    known = [path for key, path in by_content.items() if key in learned and method == "repair"][:MOST_LEARNED]
    scores = [np.array([found.score for found in detector.inspect_all(group)]) for group in (unseen, known)]  # type: ignore[union-attr]
    return method, scores[0], scores[1]


def rows(name: str, method: str, scores: np.ndarray, learned: np.ndarray) -> Iterator[list[str]]:
    """Yield what each estimator does."""
    for label, (estimator, promised) in estimators(method, learned).items():
        cells, reach = [], 0.0
        for count in COUNTS:
            if len(scores) < count + LEFT:
                cells.append("–")
                continue
            rng = np.random.default_rng(count)
            draws = [rng.permutation(scores) for _ in range(DRAWS)]
            limits = np.array([estimator(draw[:count]) for draw in draws])
            met = np.array([np.mean(draw[count:] > above) for draw, above in zip(draws, limits, strict=True)])
            kept = f" ({100 * np.mean(met <= 2 * promised):.0f})" if promised else ""
            cells.append(f"{100 * met.mean():.1f} %{kept}")
            reach = float(np.mean(limits) / np.median(scores))
        yield [f"{name}, {len(scores)}", label, *cells, f"{reach:.2f}"]


def main(runs: list[str]) -> None:
    """Print a Markdown table."""
    found: list[list[str]] = []
    for given in runs:
        run, _, folder = given.partition("=")
        found += rows(Path(run).name, *scores_of(Path(run), Path(folder) if folder else None))
    columns = ("run, unseen images", "limit", *(f"{count} good images" for count in COUNTS), "limit / median score")
    print(table(columns, found))


if __name__ == "__main__":
    main(sys.argv[1:])
