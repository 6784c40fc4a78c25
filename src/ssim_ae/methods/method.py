"""The interface of a method: all that depends on how a detector is trained and how it inspects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, cast

import numpy as np

from ssim_ae.augmentation.corruption import Corruption
from ssim_ae.maps.area import limit_to_area
from ssim_ae.maps.residuals import Residuals, Thresholds, foreground_mask
from ssim_ae.network.architecture import Layer

if TYPE_CHECKING:
    from ssim_ae.config import Config
    from ssim_ae.images.size import Size
    from ssim_ae.onnx_operators.graph import GraphBuilder

MIN_THRESHOLD = 1e-6  # replaces a threshold of 0, by which a residual cannot be divided

ResidualMaps = tuple[np.ndarray, np.ndarray]  # SSIM and L1


class LossWeights(NamedTuple):
    """The weight of each term of the training loss."""

    ssim: float = 1.0  # of 1 - SSIM
    squared_error: float = 0.0  # of the mean squared error


class OnnxOperators(Protocol):
    """A method's `residual_maps`, `combine` and `postprocess` as operators of an ONNX graph.

    Arguments and results are names of values in the graph; `size` is that of the maps.
    """

    def residual_maps(self, add: GraphBuilder, image: str, reconstruction: str, size: Size) -> tuple[str, str]:
        """Add the operators of `Method.residual_maps`."""
        ...

    def combine(self, add: GraphBuilder, ssim: str, l1: str) -> str:
        """Add the operators of `Method.combine`."""
        ...

    def postprocess(self, add: GraphBuilder, anomaly: str, size: Size) -> str:
        """Add the operators of `Method.postprocess`."""
        ...


class Method(ABC):
    """How a detector is trained and how it inspects.

    A method is a file of this package that defines `METHOD`, and a file `<name>_onnx` beside it with its
    `OnnxOperators`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for the help
    defaults: ClassVar[Mapping[str, Any]] = {}  # settings whose defaults differ from those of Config
    own_settings: ClassVar[frozenset[str]] = frozenset()  # settings that no other method uses

    engines: ClassVar[tuple[str, ...]] = ("torch",)  # frameworks that can train it
    unsupported_exports: ClassVar[frozenset[str]] = frozenset()  # formats that cannot hold its network

    loss: ClassVar[LossWeights] = LossWeights()
    max_gradient_norm: ClassVar[float | None] = None  # gradients are clipped to this norm

    inspects_whole_image: ClassVar[bool] = False  # else in tiles of crop_size, or the center of the image
    normalizes_residuals: ClassVar[bool] = False  # by the normal statistics of each location

    calibrates_on_training_images: ClassVar[bool] = False  # as well as on held-out images
    score_distribution: ClassVar[Literal["gumbel", "frechet"]] = "gumbel"  # of good images
    l1_weight: ClassVar[float] = 1.0  # of the L1 residual in the anomaly map, relative to the SSIM residual

    @abstractmethod
    def layers(self, config: Config) -> tuple[Layer, ...]:
        """Return the layer table of the network."""

    @abstractmethod
    def residual_maps(self, image: np.ndarray, reconstruction: np.ndarray) -> ResidualMaps:
        """Compare an image with its reconstruction, both (C, H, W) in [0, 1]: SSIM and L1 residuals, (H, W) float32."""

    @abstractmethod
    def combine(self, ssim: np.ndarray, l1: np.ndarray) -> np.ndarray:
        """Combine residual maps (H, W), each divided by its threshold, into one map (H, W)."""

    @abstractmethod
    def describe(self, config: Config) -> str:
        """Describe the network in a few words, as text."""

    def postprocess(self, anomaly: np.ndarray) -> np.ndarray:
        """Remove regions that are no defects from a combined map (H, W) >= 0; by default none."""
        return anomaly

    def check(self, config: Config) -> None:  # noqa: B027 (most methods support all settings)
        """Raise ValueError if the method does not support the settings."""

    def smallest_side(self, config: Config) -> int:
        """Return the least height and width that images can be resized to, px."""
        return config.crop_size

    def size_multiple(self, config: Config) -> int:  # noqa: ARG002 (most methods take any size)
        """Return what the height and the width that images are resized to are multiples of, px."""
        return 1

    def draw_corruption(self, count: int, images: int, rng: np.random.Generator) -> Corruption | None:  # noqa: ARG002
        """Draw how `count` patches are corrupted, with pieces of `images` images; None if they are not."""
        return None

    @property
    def onnx_operators(self) -> OnnxOperators:
        """The method's maps as ONNX operators."""
        return cast(OnnxOperators, import_module(f"{type(self).__module__}_onnx"))

    def residuals(self, image: np.ndarray, reconstruction: np.ndarray, bg_mask: str = "") -> Residuals:
        """Return the residual maps of an image (C, H, W) in [0, 1] and its foreground."""
        return Residuals(*self.residual_maps(image, reconstruction), foreground_mask(image, bg_mask))

    def anomaly_map(self, residuals: Residuals, thresholds: Thresholds, *, min_area: int = 1) -> np.ndarray:
        """Return the anomaly map, (H, W) float32 >= 0: a pixel above 1 is defective.

        Regions of fewer than `min_area` pixels do not exceed 1.
        """
        ssim = residuals.ssim / np.float32(max(thresholds.ssim, MIN_THRESHOLD))
        l1 = residuals.l1 / np.float32(max(thresholds.l1, MIN_THRESHOLD))
        combined = np.maximum(self.combine(ssim, l1), 0) * residuals.foreground
        return limit_to_area(self.postprocess(combined), min_area)
