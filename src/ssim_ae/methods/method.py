"""The interface of a method: all that depends on how a detector learns and how it inspects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast

import numpy as np

from ssim_ae.maps.area import limit_to_area
from ssim_ae.maps.residuals import Residuals, Thresholds, foreground_mask
from ssim_ae.network.network import Network
from ssim_ae.network.ssim import gaussian_filter

if TYPE_CHECKING:
    from ssim_ae.config import Config
    from ssim_ae.images.size import Size
    from ssim_ae.onnx_operators.graph import GraphBuilder

MIN_THRESHOLD = 1e-6  # replaces a threshold of 0, by which a residual cannot be divided


class OnnxOperators(Protocol):
    """A method's `residual_maps`, `combine` and `postprocess` as operators of an ONNX graph.

    Arguments and results are names of values in the graph; `size` is that of the maps.
    """

    def residual_maps(self, add: GraphBuilder, image: str, output: str, size: Size) -> Sequence[str]:
        """Add the operators of `Method.residual_maps`; each map is (H, W)."""
        ...

    def combine(self, add: GraphBuilder, ratios: Sequence[str]) -> str:
        """Add the operators of `Method.combine`."""
        ...

    def postprocess(self, add: GraphBuilder, anomaly: str, size: Size) -> str:
        """Add the operators of `Method.postprocess`."""
        ...


class Method(ABC):
    """How a detector learns and how it inspects.

    A method is a file of this package that defines `METHOD`, and a file `<name>_onnx` beside it with its
    `OnnxOperators`. It is trained with a framework, or fitted to the features of a frozen network.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for the help
    defaults: ClassVar[Mapping[str, Any]] = {}  # settings whose defaults differ from those of Config
    texture_defaults: ClassVar[Mapping[str, Any]] = {}  # settings whose defaults differ if images show a texture
    own_settings: ClassVar[frozenset[str]] = frozenset()  # settings that not all methods use

    engines: ClassVar[tuple[str, ...]] = ()  # frameworks that can train it
    unsupported_exports: ClassVar[frozenset[str]] = frozenset()  # formats and precisions that cannot hold its network

    residual_names: ClassVar[tuple[str, ...]]
    reconstructs: ClassVar[bool] = False  # whether the network's output is an image
    inspects_whole_image: ClassVar[bool] = False  # else in tiles of crop_size, or the center of the image
    weak_on_random_textures: ClassVar[bool] = False  # a training says so
    normalizes_residuals: ClassVar[bool] = False  # by the normal statistics of each location

    calibrates_on_training_images: ClassVar[bool] = False  # as well as on held-out images
    score_distribution: ClassVar[Literal["gumbel", "frechet"]] = "gumbel"  # of good images

    @abstractmethod
    def network(self, config: Config, size: Size) -> Network:
        """Return the network that inspects, for inputs of `size`."""

    @abstractmethod
    def residual_maps(self, image: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return the residual maps, (R, H, W) float32, of an image (C, H, W) in [0, 1] and the network's output."""

    @abstractmethod
    def describe(self, config: Config) -> str:
        """Describe the network in a few words, as text."""

    def combine(self, ratios: np.ndarray) -> np.ndarray:
        """Combine residual maps (R, H, W), each divided by its threshold, into one map (H, W): the maximum."""
        combined: np.ndarray = ratios.max(axis=0)
        return combined

    def postprocess(self, anomaly: np.ndarray) -> np.ndarray:
        """Remove regions that are no defects from a combined map (H, W) >= 0; by default none."""
        return anomaly

    def residual_weights(self, config: Config) -> tuple[float, ...]:  # noqa: ARG002 (most methods have one answer)
        """Return the weights of the residuals in the anomaly map, relative to the first; by default equal ones."""
        return (1.0,) * len(self.residual_names)

    def smoothing(self, config: Config) -> float:  # noqa: ARG002 (most methods smooth none)
        """Return the standard deviation of the Gaussian that residual maps are smoothed with, px; 0: none."""
        return 0.0

    @abstractmethod
    def smallest_side(self, config: Config) -> int:
        """Return the least height and width that images can be resized to, px."""

    def size_multiple(self, config: Config) -> int:  # noqa: ARG002 (most methods take any size)
        """Return what the height and the width that images are resized to are multiples of, px."""
        return 1

    @property
    def onnx_operators(self) -> OnnxOperators:
        """The method's maps as ONNX operators."""
        return cast(OnnxOperators, import_module(f"{type(self).__module__}_onnx"))

    def thresholds(self, values: Sequence[float]) -> Thresholds:
        """Return thresholds by the names of the residuals."""
        return dict(zip(self.residual_names, values, strict=True))

    def residuals(
        self, image: np.ndarray, output: np.ndarray, bg_mask: str = "", *, smoothing: float = 0.0
    ) -> Residuals:
        """Return the residual maps of an image (C, H, W) in [0, 1] and the network's output, weighted by foreground."""
        maps = self.residual_maps(image, output)
        return Residuals(gaussian_filter(maps, smoothing) if smoothing else maps, foreground_mask(image, bg_mask))

    def anomaly_map(self, residuals: Residuals, thresholds: Thresholds, *, min_area: int = 1) -> np.ndarray:
        """Return the anomaly map, (H, W) float32 >= 0: a pixel above 1 is defective.

        Regions of fewer than `min_area` pixels do not exceed 1.
        """
        divisors = np.maximum([thresholds[name] for name in self.residual_names], MIN_THRESHOLD).astype(np.float32)
        combined = np.maximum(self.combine(residuals.maps / divisors[:, None, None]), 0) * residuals.weights
        return limit_to_area(self.postprocess(combined), min_area)
