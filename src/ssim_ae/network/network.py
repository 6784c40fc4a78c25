"""The interface of a network: what it takes and returns, its weights, and its operators in an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

PATCHES = "patches"  # the name of the input in an ONNX graph


class Weight(NamedTuple):
    """The shape and dtype of a weight."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    def fits(self, array: np.ndarray) -> bool:
        """Return whether an array has this shape and dtype."""
        return array.shape == self.shape and array.dtype == np.dtype(self.dtype)


class Operators(NamedTuple):
    """The operators of a network in an ONNX graph, and the constants that are not weights."""

    nodes: Sequence[NodeProto]
    constants: Sequence[TensorProto] = ()


class Network(Protocol):
    """A network: a batch of patches (B, C, H, W) float32 in [0, 1] in, a batch of outputs out."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a patch."""
        ...

    @property
    def output(self) -> str:
        """The name of the output in an ONNX graph."""
        ...

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the output for a patch."""
        ...

    def weights(self) -> Mapping[str, Weight]:
        """Return the shape and dtype of every weight, by name."""
        ...

    def operators(self) -> Operators:
        """Return the operators that compute the output from PATCHES and the weights."""
        ...


def are_weights_of(network: Network, weights: Mapping[str, np.ndarray]) -> bool:
    """Return whether weights are those of a network: their names, shapes and dtypes."""
    expected = network.weights()
    return weights.keys() == expected.keys() and all(weight.fits(weights[name]) for name, weight in expected.items())
