"""The network as an ONNX model, built from the layer table: no tracing, nothing but the four operators it needs."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ssim_ae.detection.onnx_file import graph_hash
from ssim_ae.network.architecture import LEAKY_SLOPE, Layer
from ssim_ae.runtimes.onnx_runtime import INPUT, OUTPUT
from ssim_ae.storage import METADATA_KEY

OPERATORS = {"conv": "Conv", "conv_transpose": "ConvTranspose"}
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "leaky_relu": ("LeakyRelu", {"alpha": LEAKY_SLOPE}),
    "sigmoid": ("Sigmoid", {}),
}
IR_VERSION = 7  # of the oldest ONNX release with the opsets accepted; newer runtimes read it too
OPSETS = (11, 12, 13)  # what runtimes on small devices read


def network_model(
    table: tuple[Layer, ...],
    weights: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
    *,
    crop_size: int,
    batch_size: int | None = None,
    opset: int = OPSETS[-1],
) -> bytes:
    """Return the model: patches (B, C, S, S) float32 in [0, 1] in, reconstruction out. B is free, or `batch_size`."""
    nodes = []
    values = INPUT
    for layer in table:
        last = layer is table[-1]
        activation = ACTIVATIONS.get(layer.activation)
        output = OUTPUT if last and not activation else layer.name
        nodes.append(
            helper.make_node(
                OPERATORS[layer.kind],
                [values, f"{layer.name}.weight", f"{layer.name}.bias"],
                [output],
                layer.name,
                kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2,
                pads=[layer.padding] * 4,
            )
        )
        values = output
        if activation:
            operator, settings = activation
            values = OUTPUT if last else f"{layer.name}.{layer.activation}"
            nodes.append(helper.make_node(operator, [output], [values], f"{layer.name}.{layer.activation}", **settings))
    shape = [batch_size or "batch", table[0].in_channels, crop_size, crop_size]
    graph = helper.make_graph(
        nodes,
        "ssim_ae",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(weights[name], order="C"), name) for name in weights],
    )
    model = helper.make_model(graph, producer_name="ssim-ae", opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    written = {**metadata, "graph_sha256": graph_hash(model.SerializeToString())}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(written, allow_nan=False)})
    serialised: bytes = model.SerializeToString()
    return serialised
