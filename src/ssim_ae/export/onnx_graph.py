"""An ONNX graph under construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

Value = str | int | float | Sequence[int] | np.ndarray  # what an operator takes: an output by name, or a constant


class Graph:
    """Called with an operator and its inputs, adds it and returns the name of its output.

    Constants may stand among the inputs: numbers become scalars, int64 or float32, sequences int64 vectors.
    """

    def __init__(self, outer: Graph | None = None) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = outer.tensors if outer else []
        self.numbers: count[int] = outer.numbers if outer else count()

    def __call__(self, operator: str, *inputs: Value, output: str = "", **attributes: Any) -> str:
        """Add an operator with one output, which may be given its name."""
        return self.several(operator, *inputs, outputs=[output or self._name(operator)], **attributes)[0]

    def several(self, operator: str, *inputs: Value, outputs: list[str], **attributes: Any) -> list[str]:
        """Add an operator with several outputs."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, outputs, outputs[0], **attributes))
        return outputs

    def constant(self, value: int | float | Sequence[int] | np.ndarray) -> str:
        """Add a constant."""
        if not isinstance(value, np.ndarray):
            value = np.array(value, np.float32 if isinstance(value, float) else np.int64)
        name = self._name("constant")
        self.tensors.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def settled(self, start: str, step: Callable[[Graph, str], str]) -> str:
        """Return what comes of float32 values when `step` is taken until it changes nothing."""
        body = Graph(self)
        before = self._name("before")
        after = step(body, before)
        difference = body("ReduceSum", body("Abs", body("Sub", after, before)), keepdims=0)
        changed = body("Greater", difference, 0.0)
        inputs = [
            helper.make_tensor_value_info(self._name("iteration"), TensorProto.INT64, []),
            helper.make_tensor_value_info(self._name("go_on"), TensorProto.BOOL, []),
            helper.make_tensor_value_info(before, TensorProto.FLOAT, None),
        ]
        outputs = [
            helper.make_tensor_value_info(changed, TensorProto.BOOL, []),
            helper.make_tensor_value_info(after, TensorProto.FLOAT, None),
        ]
        settled = helper.make_graph(body.nodes, self._name("settle"), inputs, outputs)
        return self("Loop", "", self.constant(np.array(True)), start, body=settled)

    def _name(self, kind: str) -> str:
        return f"{kind}_{next(self.numbers)}"
