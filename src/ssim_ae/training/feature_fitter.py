"""Fitting of the method `features`: the Gaussians of the features of good images. No training framework is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import progress
from ssim_ae.detector.detector_file import network_of
from ssim_ae.features.distances import gaussian_weights
from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.features.gaussians import Moments
from ssim_ae.machine import parallel_map
from ssim_ae.pretrained.efficientnet_lite import load_weights
from ssim_ae.runtimes.choose import open_runtime
from ssim_ae.runtimes.runtime import Runtime
from ssim_ae.training.good_images import GoodImages
from ssim_ae.training.learner import Addition, Learned

BATCH = 16  # images whose features are added at once


class FeatureFitter:
    """Fits the Gaussians of features."""

    rank = 0

    def __init__(self, config: Config, good: GoodImages) -> None:
        self.config = config
        self.good = good
        self.extractor = FeatureExtractor(config.input_shape)
        self.backbone = load_weights(config.channels)
        self.moments = Moments(self.extractor.output_shape)

    def describe(self) -> str:
        """Return device and precision as text."""
        return "CPU fp32, ONNX Runtime"

    def learn(self, folder: Path, images: str, *, resume: bool, add: Addition | None) -> Learned:  # noqa: ARG002
        """Fit to all training images."""
        start = perf_counter()
        batch: list[np.ndarray] = []
        with progress("fitting", len(self.good.training_images)) as bar:
            for features in self._features(self.good.training_images):
                batch.append(features)
                if len(batch) == BATCH:
                    self._add(batch)
                bar.advance()
            self._add(batch)
        return Learned(finished=True, seconds=perf_counter() - start)

    def _features(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the features (d, h, w) of images (N, C, S, S) uint8, or float32 in [0, 1]."""
        runtime = open_runtime(self.extractor, self.backbone, device_target=self.config.device_target)

        def features_of(image: np.ndarray) -> np.ndarray:
            pixels = image.astype(np.float32) / 255 if image.dtype == np.uint8 else image
            return runtime.run(pixels[None])[0]

        with runtime.concurrent() as initialize:
            yield from parallel_map(features_of, list(images), initialize=initialize)

    def _add(self, batch: list[np.ndarray]) -> None:
        """Add the features of a batch to the moments, and empty it."""
        if batch:
            self.moments.add(np.stack(batch))
        batch.clear()

    def runtime(self) -> Runtime:
        """Return a runtime with the network fitted so far."""
        return open_runtime(network_of(self.config), self.weights(), device_target=self.config.device_target)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the backbone and the Gaussians by name."""
        return self.backbone | gaussian_weights(self.moments.gaussians())

    def close(self) -> None:
        """Do nothing: a fit is not distributed."""
