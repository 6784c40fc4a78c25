"""Compare expected with observed false-alarm rates, on good images alone: python bench/thresholds.py RUN[=FOLDER]...

The detector of a run (a folder that `ssim-ae train` wrote) scores the good images that it was not trained on: held-out
images, good test images and, if given, the images in FOLDER. In each of 1000 draws, 10, 20, 50 or 200 of them set a
threshold of the score, with `repair` together with training images; the others count as new images. The table has the
mean false-alarm rate on the new images, in brackets the percentage of draws with at most twice the expected rate, and
the ratio of the mean threshold to the median score. A training with `--holdout 0.9` leaves many images.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from report import table
from ssim_ae import Detector, find_dataset
from ssim_ae.calibration.calibrate import MAX_TRAINING_IMAGES
from ssim_ae.calibration.false_alarms import prediction_limit
from ssim_ae.calibration.thresholds import mean_and_deviations
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.images.folders import GOOD, content_hash
from ssim_ae.methods import get_method

DRAWS = 1000
COUNTS = (10, 20, 50, 200)  # images that set the threshold
MIN_NEW_IMAGES = 20  # images that are left to measure the false-alarm rate
OUTLIER_FACTOR = 3  # score of an outlier, in median scores
Estimator = Callable[[np.ndarray], float]


class GoodScores(NamedTuple):
    """Scores of good images under a detector of `method`: those it was not trained on, and training images.

    `training` is empty if the method does not calibrate on training images.
    """

    method: str
    unseen: np.ndarray
    training: np.ndarray


def with_outlier(estimator: Estimator) -> Estimator:
    """Return the estimator with one score replaced by an outlier."""
    return lambda scores: estimator(np.concatenate([[OUTLIER_FACTOR * np.median(scores)], scores[1:]]))


def three_sigma(scores: np.ndarray) -> float:
    """Return the threshold of the estimator k_sigma with k_sigma 3."""
    return mean_and_deviations(scores, 3)


def estimators(scores: GoodScores) -> dict[str, tuple[Estimator, float | None]]:
    """Return the compared estimators by label, with their expected false-alarm rates."""
    use_log = get_method(scores.method).score_distribution == "frechet"

    def at_rate(rate: float) -> Estimator:
        return lambda held_out: prediction_limit(held_out, rate, training_scores=scores.training, use_log=use_log)

    return {
        "false_alarm_rate 1 %": (at_rate(0.01), 0.01),
        "with an outlier": (with_outlier(at_rate(0.01)), 0.01),
        "false_alarm_rate 5 %": (at_rate(0.05), 0.05),
        "max": (lambda scores: float(scores.max()), None),
        "k_sigma 3": (three_sigma, None),
        "k_sigma 3, with an outlier": (with_outlier(three_sigma), None),
    }


def score_good_images(run: Path, folder: Path | None) -> GoodScores:
    """Return the scores of the good images in the data set of a run and in `folder`."""
    file = read_detector(detector_path(run))
    method, trained = file.config.method, set(file.provenance.training_images)
    paths: list[Path] = []
    for root in (Path(file.config.dataset_path), *([folder] if folder else [])):
        dataset = find_dataset(root)
        paths += [*dataset.good, *(image.path for image in dataset.test if image.defect == GOOD)]
    by_content = {content_hash(path): path for path in paths}
    unseen = [path for content, path in by_content.items() if content not in trained]
    training = [path for content, path in by_content.items() if content in trained][:MAX_TRAINING_IMAGES]
    if not get_method(method).calibrates_on_training_images:
        training = []
    detector = Detector.load(run)
    return GoodScores(method, _scores(detector, unseen), _scores(detector, training))


def _scores(detector: Detector, paths: list[Path]) -> np.ndarray:
    return np.array([inspection.score for inspection in detector.inspect_all(paths)])  # type: ignore[union-attr]


def rows(name: str, scores: GoodScores) -> Iterator[list[str]]:
    """Yield a row for each estimator, with a cell for each number of images."""
    for label, (estimator, expected) in estimators(scores).items():
        cells, ratio = [], 0.0
        for count in COUNTS:
            if len(scores.unseen) < count + MIN_NEW_IMAGES:
                cells.append("–")
                continue
            rates, thresholds = simulate(estimator, scores.unseen, count)
            kept = f" ({100 * np.mean(rates <= 2 * expected):.0f})" if expected else ""
            cells.append(f"{100 * rates.mean():.1f} %{kept}")
            ratio = float(np.mean(thresholds) / np.median(scores.unseen))
        yield [f"{name}, {len(scores.unseen)}", label, *cells, f"{ratio:.2f}"]


def simulate(estimator: Estimator, scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the false-alarm rate and the threshold of each draw, if `count` of the scores set the threshold."""
    rng = np.random.default_rng(count)
    draws = [rng.permutation(scores) for _ in range(DRAWS)]
    thresholds = np.array([estimator(draw[:count]) for draw in draws])
    rates = [np.mean(draw[count:] > threshold) for draw, threshold in zip(draws, thresholds, strict=True)]
    return np.array(rates), thresholds


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN[=FOLDER]", help="run, and a folder of more good images")
    options = parser.parse_args()
    lines: list[list[str]] = []
    for argument in options.runs:
        run, _, folder = argument.partition("=")
        lines += rows(Path(run).name, score_good_images(Path(run), Path(folder) if folder else None))
    columns = ("run, unseen images", "estimator", *(f"{count} good images" for count in COUNTS))
    print(table((*columns, "threshold / median score"), lines))


if __name__ == "__main__":
    main()
