"""The network in MindSpore, built from the layer table, and its weights in MINDIR files."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from ssim_ae.errors import InputError
from ssim_ae.frameworks import import_mindspore
from ssim_ae.network.architecture import LEAKY_SLOPE, Layer, weight_shapes
from ssim_ae.storage import read_file

if TYPE_CHECKING:
    import mindspore


def network_cell(table: tuple[Layer, ...], weights: Mapping[str, np.ndarray]) -> mindspore.nn.Cell:
    """Build the network: patches (B, C, H, W) float32 in [0, 1] in, reconstructions out. Sets graph mode.

    Raises InputError for a network with skip connections.
    """
    if any(layer.skip for layer in table):
        raise InputError("runtime mindspore: no networks with skip connections; use --runtime onnxruntime or torch")
    mindspore = import_mindspore()
    nn = mindspore.nn
    activations = {"leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE), "sigmoid": nn.Sigmoid, "linear": nn.Identity}
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    cells: list[Any] = []
    for layer in table:
        convolution = nn.Conv2d if layer.kind == "conv" else nn.Conv2dTranspose
        cell = convolution(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            layer.stride,
            pad_mode="pad",
            padding=layer.padding,
            has_bias=True,
            weight_init=mindspore.Tensor(weights[f"{layer.name}.weight"]),
            bias_init=mindspore.Tensor(weights[f"{layer.name}.bias"]),
        )
        cells += [cell, activations[layer.activation]()]
    network = nn.SequentialCell(cells)
    for layer, cell in zip(table, cells[::2], strict=True):
        cell.weight.name, cell.bias.name = f"{layer.name}.weight", f"{layer.name}.bias"
    return network.set_train(False)


def read_mindir_weights(path: Path, table: tuple[Layer, ...]) -> dict[str, np.ndarray]:
    """Return the weights in a MINDIR file. Its graph is ignored, because a graph from elsewhere could run programs.

    Raises InputError if the file is corrupt or its weights do not fit `table`.
    """
    import_mindspore()
    from mindspore.train import mind_ir_pb2

    model = mind_ir_pb2.ModelProto()
    try:
        model.ParseFromString(read_file(path))
    except DecodeError as error:
        raise InputError(f"{path}: corrupt, or not a MINDIR file") from error
    tensors = {tensor.name.rpartition(":")[2]: tensor for tensor in model.graph.parameter}
    weights = {}
    for name, shape in weight_shapes(table).items():
        tensor = tensors.get(name)
        values = np.frombuffer(b"" if tensor is None else tensor.raw_data, np.uint8)
        if tensor is None or tensor.data_type != tensor.FLOAT or values.size != 4 * prod(shape):
            raise InputError(f"{path}: its weights do not fit the network of its configuration")
        weights[name] = values.view("<f4").reshape(shape)
        if not np.isfinite(weights[name]).all():
            raise InputError(f"{path}: a weight is not a finite number")
    return weights
