"""Reconstruction with OpenVINO on the CPU."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
import openvino as openvino

from ssim_ae.errors import InputError
from ssim_ae.machine import cores
from ssim_ae.network.onnx_network import PATCHES, RECONSTRUCTIONS
from ssim_ae.runtimes import LARGEST_BATCH, in_batches

OPERATORS = {  # what a network of ours becomes; ShapeOf, Broadcast and Reshape lay a bias out
    *("Parameter", "Result", "Constant", "Convert", "Convolution", "ConvolutionBackpropData", "Add", "Subtract"),
    *("Multiply", "PRelu", "Sigmoid", "Concat", "FakeQuantize", "ShapeOf", "Broadcast", "Reshape"),
}
LARGEST = 2**26  # numbers that an operator may put out for one image
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}  # else bfloat16 where the CPU has it, and other scores


class OpenVinoRuntime:
    """Runs the network of a model, read from a file, from the bytes of an ONNX file, or made already.

    ValueError where it is no network of ours.
    """

    def __init__(
        self, model: openvino.Model | bytes | Path, device_target: str = "auto", threads: int | None = None
    ) -> None:
        if device_target not in ("auto", "CPU"):
            raise InputError(f"device_target {device_target}: OpenVINO runs on the CPU; try --runtime=onnxruntime")
        self.threads = threads or cores()
        whole = model if isinstance(model, openvino.Model) else openvino.Core().read_model(model)
        self.network = _network_in(whole)
        _check(self.network)
        size = self.network.input(0).partial_shape[0]
        self.batch_size = size.get_length() if size.is_static else None
        if self.batch_size and self.batch_size > LARGEST_BATCH:
            raise ValueError(f"takes more than {LARGEST_BATCH} patches at once")
        self.local = threading.local()  # a thread's own request
        self.compiled = self._compiled(streams=1)

    def reconstruct(self, patches: np.ndarray) -> np.ndarray:
        """(B, C, S, S) float32 in [0, 1] -> the reconstructions, same shape, dtype and range."""
        if getattr(self.local, "model", None) is not self.compiled:
            self.local.model, self.local.request = self.compiled, self.compiled.create_infer_request()
        request = self.local.request
        return in_batches(lambda batch: request.infer({0: batch})[0].copy(), patches, self.batch_size)

    @contextmanager
    def workers(self) -> Iterator[Callable[[], None]]:
        """Give what a worker thread calls first, so that its calls keep to it: workers would wait for each other."""
        alone = self.compiled
        self.compiled = self._compiled(streams=self.threads)
        try:
            yield lambda: None
        finally:
            self.compiled = alone

    def _compiled(self, *, streams: int) -> openvino.CompiledModel:
        settings = {**EXACT, "NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": self.threads}
        return openvino.Core().compile_model(self.network, "CPU", settings)


def tensors_by_name(model: openvino.Model) -> dict[str, openvino.Output]:
    """Return what the operators of a model put out, by every name it has."""
    outputs = [output for operator in model.get_ordered_ops() for output in operator.outputs()]
    return {name: output for output in outputs for name in output.names}


def _network_in(model: openvino.Model) -> openvino.Model:
    """Return a model's network: the model itself, or the part of an inspection between patches and reconstructions."""
    named = tensors_by_name(model)
    if not {PATCHES, RECONSTRUCTIONS} <= named.keys():
        raise ValueError("no network of ours in it")
    if PATCHES in model.input(0).names:
        return model
    _, *shape = named[PATCHES].partial_shape
    given = openvino.opset13.parameter(openvino.PartialShape([-1, *shape]), np.float32, PATCHES)
    for consumer in named[PATCHES].get_target_inputs():
        consumer.replace_source_output(given.output(0))
    return openvino.Model([named[RECONSTRUCTIONS]], [given])


def _check(network: openvino.Model) -> None:
    """ValueError where a network has operators or sizes that none of ours has: the file may be anybody's."""
    for operator in network.get_ordered_ops():
        if operator.get_type_name() not in OPERATORS:
            raise ValueError(f"a network of ours has no {operator.get_type_name()}")
        for output in operator.outputs():
            lengths = list(output.partial_shape)[1:]
            if prod(length.get_length() for length in lengths if length.is_static) > LARGEST:
                raise ValueError("larger than any network of ours")
