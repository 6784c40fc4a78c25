"""The detector: an image in; score, verdict, mask and heatmap out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from ssim_ae.alignment.choose import Alignment
from ssim_ae.alignment.pose import Pose
from ssim_ae.config import Config
from ssim_ae.detector.detectability_chart import DetectabilityChart
from ssim_ae.detector.detector_file import DetectorFile, frame_of, network_of, read_detector
from ssim_ae.detector.inspection import Inspection
from ssim_ae.detector.look import UsualImages
from ssim_ae.detector.provenance import Provenance
from ssim_ae.detector.regions import Regions
from ssim_ae.detector.run_folder import detector_path
from ssim_ae.errors import InputError
from ssim_ae.images.inputs import ImageInput, pixels_of
from ssim_ae.images.size import Size
from ssim_ae.images.view import View
from ssim_ae.machine import cores, one_blas_thread, parallel_map, return_freed_memory
from ssim_ae.maps.normalization import NormalStatistics, normalize
from ssim_ae.maps.residuals import Residuals, Thresholds, described, foreground_mask
from ssim_ae.maps.tiles import cut_tiles, stitch_tiles
from ssim_ae.methods import method_of
from ssim_ae.runtimes.choose import open_model, open_runtime
from ssim_ae.runtimes.runtime import Runtime

MAX_OUTPUT = 1e6  # of the network; a reconstruction should be in [0, 1], and up to this value no residual overflows
LARGE_IMAGE = 2**26  # bytes of pixels, from which an image's memory is returned to the system
TILE_BATCH = 8  # tiles run at once; larger batches are hardly faster
BATCH_PIXELS = 2**19  # px of the tiles run at once, if they are large: a bound on memory
Source = TypeVar("Source")
Result = TypeVar("Result")


def _itself(image: Any) -> ImageInput:
    return image


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
        alignment: Alignment | None = None,
        regions: Regions | None = None,
        usual: UsualImages | None = None,
        fingerprint: str = "",
        detectability: DetectabilityChart | None = None,
        threads: int | None = None,
    ) -> None:
        self.config = config
        self.method = method_of(config)
        self.thresholds = thresholds
        self.runtime = runtime
        self.provenance = provenance or Provenance()
        self.fingerprint = fingerprint
        self.detectability = detectability
        self.threads = threads or cores()
        self.view = View.from_config(config)
        self.frame = frame_of(config, alignment)
        self.regions = regions
        self.usual = usual
        self.sensitivity = regions.sensitivity(self.frame) if regions else None  # of the network's input, (h, w)
        self.residual_scale = normal_statistics.scale(self.view.size) if normal_statistics else None
        self._process = os.getpid()
        self._origin: _Origin | None = None

    def __reduce__(self) -> tuple[Callable[..., Detector], tuple[Any, ...]]:
        """Send the detector to another process as the path of its file, which must be the same there.

        Raises InputError if the detector is not what a file holds, and when it is opened if the file is another one.
        """
        if not self._origin:
            raise InputError(
                "detector: not opened from a file, so it cannot be sent to another process; use Detector.load"
            )
        if (self.config, self.thresholds) != self._origin.settings:
            raise InputError(
                f"{self._origin.path}: the detector has other settings than this file, so it cannot be sent to another "
                "process; write them to a file first"
            )
        return _reopen, (type(self), self._origin.path, self._origin.options, self.fingerprint)

    def __repr__(self) -> str:
        return f"<Detector: {', '.join(f'{name} {value}' for name, value in self._summary().items())}>"

    def _repr_html_(self) -> str:
        """Return the description as a table, for notebooks."""
        rows = (f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in self._summary().items())
        return f"<table>{''.join(rows)}</table>"

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
        path = detector_path(Path(path))
        file = read_detector(path)
        detector = cls.from_file(file, runtime=runtime, device_target=device_target, threads=threads)
        options = {"runtime": runtime, "device_target": device_target, "threads": threads}
        detector._origin = _Origin(path.absolute(), options, (file.config, file.thresholds))
        return detector

    def reopen(self) -> Self:
        """Open the file again that the detector was opened from, in the same way. Raises InputError as `load` does."""
        if not self._origin:
            raise InputError("detector: not opened from a file; use Detector.load")
        return type(self).load(self._origin.path, **self._origin.options)

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
                network_of(file.config, file.alignment),
                name=runtime,
                device_target=device_target,
                threads=threads,
            )
        else:
            opened = open_runtime(
                network_of(file.config, file.alignment),
                file.weights,
                name=runtime,
                device_target=device_target,
                threads=threads,
            )
        return cls.with_runtime(file, opened, threads=threads)

    @classmethod
    def with_runtime(cls, file: DetectorFile, runtime: Runtime, *, threads: int | None = None) -> Self:
        """Make a detector of the content of a detector file, with a runtime that has opened its network."""
        return cls(
            file.config,
            file.thresholds,
            runtime,
            file.provenance,
            normal_statistics=file.normal_statistics,
            alignment=file.alignment,
            regions=file.regions,
            usual=file.usual,
            fingerprint=file.fingerprint,
            detectability=file.detectability,
            threads=threads,
        )

    def inspect(self, image: ImageInput) -> Inspection:
        """Inspect an image: a path, a Pillow image, or an array of uint8 or uint16.

        An array is (H, W) gray, or (H, W, C) with C = 1, 3 (RGB) or 4 (RGBA; alpha is dropped). Raises InputError, one
        line, for everything else.
        """
        return _or_raise(self._measure(image, lambda _, item: self._inspection(item)))

    def residuals(self, image: ImageInput) -> Residuals:
        """Return the residual maps of an image, from which thresholds are estimated."""
        return _or_raise(self._measure(image, lambda _, item: self._residuals(item)))

    def inspect_all(self, paths: Sequence[Path]) -> Iterator[Inspection | InputError]:
        """Inspect files in their order, several at once; yield the error of a file that cannot be read."""
        return self._process_all(paths, lambda _, item: self._inspection(item))

    def map_inspections(
        self,
        images: Sequence[Source],
        function: Callable[[Source, Inspection], Result],
        *,
        read: Callable[[Source], ImageInput] = _itself,
    ) -> Iterator[Result | InputError]:
        """Yield `function(image, inspection)` for each image as `inspect_all` does, several at once.

        `read` returns what `inspect` takes, by default the image itself.
        """
        return self._process_all(images, lambda image, item: function(image, self._inspection(item)), read)

    def residuals_all(self, paths: Sequence[Path]) -> Iterator[Residuals | InputError]:
        """Yield the residual maps of files in their order, or the error of a file that cannot be read."""
        return self._process_all(paths, lambda _, item: self._residuals(item))

    def reconstruct(self, view: np.ndarray) -> np.ndarray:
        """Return the reconstruction of a view (C, h, w) float32 in [0, 1], averaged where tiles overlap.

        Raises InputError if the method does not reconstruct images.
        """
        self._check_process()
        if not self.method.reconstructs:
            raise InputError(f"detector: method {self.method.name} does not reconstruct images; use inspect")
        expected = (self.config.channels, *self.view.size)
        if np.shape(view) != expected:
            raise InputError(
                f"view: should be an array {expected} in [0, 1], not {np.shape(view)}; use view.crop(image)"
            )
        return self._output(view)

    def _process_all(
        self,
        images: Sequence[Source],
        function: Callable[[Source, _Measured], Result],
        read: Callable[[Source], ImageInput] = _itself,
    ) -> Iterator[Result | InputError]:
        """Process images, several at once.

        The network runs on each image by itself: in a batch, the last bits of its output depend on the batch's size.
        """
        self._check_process()
        if len(images) == 1 or self.threads == 1:
            for image in images:
                yield self._measure(image, function, read)
            return
        with self.runtime.concurrent() as initialize_thread:
            yield from parallel_map(
                lambda image: self._measure(image, function, read),
                images,
                initialize=initialize_thread,
                workers=self.threads,
            )

    def _measure(
        self,
        image: Source,
        function: Callable[[Source, _Measured], Result],
        read: Callable[[Source], ImageInput] = _itself,
    ) -> Result | InputError:
        """Read an image, run the network on it, and return `function` of it; or the error if it cannot be read."""
        self._check_process()
        start = perf_counter()
        with one_blas_thread():
            try:
                pixels = pixels_of(read(image), grayscale=self.config.grayscale)
            except InputError as error:
                return error
            pose = self.frame.pose(pixels)
            planes = self.frame.input(pixels, pose)
            sensitivity = self._sensitivity_in_view(pose, pixels)
            measured = _Measured(pixels, pose, planes, self._output(planes), sensitivity, perf_counter() - start)
            result = function(image, measured)
        if pixels.nbytes >= LARGE_IMAGE:
            del pixels, planes, measured
            return_freed_memory()
        return result

    def _check_process(self) -> None:
        """Raise InputError in a forked process, which lacks the threads of the runtime and would wait for them."""
        if os.getpid() != self._process:
            raise InputError(
                "detector: opened before this process was forked, so it cannot be used here; start processes with "
                "the method spawn or forkserver"
            )

    def _output(self, planes: np.ndarray) -> np.ndarray:
        """Return the network's output for an input; the tiles of a reconstruction are stitched."""
        stride = self.config.stride
        is_tiled = self.config.tile_count > 1
        tiles = cut_tiles(planes, self.config.tile_size, stride) if is_tiled else planes[None]
        batches = [tiles[start : start + self._tile_batch] for start in range(0, len(tiles), self._tile_batch)]
        outputs = np.concatenate([self.runtime.run(batch) for batch in batches])
        if not np.abs(outputs).max() <= MAX_OUTPUT:  # true for NaN, too
            raise InputError("detector: the network's output is not finite or out of range; train the detector again")
        return stitch_tiles(outputs, self.view.size, stride) if is_tiled else outputs[0]

    @property
    def _tile_batch(self) -> int:
        return max(1, min(TILE_BATCH, BATCH_PIXELS // prod(self.config.tile_size)))

    def sensitivity_in(self, image: np.ndarray) -> np.ndarray | None:
        """Return the sensitivity of the view of an image (H, W, C) uint8 or uint16, (h, w) float32.

        None if the detector has no regions.
        """
        return self._sensitivity_in_view(self.frame.pose(image), image)

    def _sensitivity_in_view(self, pose: Pose | None, image: np.ndarray) -> np.ndarray | None:
        if self.sensitivity is None:
            return None
        in_view: np.ndarray = self.frame.to_view(self.sensitivity[None], pose, Size(*image.shape[:2]))[0]
        return in_view

    def _residuals(self, image: _Measured) -> Residuals:
        bg_mask = self.config.bg_mask
        if image.pose is None:
            smoothing = self.method.smoothing(self.config)
            residuals = self.method.residuals(image.planes, image.output, bg_mask, smoothing=smoothing)
        else:
            maps = self.method.residual_maps(image.planes, image.output)
            maps = self.frame.to_view(maps, image.pose, Size(*image.pixels.shape[:2]))
            residuals = Residuals(maps, foreground_mask(self.view.crop(image.pixels) if bg_mask else maps, bg_mask))
        if image.sensitivity is None:
            return residuals
        return residuals._replace(weights=residuals.weights * image.sensitivity)

    def _inspection(self, image: _Measured) -> Inspection:
        start = perf_counter()
        residuals = self._residuals(image)
        if self.residual_scale is not None:
            residuals = normalize(residuals, self.residual_scale)
        min_area = self.config.min_defect_area
        anomaly = self.method.anomaly_map(residuals, self.thresholds, min_area=min_area)
        milliseconds = 1000 * (image.seconds + perf_counter() - start)
        planes = image.output if self.method.reconstructs else None
        return Inspection(
            image.pixels, anomaly, planes, self.view, min_area, milliseconds=milliseconds, sensitivity=image.sensitivity
        )

    def _summary(self) -> dict[str, str]:
        channels = "gray" if self.config.grayscale else "color"
        return {
            "method": self.method.name,
            "working size": f"{self.view.working_size} {channels}",
            "runtime": type(self.runtime).__name__,
            "thresholds": described(self.thresholds),
        }


class _Origin(NamedTuple):
    """How a detector was opened: the file, the options of `load`, and the settings and thresholds in the file."""

    path: Path
    options: dict[str, Any]
    settings: tuple[Config, Thresholds]


def _reopen(kind: type[Detector], path: Path, options: dict[str, Any], fingerprint: str) -> Detector:
    """Open the file of a detector that another process has sent."""
    detector = kind.load(path, **options)
    if detector.fingerprint != fingerprint:
        raise InputError(f"{path}: changed since the detector was opened; open it again with Detector.load")
    return detector


class _Measured(NamedTuple):
    """The pixels of an image (H, W, C), the network's input (C, h, w) float32 in [0, 1], and its output for it.

    `pose` is that of the part, if it is aligned, `sensitivity` that of the view (h, w), if there are regions, and
    `seconds` the time that all took.
    """

    pixels: np.ndarray
    pose: Pose | None
    planes: np.ndarray
    output: np.ndarray
    sensitivity: np.ndarray | None
    seconds: float


def _or_raise(result: Result | InputError) -> Result:
    if isinstance(result, InputError):
        raise result
    return result
