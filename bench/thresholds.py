"""Compare the threshold estimators on good images alone: python bench/thresholds.py RUN...

For every run (a folder made by `ssim-ae train`) the held-out good images are split in halves many times; each
estimator sets its thresholds on one half and is asked about the other. Told are the share of unseen good images called
defective, and the mean score of unseen good images: the higher, the tighter the limit. No test image is opened.
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

SPLITS = 10
CANDIDATES = [
    {"threshold": estimator, "percent": percent} | options
    for estimator, options in (
        ("percent", {}),
        ("max", {}),
        ("k_sigma", {"k_sigma": 3}),
        ("max_area", {"min_area": 100}),
    )
    for percent in (90, 95, 98)
]


def held_out_residuals(run: Path) -> tuple[Config, list[Residuals]]:
    """Return the config of a run and the residual maps of its held-out good images."""
    file = read_detector(detector_path(run))
    names = set(file.provenance["held_out_images"])
    detector = Detector.load(run)
    paths = find_dataset(Path(file.config.dataset_path)).good
    return file.config, [detector.residuals(path) for path in paths if path.name in names]


def unseen_scores(maps: list[Residuals], config: Config) -> np.ndarray:
    """Return the scores of good images under thresholds that were set without them, over all splits."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(SPLITS):
        order = rng.permutation(len(maps))
        half = len(maps) // 2
        thresholds = estimate([maps[i] for i in order[:half]], config)
        area = config.smallest_region
        scores += [anomaly_map(maps[i], thresholds, min_area=area).max() for i in order[half:]]
    return np.array(scores)


def main(runs: list[str]) -> None:
    """Print a Markdown table."""
    print("| run | held out | estimator | percent | false alarms | mean score |")
    print("|---|---|---|---|---|---|")
    for run in runs:
        config, maps = held_out_residuals(Path(run))
        for candidate in CANDIDATES:
            scores = unseen_scores(maps, config.replace(**candidate))
            name, percent = candidate["threshold"], candidate["percent"]
            row = (
                Path(run).name,
                len(maps),
                name,
                percent,
                f"{100 * np.mean(scores > 1):.1f} %",
                f"{scores.mean():.2f}",
            )
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
