"""A builder of ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

Value = str | int | float | Sequence[int] | np.ndarray  # an input of an operator: the name of a value, or a constant


class GraphBuilder:
    """Builds an ONNX graph, one node at a time.

    The graph's values are referred to by name. Calling the builder adds a node and returns the name of its output,
    which can be an input of the next nodes:

        add = GraphBuilder()
        total = add("ReduceSum", add("Mul", "image", 0.5), keepdims=0)

    An input that is not a name becomes a constant: an int an int64 scalar, a float a float32 scalar, a sequence an
    int64 vector, and an array a tensor of its own dtype.

    Attributes:
        nodes: the nodes in the order in which they were added, which is a valid order of execution.
        tensors: the constants, which become the graph's initializers.

    The body of a loop has its own builder, made with the surrounding one as `outer`. Both share `tensors` and the
    numbering of names, because a loop body reads the values of the graph around it. With a `prefix`, names differ from
    those of other graphs.
    """

    def __init__(self, outer: GraphBuilder | None = None, *, prefix: str = "") -> None:
        self.prefix: str = outer.prefix if outer else prefix
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = outer.tensors if outer else []
        self._numbers: count[int] = outer._numbers if outer else count()

    def __call__(self, operator: str, *inputs: Value, output: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name, which is `output` or a new one."""
        return self._add_node(operator, inputs, [output or self._new_name(operator)], attributes)[0]

    def add_multi(self, operator: str, *inputs: Value, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        return self._add_node(operator, inputs, [self._new_name(operator) for _ in range(outputs)], attributes)

    def constant(self, value: int | float | Sequence[int] | np.ndarray) -> str:
        """Add a constant and return its name."""
        if not isinstance(value, np.ndarray):
            value = np.array(value, np.float32 if isinstance(value, float) else np.int64)
        name = self._new_name("constant")
        self.tensors.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def loop_until_stable(self, start: str, step: Callable[[GraphBuilder, str], str]) -> str:
        """Add a loop that applies `step` to a float32 tensor until the tensor stays the same.

        `step(body, state)` adds the nodes of one iteration to `body` and returns the name of the new state. Returns the
        name of the last state.
        """
        body, state, condition = GraphBuilder(self), self._new_name("state"), self._new_name("condition")
        new_state = step(body, state)
        change = body("ReduceSum", body("Abs", body("Sub", new_state, state)), keepdims=0)
        go_on = body("Greater", change, 0.0)
        return self._add_loop(body, start, state=(state, new_state), condition=(condition, go_on))

    def loop_n(self, start: str, step: Callable[[GraphBuilder, str], str], *, n: int) -> str:
        """Add a loop that applies `step` to a float32 tensor `n` times.

        `step(body, state)` adds the nodes of one iteration to `body` and returns the name of the new state. Returns the
        name of the last state.
        """
        body, state, condition = GraphBuilder(self), self._new_name("state"), self._new_name("condition")
        new_state = step(body, state)
        go_on = body("Identity", condition)
        return self._add_loop(body, start, state=(state, new_state), condition=(condition, go_on), iterations=n)

    def _add_loop(
        self,
        body: GraphBuilder,
        start: str,
        *,
        state: tuple[str, str],
        condition: tuple[str, str],
        iterations: int | None = None,
    ) -> str:
        """Add a `Loop` node; `state` and `condition` name the values before and after an iteration."""
        inputs = [
            helper.make_tensor_value_info(self._new_name("iteration"), TensorProto.INT64, []),
            helper.make_tensor_value_info(condition[0], TensorProto.BOOL, []),
            helper.make_tensor_value_info(state[0], TensorProto.FLOAT, None),
        ]
        outputs = [
            helper.make_tensor_value_info(condition[1], TensorProto.BOOL, []),
            helper.make_tensor_value_info(state[1], TensorProto.FLOAT, None),
        ]
        graph = helper.make_graph(body.nodes, self._new_name("loop"), inputs, outputs)
        max_iterations = "" if iterations is None else self.constant(iterations)  # an empty name: no maximum
        return self("Loop", max_iterations, self.constant(np.array(True)), start, body=graph)

    def _add_node(
        self, operator: str, inputs: Sequence[Value], outputs: list[str], attributes: dict[str, Any]
    ) -> list[str]:
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, outputs, outputs[0], **attributes))
        return outputs

    def _new_name(self, kind: str) -> str:
        return f"{self.prefix}{kind}_{next(self._numbers)}"
