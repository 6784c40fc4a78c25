"""What a change of precision costs and gains: figures on test images, and the network's time."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ssim_ae.detector.detector import TILE_BATCH, Detector
from ssim_ae.evaluation.evaluate import evaluate
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.images.folders import Dataset
from ssim_ae.maps.verdict import is_defective

REPEATS = 10


class Accuracy(NamedTuple):
    """How a detector does on test images, how many of its verdicts are not the first one's, and ms a patch."""

    evaluation: Evaluation
    changed_verdicts: int
    milliseconds: float


def accuracies(detectors: list[Detector], dataset: Dataset) -> list[Accuracy]:
    """Evaluate detectors on the same test images, which none of them was made from. InputError without any."""
    evaluations = [evaluate(detector, dataset) for detector in detectors]
    verdicts = [[is_defective(result.score) for result in evaluation.results] for evaluation in evaluations]
    return [
        Accuracy(evaluation, sum(np.not_equal(own, verdicts[0])), network_milliseconds(detector))
        for detector, evaluation, own in zip(detectors, evaluations, verdicts, strict=True)
    ]


def network_milliseconds(detector: Detector) -> float:
    """Return the shortest time a patch of the network alone, in a batch as large as the detector's."""
    config = detector.config
    shape = (TILE_BATCH, config.channels, config.tile_size, config.tile_size)
    patches = np.random.default_rng(0).random(shape, np.float32)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        detector.runtime.reconstruct(patches)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / TILE_BATCH
