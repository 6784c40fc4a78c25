"""The network in ONNX, built from the layer table: no tracing, nothing but the five operators it needs."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ssim_ae.network.architecture import LEAKY_SLOPE, Layer
from ssim_ae.storage import METADATA_KEY, parsed_json, sealed

PATCHES, RECONSTRUCTIONS = "patches", "reconstructions"
OPERATORS = {"conv": "Conv", "conv_transpose": "ConvTranspose"}
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "leaky_relu": ("LeakyRelu", {"alpha": LEAKY_SLOPE}),
    "sigmoid": ("Sigmoid", {}),
}
OPSET = 13  # what runtimes on small devices read
IR_VERSION = 7  # of the oldest ONNX release with these opsets; newer runtimes read it too


def network_model(
    table: tuple[Layer, ...],
    weights: Mapping[str, np.ndarray],
    *,
    tile_size: int,
    batch_size: int | None = None,
    opset: int = OPSET,
) -> ModelProto:
    """Return the model: patches (B, C, S, S) float32 in [0, 1] in, reconstructions out. B is free, or `batch_size`."""
    shape = [batch_size or "batch", table[0].in_channels, tile_size, tile_size]
    graph = helper.make_graph(
        network_nodes(table),
        "ssim_ae",
        [helper.make_tensor_value_info(PATCHES, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(RECONSTRUCTIONS, TensorProto.FLOAT, shape)],
        weight_tensors(weights),
    )
    return model_of(graph, opset, IR_VERSION)


def network_nodes(table: tuple[Layer, ...]) -> list[NodeProto]:
    """Return the nodes that make RECONSTRUCTIONS of PATCHES."""
    nodes = []
    values = PATCHES
    for layer in table:
        activation = ACTIVATIONS.get(layer.activation)
        convolved = f"{layer.name}.sum" if activation else layer.name
        if layer.skip:
            joined = f"{layer.name}.joined"
            nodes.append(helper.make_node("Concat", [values, layer.skip], [joined], joined, axis=1))
            values = joined
        nodes.append(
            helper.make_node(
                OPERATORS[layer.kind],
                [values, f"{layer.name}.weight", f"{layer.name}.bias"],
                [convolved],
                convolved,
                kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                pads=[layer.padding] * 4,
            )
        )
        if activation:
            operator, settings = activation
            nodes.append(helper.make_node(operator, [convolved], [layer.name], layer.name, **settings))
        values = layer.name
    nodes[-1].output[0] = RECONSTRUCTIONS
    return nodes


def weight_tensors(weights: Mapping[str, np.ndarray]) -> list[TensorProto]:
    """Return the weights as initializers, by their names."""
    return [numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in weights.items()]


def model_of(graph: GraphProto, opset: int, ir_version: int) -> ModelProto:
    """Return the checked model of a graph."""
    model = helper.make_model(graph, producer_name="ssim-ae", opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    onnx.checker.check_model(model)
    return model


def model_file(model: ModelProto, metadata: Mapping[str, Any]) -> bytes:
    """Return the file of a model, sealed, with our JSON within."""
    helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata, allow_nan=False)})
    return sealed(model.SerializeToString())


def read_model(data: bytes) -> tuple[dict[str, np.ndarray], Any]:
    """Return the tensors of a model's file by name, and our metadata, None where there is none.

    ValueError where the file is damaged, no ONNX file, or names other files that its tensors should be in.
    """
    try:
        model = onnx.load_model_from_string(data)
        tensors = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
    except Exception as error:  # the parser has errors of its own kinds
        raise ValueError("not an ONNX file, or damaged") from error
    text = {entry.key: entry.value for entry in model.metadata_props}.get(METADATA_KEY)
    return tensors, text and parsed_json(text)


def _array(tensor: TensorProto) -> np.ndarray:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError(f"{tensor.name} is in another file")
    return numpy_helper.to_array(tensor)
