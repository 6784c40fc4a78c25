"""Training steps as a CUDA graph: one launch in place of hundreds, which take longer than the kernels themselves."""

from collections.abc import Callable

import torch
from torch import Tensor

UpdateFunction = Callable[[Tensor, Tensor], Tensor]  # the inputs and the targets of a batch -> its loss

EAGER_STEPS = 3  # before the capture: they allocate the states of the optimizers and choose the kernels


class CapturedStep:
    """Calls a step on a batch, then captures it and replays it for batches of the same shape; others are not captured.

    A step gets float32 tensors on the device, and must not wait for the device. The tensors that it changes must
    stay the same ones.
    """

    def __init__(self, step: UpdateFunction) -> None:
        self.step = step
        self.graph: torch.cuda.CUDAGraph | None = None
        self.eager_steps = 0

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a step on a batch."""
        if self.eager_steps < EAGER_STEPS:
            self.eager_steps += 1
            return self._on_side_stream(inputs, targets)
        if self.graph is None:
            self._capture(inputs, targets)
        if inputs.shape != self.inputs.shape:
            return self.step(inputs, targets)
        self.inputs.copy_(inputs)
        self.targets.copy_(targets)
        assert self.graph is not None
        self.graph.replay()
        return self.loss.clone()

    def _on_side_stream(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Take a step on a stream other than the default one, as captures require of the steps before them."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self.step(inputs, targets)
        torch.cuda.current_stream().wait_stream(stream)
        return loss

    def _capture(self, inputs: Tensor, targets: Tensor) -> None:
        """Record the step, without taking it."""
        self.inputs, self.targets = inputs.clone(), targets.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.step(self.inputs, self.targets)
