"""The detector: an image in; score, verdict, mask and heatmap out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.detector_file import DetectorFile, layer_table, read_detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.detector.provenance import Provenance
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.errors import InputError
from ssim_ae.images.colors import gray
from ssim_ae.images.files import read_image
from ssim_ae.images.view import View
from ssim_ae.machine import cores, one_blas_thread, parallel_map
from ssim_ae.maps.normalization import NormalStatistics, normalize
from ssim_ae.maps.residuals import Residuals, Thresholds
from ssim_ae.maps.tiles import cut_tiles, stitch_tiles
from ssim_ae.methods import method_of
from ssim_ae.runtimes.choose import open_model, open_runtime
from ssim_ae.runtimes.runtime import Runtime

MAX_RECONSTRUCTION = 1e6  # a reconstruction should be in [0, 1]; up to this value no residual overflows
TILE_BATCH = 8  # tiles reconstructed at once; larger batches are hardly faster
Image = np.ndarray | str | os.PathLike[str]
Source = TypeVar("Source", bound=Image)
Result = TypeVar("Result")


class Detector:
    """Inspects images with a network, its settings and its thresholds."""

    def __init__(
        self,
        config: Config,
        thresholds: Thresholds,
        runtime: Runtime,
        provenance: Provenance | None = None,
        *,
        normal_statistics: NormalStatistics | None = None,
        detectability: DetectabilityChart | None = None,
        threads: int | None = None,
    ) -> None:
        self.config = config
        self.method = method_of(config)
        self.thresholds = thresholds
        self.runtime = runtime
        self.provenance = provenance or Provenance()
        self.detectability = detectability
        self.threads = threads or cores()
        self.view = View.from_config(config)
        self.residual_scale = normal_statistics.scale(self.view.size) if normal_statistics else None

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        runtime: str = "auto",
        device_target: str = "auto",
        threads: int | None = None,
    ) -> Self:
        """Open a detector file, trained or exported, or the one in a run's folder.

        `runtime` is onnxruntime, openvino, torch, mindspore or auto (the fastest); `threads` the maximum (None: one per
        core). Raises InputError, one line, if the file is no detector or cannot be run.
        """
        file = read_detector(detector_path(Path(path)))
        return cls.from_file(file, runtime=runtime, device_target=device_target, threads=threads)

    @classmethod
    def from_file(
        cls, file: DetectorFile, *, runtime: str = "auto", device_target: str = "auto", threads: int | None = None
    ) -> Self:
        """Make a detector of the content of a detector file."""
        if threads is not None and threads < 1:
            raise InputError(f"threads: should be at least 1, not {threads}")
        if file.model:
            opened = open_model(
                file.model,
                layer_table(file.config),
                file.config.input_shape,
                name=runtime,
                device_target=device_target,
                threads=threads,
            )
        else:
            opened = open_runtime(
                layer_table(file.config),
                file.weights,
                tile_size=file.config.tile_size,
                name=runtime,
                device_target=device_target,
                threads=threads,
            )
        return cls(
            file.config,
            file.thresholds,
            opened,
            file.provenance,
            normal_statistics=file.normal_statistics,
            detectability=file.detectability,
            threads=threads,
        )

    def inspect(self, image: Image) -> Inspection:
        """Inspect an image: a file, or an array (H, W, C) uint8 or uint16 with C = 1 or 3 (RGB), or (H, W)."""
        return _or_raise(self._process_group([image], lambda _, item: self._inspection(item))[0])

    def residuals(self, image: Image) -> Residuals:
        """Return the residual maps of an image, from which thresholds are estimated."""
        return _or_raise(self._process_group([image], lambda _, item: self._residuals(item))[0])

    def inspect_all(self, paths: Sequence[Path]) -> Iterator[Inspection | InputError]:
        """Inspect files in their order, several at once; yield the error of a file that cannot be read."""
        return self._process_all(paths, lambda _, item: self._inspection(item))

    def map_inspections(
        self, paths: Sequence[Path], function: Callable[[Path, Inspection], Result]
    ) -> Iterator[Result | InputError]:
        """Yield `function(path, inspection)` for each file as `inspect_all` does, several at once."""
        return self._process_all(paths, lambda path, item: function(path, self._inspection(item)))

    def residuals_all(self, paths: Sequence[Path]) -> Iterator[Residuals | InputError]:
        """Yield the residual maps of files in their order, or the error of a file that cannot be read."""
        return self._process_all(paths, lambda _, item: self._residuals(item))

    def reconstruct(self, view: np.ndarray) -> np.ndarray:
        """Return the reconstruction of a view (C, S, S) float32 in [0, 1], averaged where tiles overlap."""
        return self._reconstruct([view])[0]

    def _process_all(
        self, paths: Sequence[Path], function: Callable[[Path, _Reconstructed], Result]
    ) -> Iterator[Result | InputError]:
        """Process the images in groups, several groups at once. The tiles of a group fill a batch."""
        if len(paths) == 1:
            yield from self._process_group(paths, function)
            return
        group_size = max(1, min(TILE_BATCH // self.config.tiles, ceil(len(paths) / self.threads)))
        groups = [paths[start : start + group_size] for start in range(0, len(paths), group_size)]
        with self.runtime.concurrent() as initialize_thread:
            for results in parallel_map(
                lambda group: self._process_group(group, function),
                groups,
                initialize=initialize_thread,
                workers=self.threads,
            ):
                yield from results

    def _process_group(
        self, images: Sequence[Source], function: Callable[[Source, _Reconstructed], Result]
    ) -> list[Result | InputError]:
        """Read all images, reconstruct them together, then apply `function` to each."""
        results: dict[int, Result | InputError] = {}
        pixels: dict[int, np.ndarray] = {}
        with one_blas_thread():
            for index, image in enumerate(images):
                try:
                    pixels[index] = self._read(image)
                except InputError as error:
                    results[index] = error
            views = [self.view.crop(array) for array in pixels.values()]
            for index, view, reconstruction in zip(pixels, views, self._reconstruct(views), strict=True):
                results[index] = function(images[index], _Reconstructed(pixels[index], view, reconstruction))
        return [results[index] for index in range(len(images))]

    def _reconstruct(self, views: Sequence[np.ndarray]) -> list[np.ndarray]:
        if not views:
            return []
        tile_size, stride = self.config.tile_size, self.config.stride
        tiles = np.concatenate([cut_tiles(view, tile_size, stride) for view in views])
        batches = [tiles[start : start + TILE_BATCH] for start in range(0, len(tiles), TILE_BATCH)]
        reconstructions = np.concatenate([self.runtime.reconstruct(batch) for batch in batches])
        if not np.abs(reconstructions).max() <= MAX_RECONSTRUCTION:  # true for NaN, too
            raise InputError("detector: the reconstruction is not finite or out of range; train the detector again")
        return [stitch_tiles(own, self.view.size, stride) for own in np.split(reconstructions, len(views))]

    def _residuals(self, image: _Reconstructed) -> Residuals:
        return self.method.residuals(image.view, image.reconstruction, self.config.bg_mask)

    def _inspection(self, image: _Reconstructed) -> Inspection:
        residuals = self._residuals(image)
        if self.residual_scale is not None:
            residuals = normalize(residuals, self.residual_scale)
        min_area = self.config.min_defect_area
        anomaly = self.method.anomaly_map(residuals, self.thresholds, min_area=min_area)
        return Inspection(image.pixels, anomaly, image.reconstruction, self.view, min_area)

    def _read(self, image: Image) -> np.ndarray:
        """Return the pixels (H, W, C) of an image, with the channels that the network takes."""
        if not isinstance(image, np.ndarray):
            return read_image(Path(image), grayscale=self.config.grayscale)
        array = image[:, :, None] if image.ndim == 2 else image
        if array.ndim != 3 or array.shape[2] not in (1, 3) or array.dtype not in (np.uint8, np.uint16):
            raise InputError(
                "image: should be (H, W), (H, W, 1) or (H, W, 3) of uint8 or uint16, "
                f"not {image.shape} of {image.dtype}"
            )
        if self.config.grayscale and array.shape[2] == 3:
            return gray(array)
        return np.repeat(array, 3, axis=2) if not self.config.grayscale and array.shape[2] == 1 else array


class _Reconstructed(NamedTuple):
    """The pixels of an image (H, W, C), its view and the reconstruction, both (C, S, S) float32 in [0, 1]."""

    pixels: np.ndarray
    view: np.ndarray
    reconstruction: np.ndarray


def _or_raise(result: Result | InputError) -> Result:
    if isinstance(result, InputError):
        raise result
    return result
