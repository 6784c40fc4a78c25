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
        return self._added(operator, inputs, [output or self._name(operator)], attributes)[0]

    def several(self, operator: str, *inputs: Value, outputs: int, **attributes: Any) -> list[str]:
        """Add an operator with several outputs."""
        return self._added(operator, inputs, [self._name(operator) for _ in range(outputs)], attributes)

    def _added(
        self, operator: str, inputs: Sequence[Value], outputs: list[str], attributes: dict[str, Any]
    ) -> list[str]:
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
        return self._loop(start, step, times=None)

    def repeated(self, start: str, step: Callable[[Graph, str], str], *, times: int) -> str:
        """Return what comes of float32 values when `step` is taken so many times."""
        return self._loop(start, step, times=times)

    def _loop(self, start: str, step: Callable[[Graph, str], str], times: int | None) -> str:
        body = Graph(self)
        before, go_on = self._name("before"), self._name("go_on")
        after = step(body, before)
        if times is None:
            difference = body("ReduceSum", body("Abs", body("Sub", after, before)), keepdims=0)
            again = body("Greater", difference, 0.0)
        else:
            again = body("Identity", go_on)
        inputs = [
            helper.make_tensor_value_info(self._name("iteration"), TensorProto.INT64, []),
            helper.make_tensor_value_info(go_on, TensorProto.BOOL, []),
            helper.make_tensor_value_info(before, TensorProto.FLOAT, None),
        ]
        outputs = [
            helper.make_tensor_value_info(again, TensorProto.BOOL, []),
            helper.make_tensor_value_info(after, TensorProto.FLOAT, None),
        ]
        graph = helper.make_graph(body.nodes, self._name("loop"), inputs, outputs)
        limit = "" if times is None else self.constant(times)
        return self("Loop", limit, self.constant(np.array(True)), start, body=graph)

    def _name(self, kind: str) -> str:
        return f"{kind}_{next(self.numbers)}"
