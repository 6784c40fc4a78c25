"""Fitting of the method `features`: the Gaussians of the features of good images. No training framework is needed."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import progress
from ssim_ae.detector.detector_file import network_of
from ssim_ae.features.distances import gaussian_weights
from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.features.gaussians import Moments
from ssim_ae.pretrained.efficientnet_lite import load_weights
from ssim_ae.runtimes.choose import open_runtime
from ssim_ae.runtimes.runtime import Runtime
from ssim_ae.training.good_images import GoodImages
from ssim_ae.training.learner import Addition, Learned

BATCH = 8  # images


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
        images_of = self.good.training_images
        runtime = open_runtime(self.extractor, self.backbone, device_target=self.config.device_target)
        with progress("fitting", len(images_of)) as bar:
            for first in range(0, len(images_of), BATCH):
                batch = images_of[first : first + BATCH]
                pixels = batch.astype(np.float32) / 255 if batch.dtype == np.uint8 else batch
                self.moments.add(runtime.run(pixels))
                bar.advance(len(batch))
        return Learned(finished=True, seconds=perf_counter() - start)

    def runtime(self) -> Runtime:
        """Return a runtime with the network fitted so far."""
        return open_runtime(network_of(self.config), self.weights(), device_target=self.config.device_target)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the backbone and the Gaussians by name."""
        return self.backbone | gaussian_weights(self.moments.gaussians())

    def close(self) -> None:
        """Do nothing: a fit is not distributed."""
