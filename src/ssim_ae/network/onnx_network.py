"""Networks as ONNX models, without tracing. The network of a layer table uses five operators."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ssim_ae.checked_files import METADATA_KEY, with_checksum
from ssim_ae.network.architecture import LEAKY_SLOPE, Layer
from ssim_ae.network.network import PATCHES, Network
from ssim_ae.storage import parse_json

CONVOLUTIONS = {"conv": "Conv", "conv_transpose": "ConvTranspose"}
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "leaky_relu": ("LeakyRelu", {"alpha": LEAKY_SLOPE}),
    "sigmoid": ("Sigmoid", {}),
}
NETWORK_OPSET = 13  # supported by the runtimes of small devices
NETWORK_IR_VERSION = 7  # of the oldest ONNX release with opset 13; newer runtimes support it too


def network_model(
    network: Network, weights: Mapping[str, np.ndarray], *, batch_size: int | None = None, opset: int = NETWORK_OPSET
) -> ModelProto:
    """Return the model: patches (B, C, H, W) float32 in [0, 1] in, the network's output out.

    B is `batch_size`; None: any.
    """
    batch = batch_size or "batch"
    operators = network.operators()
    graph = helper.make_graph(
        operators.nodes,
        "ssim_ae",
        [helper.make_tensor_value_info(PATCHES, TensorProto.FLOAT, [batch, *network.input_shape])],
        [helper.make_tensor_value_info(network.output, TensorProto.FLOAT, [batch, *network.output_shape])],
        [*operators.constants, *weight_tensors(weights)],
    )
    return checked_model(graph, opset, NETWORK_IR_VERSION)


def layer_nodes(table: tuple[Layer, ...], output: str) -> list[NodeProto]:
    """Return the nodes that compute `output` from PATCHES. The output of a layer has the layer's name."""
    nodes: list[NodeProto] = []
    source = PATCHES
    for layer in table:
        nodes += _layer_nodes(layer, source)
        source = layer.name
    nodes[-1].output[0] = output
    return nodes


def _layer_nodes(layer: Layer, source: str) -> list[NodeProto]:
    """Return the nodes of a layer: concatenation with the skip connection, convolution, activation."""
    nodes = []
    activation = ACTIVATIONS.get(layer.activation)
    convolved = f"{layer.name}.sum" if activation else layer.name
    if layer.skip:
        joined = f"{layer.name}.joined"
        nodes.append(helper.make_node("Concat", [source, layer.skip], [joined], joined, axis=1))
        source = joined
    nodes.append(
        helper.make_node(
            CONVOLUTIONS[layer.kind],
            [source, f"{layer.name}.weight", f"{layer.name}.bias"],
            [convolved],
            convolved,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
        )
    )
    if activation:
        operator, attributes = activation
        nodes.append(helper.make_node(operator, [convolved], [layer.name], layer.name, **attributes))
    return nodes


def weight_tensors(weights: Mapping[str, np.ndarray]) -> list[TensorProto]:
    """Return the weights as named initializers."""
    return [numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in weights.items()]


def checked_model(graph: GraphProto, opset: int, ir_version: int) -> ModelProto:
    """Return the model of a graph, checked by ONNX."""
    model = helper.make_model(graph, producer_name="ssim-ae", opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    onnx.checker.check_model(model)
    return model


def model_bytes(model: ModelProto, metadata: Mapping[str, Any]) -> bytes:
    """Serialize a model with `metadata` as JSON and a checksum in its properties."""
    helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata, allow_nan=False)})
    return with_checksum(model.SerializeToString())


def read_model(data: bytes) -> tuple[dict[str, np.ndarray], Any]:
    """Return the initializers of a serialized model by name, and its metadata; None if it has none.

    Raises ValueError if the data are corrupt, not an ONNX model, or refer to tensors in other files.
    """
    try:
        model = onnx.load_model_from_string(data)
        tensors = {tensor.name: _to_array(tensor) for tensor in model.graph.initializer}
    except Exception as error:  # protobuf and onnx raise exceptions of several types
        raise ValueError("corrupt, or not an ONNX model") from error
    text = {entry.key: entry.value for entry in model.metadata_props}.get(METADATA_KEY)
    return tensors, text and parse_json(text)


def _to_array(tensor: TensorProto) -> np.ndarray:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError(f"tensor {tensor.name} is in another file")
    return numpy_helper.to_array(tensor)
