"""Compare the threshold estimators on good images alone: python bench/thresholds.py RUN...

For every run (a folder made by `ssim-ae train`) each estimator sets its thresholds on 5, 10 and 20 of the held-out good
images, drawn ten times, and is asked about the others. Told are the share of unseen good images called defective, and
the mean score of unseen good images: the higher, the tighter the limit. No test image is opened.
"""

import sys
from pathlib import Path

import numpy as np

from ssim_ae import Detector, find_dataset
from ssim_ae.config import Config
from ssim_ae.detection.detector import detector_path
from ssim_ae.detection.detector_file import read_detector
from ssim_ae.detection.residuals import Residuals, anomaly_map
from ssim_ae.detection.thresholds import estimate
from ssim_ae.images.folders import content_hash

SPLITS = 10
COUNTS = (5, 10, 20)
CANDIDATES = {
    "percent 98": {"threshold": "percent", "percent": 98},
    "percent 99.9": {"threshold": "percent", "percent": 99.9},
    "max": {"threshold": "max"},
    "k_sigma 2": {"threshold": "k_sigma", "k_sigma": 2},
    "k_sigma 3": {"threshold": "k_sigma", "k_sigma": 3},
    "max_area 100": {"threshold": "max_area", "min_area": 100},
}


def held_out_residuals(run: Path) -> tuple[Config, list[Residuals]]:
    """Return the config of a run and the residual maps of its held-out good images."""
    file = read_detector(detector_path(run))
    held_out = set(file.provenance["held_out_images"])
    detector = Detector.load(run)
    good = find_dataset(file.config.dataset_path).good
    return file.config, [detector.residuals(path) for path in good if content_hash(path) in held_out]


def unseen_scores(maps: list[Residuals], config: Config, count: int) -> np.ndarray:
    """Return the scores of good images under thresholds set by `count` others, over all splits."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(SPLITS):
        order = rng.permutation(len(maps))
        thresholds = estimate([maps[i] for i in order[:count]], config)
        area = config.smallest_region
        scores += [anomaly_map(maps[i], thresholds, min_area=area).max() for i in order[count:]]
    return np.array(scores)


def main(runs: list[str]) -> None:
    """Print a Markdown table."""
    print("| run | estimator | false alarms, 5 good images | 10 | 20 | mean score, 20 |")
    print("|---|---|---|---|---|---|")
    for run in runs:
        config, maps = held_out_residuals(Path(run))
        for name, settings in CANDIDATES.items():
            scores = {count: unseen_scores(maps, config.replace(**settings), count) for count in COUNTS}
            alarms = [f"{100 * np.mean(scores[count] > 1):.1f} %" for count in COUNTS]
            print(
                "| " + " | ".join([Path(run).name, name, *alarms, f"{scores[COUNTS[-1]].mean():.2f}"]) + " |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
