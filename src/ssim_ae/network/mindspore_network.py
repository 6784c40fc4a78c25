"""The network in MindSpore, built from the layer table."""

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.network.architecture import LEAKY_SLOPE, Layer, weight_shapes
from ssim_ae.storage import read_whole

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # beyond, MindSpore's convolutions are 20 times as slow
os.environ.setdefault("GLOG_v", "3")  # what goes wrong alone, not every device that is not here

import mindspore as mindspore
from google.protobuf.message import DecodeError
from mindspore import Tensor as Tensor
from mindspore import nn
from mindspore.train import mind_ir_pb2

ACTIVATIONS = {"leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE), "sigmoid": nn.Sigmoid, "linear": nn.Identity}


def network_cell(table: tuple[Layer, ...], weights: Mapping[str, np.ndarray]) -> nn.Cell:
    """Return the network: patches (B, C, S, S) float32 in [0, 1] in, reconstructions out. Graph mode is set."""
    if any(layer.skip for layer in table):
        raise InputError("MindSpore runs the reference's network alone, not that of the method repair")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    cells: list[nn.Cell] = []
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
            weight_init=Tensor(weights[f"{layer.name}.weight"]),
            bias_init=Tensor(weights[f"{layer.name}.bias"]),
        )
        cells += [cell, ACTIVATIONS[layer.activation]()]
    network = nn.SequentialCell(cells)
    for layer, cell in zip(table, cells[::2], strict=True):
        cell.weight.name, cell.bias.name = f"{layer.name}.weight", f"{layer.name}.bias"
    return network.set_train(False)


def weights_in(path: Path, table: tuple[Layer, ...]) -> dict[str, np.ndarray]:
    """Return the weights in a MINDIR file. Its graph is not looked at: a foreign one could run programs.

    InputError where the file is damaged, or has not the weights of `table`.
    """
    model = mind_ir_pb2.ModelProto()
    try:
        model.ParseFromString(read_whole(path))
    except DecodeError as error:
        raise InputError(f"{path}: not a MINDIR file, or damaged") from error
    tensors = {tensor.name.rpartition(":")[2]: tensor for tensor in model.graph.parameter}
    weights = {}
    for name, shape in weight_shapes(table).items():
        tensor = tensors.get(name)
        values = np.frombuffer(b"" if tensor is None else tensor.raw_data, np.uint8)
        if tensor is None or tensor.data_type != tensor.FLOAT or values.size != 4 * prod(shape):
            raise InputError(f"{path}: its weights do not fit the network that its config asks for")
        weights[name] = values.view("<f4").reshape(shape)
        if not np.isfinite(weights[name]).all():
            raise InputError(f"{path}: a weight is not a finite number of 32 bits")
    return weights
