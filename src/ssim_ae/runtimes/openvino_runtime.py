"""Networks in OpenVINO on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ssim_ae.config.settings import MAX_SIDE
from ssim_ae.errors import InputError
from ssim_ae.frameworks import import_openvino, openvino_core
from ssim_ae.machine import check_not_forked, cores
from ssim_ae.network.network import PATCHES
from ssim_ae.runtimes.runtime import MAX_BATCH_SIZE, run_in_batches

if TYPE_CHECKING:
    import openvino

ALLOWED_OPERATORS = {  # of the networks that ssim-ae exports
    "Parameter",
    "Result",
    "Constant",
    "Convert",
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "Add",
    "Subtract",
    "Multiply",
    "PRelu",
    "Sigmoid",
    "Concat",
    "FakeQuantize",
    "ShapeOf",  # with Broadcast and Reshape, of a bias
    "Broadcast",
    "Reshape",
    "Clamp",
    "Maximum",
    "Minimum",
    "VariadicSplit",  # with Divide and Subtract, of the groups of a convolution
    "Divide",
    "AvgPool",
    "Gather",
    "Transpose",
    "Pad",
    "Slice",
    "Unsqueeze",
    "MatMul",
    "Sqrt",
    "Power",
    "Identity",
}
MAX_OUTPUT_ELEMENTS = 2**26  # of one operator for one image; of large images ...
MAX_OUTPUTS_PER_PIXEL = 32  # ... as many for each pixel: EfficientNet-Lite0 has 24
FLOAT32_INFERENCE = {"INFERENCE_PRECISION_HINT": "f32"}  # the default is bfloat16 on some CPUs, with other scores


class OpenVinoRuntime:
    """Runs a model of a network: an OpenVINO model, the path of its file, or the bytes of an ONNX file.

    `output` is the name of the network's output. Raises ValueError if the model is not a network that ssim-ae exports.
    """

    def __init__(
        self, model: openvino.Model | bytes | Path, output: str, device_target: str = "auto", threads: int | None = None
    ) -> None:
        if device_target not in ("auto", "CPU"):
            raise InputError(f"device_target {device_target}: OpenVINO runs on the CPU only; use --runtime=onnxruntime")
        check_not_forked("OpenVINO")
        openvino = import_openvino()
        self.core = openvino_core()
        self.threads = threads or cores()
        loaded = model if isinstance(model, openvino.Model) else self.core.read_model(model)
        self.network = _extract_network(loaded, output)
        _check_network(self.network)
        size = self.network.input(0).partial_shape[0]
        self.batch_size = size.get_length() if size.is_static else None
        if self.batch_size and self.batch_size > MAX_BATCH_SIZE:
            raise ValueError(f"its batch size is {self.batch_size}, the maximum is {MAX_BATCH_SIZE}")
        self.local = threading.local()  # the inference request of a thread
        self.compiled = self._compile(streams=1)

    def run(self, patches: np.ndarray) -> np.ndarray:
        """Return the network's outputs, float32, for patches (B, C, H, W) float32 in [0, 1]."""
        if not hasattr(self.local, "request"):
            self.local.request = self.compiled.create_infer_request()
        request = self.local.request
        return run_in_batches(lambda batch: request.infer({0: batch})[0].copy(), patches, self.batch_size)

    @contextmanager
    def concurrent(self) -> Iterator[Callable[[], None]]:
        """Prepare for calls from several threads: they share a model that is compiled with one stream per core."""
        compiled = self._compile(streams=self.threads)

        def initialize_thread() -> None:
            self.local.request = compiled.create_infer_request()

        yield initialize_thread

    def _compile(self, *, streams: int) -> openvino.CompiledModel:
        settings = {**FLOAT32_INFERENCE, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": self.threads}
        return self.core.compile_model(self.network, "CPU", settings)


def tensors_by_name(model: openvino.Model) -> dict[str, openvino.Output]:
    """Return the outputs of all operators of a model, under each of their names."""
    outputs = [output for operator in model.get_ordered_ops() for output in operator.outputs()]
    return {name: output for output in outputs for name in output.names}


def _extract_network(model: openvino.Model, output: str) -> openvino.Model:
    """Return the network of a model: all of it, or the part of an inspection from patches to the output."""
    tensors = tensors_by_name(model)
    if not {PATCHES, output} <= tensors.keys():
        raise ValueError(f"it has no tensors named {PATCHES} and {output}")
    if PATCHES in model.input(0).names:
        return model
    openvino = import_openvino()
    _, *shape = tensors[PATCHES].partial_shape
    patches = openvino.opset13.parameter(openvino.PartialShape([-1, *shape]), np.float32, PATCHES)
    for consumer in tensors[PATCHES].get_target_inputs():
        consumer.replace_source_output(patches.output(0))
    return openvino.Model([tensors[output]], [patches])


def _check_network(network: openvino.Model) -> None:
    """Raise ValueError for operators or sizes that no exported network has. The file may come from anyone."""
    maximum = max(MAX_OUTPUT_ELEMENTS, MAX_OUTPUTS_PER_PIXEL * min(_image_pixels(network), MAX_SIDE**2))
    for operator in network.get_ordered_ops():
        kind = operator.get_type_name()
        if kind not in ALLOWED_OPERATORS:
            raise ValueError(f"operator {kind} is not allowed in a network")
        for output in operator.outputs():
            lengths = list(output.partial_shape)[1:]
            if prod(length.get_length() for length in lengths if length.is_static) > maximum:
                raise ValueError(f"operator {kind} returns more than {maximum} values for one image")


def _image_pixels(network: openvino.Model) -> int:
    """Return the number of pixels of an image, (B, C, H, W); 0 if the file does not state it."""
    sides = list(network.input(0).partial_shape)[-2:]
    return prod(side.get_length() for side in sides) if all(side.is_static for side in sides) else 0
