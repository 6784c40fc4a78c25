"""Fitting of the method `features`: the Gaussians of the features of good images. No training framework is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ssim_ae.alignment.choose import Alignment, choose_alignment
from ssim_ae.alignment.pose import Part, Pose, find_part, pose_of
from ssim_ae.alignment.silhouette import Silhouettes
from ssim_ae.config import Config
from ssim_ae.console import print_note, progress
from ssim_ae.detector.detector_file import frame_of, network_of
from ssim_ae.errors import InputError
from ssim_ae.features.distances import distance_weights
from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.features.gaussians import Moments
from ssim_ae.images.files import read_image
from ssim_ae.images.size import Size
from ssim_ae.machine import parallel_map
from ssim_ae.methods import methods
from ssim_ae.pretrained.efficientnet_lite import load_weights
from ssim_ae.runtimes.choose import open_runtime
from ssim_ae.runtimes.runtime import Runtime
from ssim_ae.training.cross_fitting import MAX_IMAGES
from ssim_ae.training.good_images import GoodImages
from ssim_ae.training.learner import Addition, Learned

BATCH = 16  # images whose features are added at once
MAX_ALIGNMENT_IMAGES = 100  # that decide whether parts are aligned


class _Measured(NamedTuple):
    """The features (d, h, w) of an image; the part and its pose if parts are aligned."""

    features: np.ndarray
    part: Part | None
    pose: Pose | None


class FeatureFitter:
    """Fits the Gaussians of features."""

    rank = 0

    def __init__(self, config: Config, good: GoodImages) -> None:
        self.config = config
        self.paths = good.training_paths
        self.backbone = _backbone(config)
        self.alignment = self._choose_alignment() if config.align else None
        self.frame = frame_of(config, self.alignment)
        self.extractor = FeatureExtractor((config.channels, *self.frame.size))
        self.few: list[np.ndarray] = []  # the features of all training images, if they are few
        places = Size(*self.extractor.output_shape[1:])
        self.moments = Moments(self.extractor.output_shape)
        self.silhouettes = Silhouettes(self.alignment.strip, places) if self.alignment else None

    def describe(self) -> str:
        """Return device and precision as text."""
        return "CPU fp32, ONNX Runtime"

    def learn(self, folder: Path, images: str, *, resume: bool, add: Addition | None) -> Learned:  # noqa: ARG002
        """Fit to all training images."""
        start = perf_counter()
        batch: list[np.ndarray] = []
        with progress("fitting", len(self.paths)) as bar:
            for image in self._measure(self.paths):
                batch.append(image.features)
                if len(self.paths) <= MAX_IMAGES:
                    self.few.append(image.features)
                if self.silhouettes and image.part and image.pose:
                    self.silhouettes.add(image.part, image.pose)
                if len(batch) == BATCH:
                    self._add(batch)
                bar.advance()
            self._add(batch)
        return Learned(finished=True, seconds=perf_counter() - start)

    def runtime(self) -> Runtime:
        """Return a runtime with the network fitted so far."""
        return self._runtime(self.moments)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights of the backbone and the Gaussians by name."""
        return self._weights(self.moments)

    def without(self, left_out: Sequence[int]) -> Runtime:
        """Return a runtime with the network fitted without some training images; there are at most MAX_IMAGES."""
        moments = Moments(self.extractor.output_shape)
        moments.add(np.stack([features for index, features in enumerate(self.few) if index not in left_out]))
        return self._runtime(moments)

    def close(self) -> None:
        """Do nothing: a fit is not distributed."""

    def _runtime(self, moments: Moments) -> Runtime:
        network = network_of(self.config, self.alignment)
        return open_runtime(network, self._weights(moments), device_target=self.config.device_target)

    def _weights(self, moments: Moments) -> dict[str, np.ndarray]:
        inspected = self.silhouettes.inspected() if self.silhouettes else np.ones(self.extractor.output_shape[1:], bool)
        return self.backbone | distance_weights(moments.gaussians(), inspected)

    def _choose_alignment(self) -> Alignment | None:
        """Decide from training images at equal intervals whether parts are aligned, and say so."""
        count = min(MAX_ALIGNMENT_IMAGES, len(self.paths))
        paths = [self.paths[index] for index in np.linspace(0, len(self.paths) - 1, count).astype(int)]
        alignment, statistics = choose_alignment(map(self._read, paths), self.config.bit_depth)
        if alignment:
            print_note(
                "parts lie at any angle and are turned before they are inspected: that lowers the spread of the good "
                f"images from {statistics.spread:.2f} to {statistics.aligned_spread:.2f}; --align False leaves them"
            )
        return alignment

    def _measure(self, paths: Sequence[Path]) -> Iterator[_Measured]:
        """Yield the features of images, and the part and its pose if parts are aligned."""
        runtime = open_runtime(self.extractor, self.backbone, device_target=self.config.device_target)

        def measure(path: Path) -> _Measured:
            image = self._read(path)
            part = find_part(image, self.config.bit_depth) if self.alignment else None
            pose = pose_of(part, max(image.shape[:2])) if part else None
            return _Measured(runtime.run(self.frame.input(image, pose)[None])[0], part, pose)

        with runtime.concurrent() as initialize:
            yield from parallel_map(measure, paths, initialize=initialize)

    def _add(self, batch: list[np.ndarray]) -> None:
        """Add the features of a batch to the moments, and empty it."""
        if batch:
            self.moments.add(np.stack(batch))
        batch.clear()

    def _read(self, path: Path) -> np.ndarray:
        return read_image(path, grayscale=self.config.grayscale)


def _backbone(config: Config) -> dict[str, np.ndarray]:
    """Return the weights of the frozen network. Raises InputError, which names a method that needs none."""
    try:
        return load_weights(config.channels)
    except InputError as error:
        other = next(method.name for method in methods() if method.engines)
        raise InputError(f"{error}; or train with --method {other}, which needs no weights of others") from error
