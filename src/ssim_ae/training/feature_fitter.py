"""Fitting of the method `features`: the Gaussians of the features of good images. No training framework is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Self

import numpy as np

from ssim_ae.alignment.choose import Alignment
from ssim_ae.alignment.pose import Part, Pose, find_part, pose_of
from ssim_ae.alignment.silhouette import Silhouettes
from ssim_ae.checked_files import file_hash, read_tensors, write_tensors
from ssim_ae.config import Config
from ssim_ae.console import progress
from ssim_ae.detector.detector_file import DetectorFile, frame_of, network_of
from ssim_ae.errors import InputError
from ssim_ae.features.backbones import BACKBONES
from ssim_ae.features.distances import distance_weights
from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.features.gaussians import Moments
from ssim_ae.images.files import read_image
from ssim_ae.images.size import Size
from ssim_ae.machine import parallel_map
from ssim_ae.methods import methods
from ssim_ae.runtimes.choose import open_runtime
from ssim_ae.runtimes.runtime import Runtime
from ssim_ae.training.alignment_choice import alignment_of
from ssim_ae.training.learner import Addition, Learned

MOMENTS_NAME = "moments.safetensors"  # in the folder of a run: what later additions of images start from
KIND = "moments"
OF_SILHOUETTES = "silhouettes."  # what their arrays' names begin with
BATCH = 16  # images whose features are added at once


class _Measured(NamedTuple):
    """The features (d, h, w) of an image; the part and its pose if parts are aligned."""

    features: np.ndarray
    part: Part | None
    pose: Pose | None


class FeatureFitter:
    """Fits the Gaussians of features to images, or adds images to those of earlier ones."""

    rank = 0

    def __init__(
        self,
        config: Config,
        paths: Sequence[Path],
        backbone: Mapping[str, np.ndarray],
        alignment: Alignment | None,
    ) -> None:
        self.config = config
        self.paths = paths
        self.backbone = backbone
        self.alignment = alignment
        self.frame = frame_of(config, self.alignment)
        self.extractor = FeatureExtractor((config.channels, *self.frame.size), config.backbone)
        places = Size(*self.extractor.output_shape[1:])
        self.moments = Moments(self.extractor.output_shape)
        self.silhouettes = Silhouettes(self.alignment.strip, places) if self.alignment else None

    @classmethod
    def start(cls, config: Config, paths: Sequence[Path]) -> Self:
        """Return a fitter for the images of a new run, which decide whether parts are aligned."""
        backbone = _backbone(config)
        return cls(config, paths, backbone, alignment_of(paths, config))

    @classmethod
    def of_detector(cls, file: DetectorFile, paths: Sequence[Path]) -> Self:
        """Return a fitter of further images for the backbone and the alignment of a detector."""
        shapes = BACKBONES[file.config.backbone].weight_shapes(file.config.channels)
        backbone = {name: file.weights[name] for name in shapes}
        return cls(file.config, paths, backbone, file.alignment)

    def restore(self, folder: Path, training_images: Sequence[str]) -> bool:
        """Start from the moments in the folder of a run; return whether they are those of its training images.

        `training_images` are the hashes of their contents, in any order.
        """
        try:
            arrays, metadata = read_tensors(folder / MOMENTS_NAME, KIND)
            if metadata.get("origin") != self._origin(training_images):
                return False
            of_silhouettes = {name for name in arrays if name.startswith(OF_SILHOUETTES)}
            silhouettes = {name.removeprefix(OF_SILHOUETTES): arrays.pop(name) for name in of_silhouettes}
            self.moments = Moments.from_arrays(self.extractor.output_shape, arrays)
            if self.silhouettes:
                strip, places = self.silhouettes.strip, Size(*self.silhouettes.counts.shape)
                self.silhouettes = Silhouettes.from_arrays(strip, places, silhouettes)
        except (InputError, ValueError):  # missing, or corrupt
            return False
        return True

    def save(self, folder: Path, training_images: Sequence[str]) -> None:
        """Write the moments into the folder of a run, for `restore`."""
        silhouettes = self.silhouettes.arrays() if self.silhouettes else {}
        arrays = self.moments.arrays() | {OF_SILHOUETTES + name: array for name, array in silhouettes.items()}
        write_tensors(folder / MOMENTS_NAME, arrays, {"kind": KIND, "origin": self._origin(training_images)})

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

    def without(self, paths: Sequence[Path]) -> Runtime:
        """Return a runtime with the network fitted without some training images, which are measured again."""
        moments = self.moments.copy()
        moments.remove(np.stack([image.features for image in self._measure(paths)]))
        return self._runtime(moments)

    def close(self) -> None:
        """Do nothing: a fit is not distributed."""

    def _runtime(self, moments: Moments) -> Runtime:
        network = network_of(self.config, self.alignment)
        return open_runtime(network, self._weights(moments), device_target=self.config.device_target)

    def _weights(self, moments: Moments) -> dict[str, np.ndarray]:
        inspected = self.silhouettes.inspected() if self.silhouettes else np.ones(self.extractor.output_shape[1:], bool)
        return dict(self.backbone) | distance_weights(moments.gaussians(), inspected)

    def _origin(self, training_images: Sequence[str]) -> dict[str, Any]:
        """Return what moments depend on, as JSON: the images, and how they are measured."""
        return {
            "training_images": file_hash("\n".join(sorted(training_images)).encode()),
            "backbone": self.extractor.backbone,
            "input": list(self.extractor.input_shape),
            "alignment": self.alignment.in_file() if self.alignment else None,
        }

    @cached_property
    def _extractor_runtime(self) -> Runtime:
        return open_runtime(self.extractor, self.backbone, device_target=self.config.device_target)

    def _measure(self, paths: Sequence[Path]) -> Iterator[_Measured]:
        """Yield the features of images, and the part and its pose if parts are aligned."""
        runtime = self._extractor_runtime

        def measure(path: Path) -> _Measured:
            image = read_image(path, grayscale=self.config.grayscale)
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


def _backbone(config: Config) -> dict[str, np.ndarray]:
    """Return the weights of the backbone. Raises InputError, which names what needs none."""
    try:
        return BACKBONES[config.backbone].load_weights(config.channels)
    except InputError as error:
        other = next(method.name for method in methods() if method.engines)
        advice = f"or train with --backbone gabor or --method {other}, which need no weights of others"
        raise InputError(f"{error}; {advice}") from error
