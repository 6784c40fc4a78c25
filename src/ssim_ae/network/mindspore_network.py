"""The network in MindSpore, built from the layer table."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ssim_ae.errors import InputError
from ssim_ae.network.architecture import LEAKY_SLOPE, Layer
from ssim_ae.storage import read_whole

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # beyond, MindSpore's convolutions are 20 times as slow
os.environ.setdefault("GLOG_v", "3")  # what goes wrong alone, not every device that is not here

import mindspore as mindspore
from google.protobuf.message import DecodeError
from mindspore import Tensor as Tensor
from mindspore import nn
from mindspore.train import mind_ir_pb2

ACTIVATIONS = {"leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE), "sigmoid": nn.Sigmoid, "linear": nn.Identity}

OPERATORS = {  # what an exported network is made of
    *("Conv2D", "Conv2DTranspose", "BiasAdd", "Mul", "Maximum", "Sigmoid", "Shape", "TupleGetItem", "MakeTuple"),
    *("Load", "Depend", "UpdateState"),
}


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


def network_in(path: Path) -> nn.Cell:
    """Return the network in a MINDIR file.

    InputError where the file is damaged, or has other operators than a network needs: there are some that run programs.
    """
    graph = mind_ir_pb2.ModelProto()
    try:
        graph.ParseFromString(read_whole(path))
    except DecodeError as error:
        raise InputError(f"{path}: not a MINDIR file, or damaged") from error
    known = {f"REF::{primitive.name}" for primitive in graph.primitives if primitive.op_type in OPERATORS}
    others = [primitive.op_type for primitive in graph.primitives if primitive.op_type not in OPERATORS]
    others += [node.op_type for node in graph.graph.node if node.op_type not in known | {"Constant"}]
    others += [function.name for function in graph.functions]
    others += [field.name for field, _ in graph.ListFields() if field.name in ("preprocessor", "parallel")]
    if others:
        raise InputError(f"{path}: {others[0][:40]!r} is no part of a network that was exported here")
    return nn.GraphCell(mindspore.load(str(path)))
