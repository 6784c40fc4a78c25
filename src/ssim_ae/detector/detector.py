"""The detector: any image in; score, verdict, mask and heatmap out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from ssim_ae.config import Config
from ssim_ae.detector.detector_file import DetectorFile, layer_table, read_detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.errors import InputError
from ssim_ae.images.colours import gray
from ssim_ae.images.files import read_image
from ssim_ae.images.view import View
from ssim_ae.machine import cores, in_parallel, one_blas_thread
from ssim_ae.maps.coarse_residuals import NormalStatistics, coarse_residuals, relative
from ssim_ae.maps.residuals import Residuals, Thresholds, anomaly_map, residuals
from ssim_ae.maps.tiles import cut_tiles, stitch_tiles
from ssim_ae.runtimes import Runtime
from ssim_ae.runtimes.choose import open_model, open_runtime

LARGEST_VALUE = 1e6  # of a reconstruction, which should be in [0, 1]: no residual of it overflows
TILE_BATCH = 8  # tiles reconstructed at once: more are hardly faster
DETECTOR_NAME = "detector.safetensors"  # in the folder of a run
Image = np.ndarray | str | os.PathLike[str]
Result = TypeVar("Result")


class Detector:
    """Inspects images with a network, its config and its thresholds."""

    def __init__(
        self,
        config: Config,
        thresholds: Thresholds,
        runtime: Runtime,
        provenance: dict[str, Any] | None = None,
        *,
        usual: NormalStatistics | None = None,
        threads: int | None = None,
    ) -> None:
        self.config = config
        self.thresholds = thresholds
        self.runtime = runtime
        self.provenance = provenance or {}
        self.threads = threads or cores()
        self.view = View.from_config(config)
        self.divisors = usual.divisors(self.view.size) if usual else None

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        runtime: str = "auto",
        device_target: str = "auto",
        threads: int | None = None,
    ) -> Self:
        """Open a detector file, trained or exported, or the one in a run's folder. InputError if it is none.

        `runtime`: onnxruntime, openvino or torch; auto is the fastest there is. `threads`: at most; None: one a core.
        """
        file = read_detector(detector_path(Path(path)))
        return cls.of(file, runtime=runtime, device_target=device_target, threads=threads)

    @classmethod
    def of(
        cls, file: DetectorFile, *, runtime: str = "auto", device_target: str = "auto", threads: int | None = None
    ) -> Self:
        """Make a detector of a file that has been read."""
        if threads is not None and threads < 1:
            raise InputError(f"threads: should be at least 1, not {threads}")
        if file.model:
            opened = open_model(
                file.model,
                layer_table(file.config),
                file.config.patch,
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
        return cls(file.config, file.thresholds, opened, file.provenance, usual=file.usual, threads=threads)

    def inspect(self, image: Image) -> Inspection:
        """Inspect a file, or an array (H, W, C) uint8 with C = 1 or 3 in RGB order, or (H, W) gray."""
        return _or_raise(self._each([image], self._judged)[0])

    def residuals(self, image: Image) -> Residuals:
        """Return the residual maps of an image: what thresholds are estimated from."""
        return _or_raise(self._each([image], self._compared)[0])

    def inspect_all(self, paths: Sequence[Path]) -> Iterator[Inspection | InputError]:
        """Inspect files in their order, several at once; one that cannot be read gives its error instead."""
        return self.map_inspections(paths, lambda _path, inspection: inspection)

    def map_inspections(
        self, paths: Sequence[Path], finish: Callable[[Path, Inspection], Result]
    ) -> Iterator[Result | InputError]:
        """Inspect files as `inspect_all` does; yield what `finish` makes of each, it too working on several at once."""
        return self._all(paths, lambda path, seen: finish(path, self._judged(path, seen)))

    def residuals_all(self, paths: Sequence[Path]) -> Iterator[Residuals | InputError]:
        """Yield the residual maps of files in their order, or the error of one that cannot be read."""
        return self._all(paths, self._compared)

    def reconstruct(self, part: np.ndarray) -> np.ndarray:
        """(C, S, S) float32 in [0, 1] -> its reconstruction, averaged where tiles overlap."""
        return self._reconstructed([part])[0]

    def _all(self, paths: Sequence[Path], finish: Callable[[Path, _Seen], Result]) -> Iterator[Result | InputError]:
        """Groups of images whose tiles fill a batch; as many groups at once as there are cores, a thread each."""
        if len(paths) == 1:
            yield from self._each(paths, finish)
            return
        size = max(1, min(TILE_BATCH // self.config.tiles, ceil(len(paths) / self.threads)))
        groups = [paths[start : start + size] for start in range(0, len(paths), size)]
        with self.runtime.workers() as begin:
            for results in in_parallel(
                lambda group: self._each(group, finish), groups, begin=begin, workers=self.threads
            ):
                yield from results

    def _each(self, images: Sequence[Any], finish: Callable[[Any, _Seen], Result]) -> list[Result | InputError]:
        """Look at all images, reconstruct them together, and finish one after the other."""
        with one_blas_thread():
            read_or_not = [self._pixels_or_error(image) for image in images]
            arrays = [array for array in read_or_not if not isinstance(array, InputError)]
            parts = [self.view.crop(array) for array in arrays]
            seen = map(_Seen, arrays, parts, self._reconstructed(parts))
            return [
                array if isinstance(array, InputError) else finish(image, next(seen))
                for image, array in zip(images, read_or_not, strict=True)
            ]

    def _reconstructed(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        if not parts:
            return []
        tile_size, stride = self.config.tile_size, self.config.stride
        tiles = np.concatenate([cut_tiles(part, tile_size, stride) for part in parts])
        batches = [tiles[start : start + TILE_BATCH] for start in range(0, len(tiles), TILE_BATCH)]
        reconstructions = np.concatenate([self.runtime.reconstruct(batch) for batch in batches])
        if not np.abs(reconstructions).max() <= LARGEST_VALUE:  # nor where it is no number
            raise InputError("the network's reconstruction is no picture: this detector cannot be used")
        return [stitch_tiles(own, self.view.size, stride) for own in np.split(reconstructions, len(parts))]

    def _judged(self, _image: Image, seen: _Seen) -> Inspection:
        maps = self._compared(_image, seen)
        if self.divisors is not None:
            maps = relative(maps, self.divisors)
        min_area = self.config.smallest_region
        anomaly = anomaly_map(maps, self.thresholds, method=self.config.method, min_area=min_area)
        return Inspection(seen.pixels, anomaly, seen.reconstruction, self.view, min_area)

    def _compared(self, _image: Image, seen: _Seen) -> Residuals:
        compare = coarse_residuals if self.config.method == "repair" else residuals
        return compare(seen.part, seen.reconstruction, self.config.bg_mask)

    def _pixels_or_error(self, image: Image) -> np.ndarray | InputError:
        try:
            return self._pixels(image)
        except InputError as error:
            return error

    def _pixels(self, image: Image) -> np.ndarray:
        if not isinstance(image, np.ndarray):
            return read_image(Path(image), grayscale=self.config.grayscale)
        array = image[:, :, None] if image.ndim == 2 else image
        if array.ndim != 3 or array.shape[2] not in (1, 3) or array.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"an image should be (H, W), (H, W, 1) or (H, W, 3) of uint8, not {image.shape} of {image.dtype}"
            )
        if self.config.grayscale and array.shape[2] == 3:
            return gray(array)
        return np.repeat(array, 3, axis=2) if not self.config.grayscale and array.shape[2] == 1 else array


class _Seen(NamedTuple):
    """An image (H, W, C), the part of it that is inspected and its reconstruction, both (C, S, S) float32 in [0, 1]."""

    pixels: np.ndarray
    part: np.ndarray
    reconstruction: np.ndarray


def detector_path(path: Path) -> Path:
    """Return the detector file that a path means: the file itself, or the one in a run's folder."""
    return path / DETECTOR_NAME if path.is_dir() else path


def _or_raise(result: Result | InputError) -> Result:
    if isinstance(result, InputError):
        raise result
    return result
