"""The effect of the precision of the weights on the metrics and on the speed of the network."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ssim_ae.detector.detector import TILE_BATCH, Detector
from ssim_ae.detector.detector_file import network_of
from ssim_ae.evaluation.evaluate import evaluate
from ssim_ae.evaluation.results import Evaluation
from ssim_ae.images.folders import Dataset
from ssim_ae.maps.verdict import is_defective

TIMING_REPEATS = 10


class Accuracy(NamedTuple):
    """Accuracy and speed of a detector.

    Attributes:
        evaluation: metrics on the test images.
        changed_verdicts: number of test images with another verdict than that of the first detector.
        ms_per_patch: time of the network for a patch, in milliseconds.
    """

    evaluation: Evaluation
    changed_verdicts: int
    ms_per_patch: float


def compare_accuracy(detectors: list[Detector], dataset: Dataset) -> list[Accuracy]:
    """Evaluate detectors on the same test images. InputError if there are none."""
    evaluations = [evaluate(detector, dataset) for detector in detectors]
    verdicts = [[is_defective(result.score) for result in evaluation.results] for evaluation in evaluations]
    return [
        Accuracy(evaluation, sum(np.not_equal(own, verdicts[0])), ms_per_patch(detector))
        for detector, evaluation, own in zip(detectors, evaluations, verdicts, strict=True)
    ]


def ms_per_patch(detector: Detector) -> float:
    """Return the time of the network for a patch in milliseconds, in a batch of TILE_BATCH: the minimum of repeats."""
    network = network_of(detector.config, detector.frame.alignment)
    shape = (TILE_BATCH, *network.input_shape)
    patches = np.random.default_rng(0).random(shape, np.float32)
    seconds = []
    for _ in range(TIMING_REPEATS):
        start = time.perf_counter()
        detector.runtime.run(patches)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / TILE_BATCH
