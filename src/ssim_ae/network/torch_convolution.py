"""A convolution with its activation, forward and backward, as oneDNN does them fastest on a CPU.

Two things that PyTorch's own layers leave lying: the activation costs nothing inside the convolution, and the bias
gradient of a transposed convolution, asked for together with the others, takes three times as long as the rest.
"""

from typing import Any

import torch
from torch import Tensor

from ssim_ae.network.architecture import LEAKY_SLOPE, Layer


def convolution(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    """(B, in, H, W) -> (B, out, H', W'), channels-last. Of the activations only leaky_relu is applied."""
    result: Tensor = _Convolution.apply(values, weight, bias, layer)  # type: ignore[no-untyped-call]
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
        padding, stride = [layer.padding] * 2, [layer.stride] * 2
        activation = ("leaky_relu", [LEAKY_SLOPE], "") if layer.activation == "leaky_relu" else ("none", [], "")
        onednn = torch.ops.mkldnn
        if layer.kind == "conv":
            output = onednn._convolution_pointwise(values, weight, bias, padding, stride, [1, 1], 1, *activation)
        else:
            output = onednn._convolution_transpose_pointwise(
                values, weight, bias, padding, [0, 0], stride, [1, 1], 1, *activation
            )
        ctx.save_for_backward(values, weight, output)
        ctx.layer = layer
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor, None]:
        values, weight, output = ctx.saved_tensors
        layer = ctx.layer
        aten = torch.ops.aten
        if layer.activation == "leaky_relu":
            # In place: between two layers the gradient has no other reader
            aten.leaky_relu_backward(gradient, output, LEAKY_SLOPE, True, grad_input=gradient)
        of_values, of_weight, _ = aten.convolution_backward(
            *(gradient, values, weight, None, [layer.stride] * 2, [layer.padding] * 2, [1, 1]),
            *(layer.kind == "conv_transpose", [0, 0], 1, [ctx.needs_input_grad[0], True, False]),
        )
        return of_values, of_weight, gradient.sum((0, 2, 3)), None
