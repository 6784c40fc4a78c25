"""A convolution fused with its activation, forward and backward, with oneDNN on a CPU.

It is faster than PyTorch's layers for two reasons: oneDNN applies the activation inside the convolution, and the bias
gradient is a separate sum, because in a transposed convolution PyTorch's own takes three times as long as the rest.
"""

from typing import Any

import torch
from torch import Tensor

from ssim_ae.network.architecture import LEAKY_SLOPE, Layer

DILATION = [1, 1]
OUTPUT_PADDING = [0, 0]
GROUPS = 1


def onednn_convolution(values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    """Apply the convolution of `layer`, and leaky_relu if it is the layer's activation; other activations are not.

    `values` (B, in, H, W) and the result (B, out, H', W') are channels-last.
    """
    result: Tensor = _OneDnnConvolution.apply(values, weight, bias, layer)  # type: ignore[no-untyped-call]
    return result


class _OneDnnConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
        padding, stride = [layer.padding] * 2, [layer.stride] * 2
        activation = ("leaky_relu", [LEAKY_SLOPE], "") if layer.activation == "leaky_relu" else ("none", [], "")
        onednn = torch.ops.mkldnn
        if layer.kind == "conv":
            output = onednn._convolution_pointwise(values, weight, bias, padding, stride, DILATION, GROUPS, *activation)
        else:
            output = onednn._convolution_transpose_pointwise(
                values, weight, bias, padding, OUTPUT_PADDING, stride, DILATION, GROUPS, *activation
            )
        ctx.save_for_backward(values, weight, output)
        ctx.layer = layer
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor, None]:
        values, weight, output = ctx.saved_tensors
        layer = ctx.layer
        if layer.activation == "leaky_relu":
            # In place, because nothing else reads the gradient between two layers
            torch.ops.aten.leaky_relu_backward(gradient, output, LEAKY_SLOPE, True, grad_input=gradient)
        values_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
            gradient,
            values,
            weight,
            None,  # bias sizes: the bias gradient is computed below
            [layer.stride] * 2,
            [layer.padding] * 2,
            DILATION,
            layer.kind == "conv_transpose",
            OUTPUT_PADDING,
            GROUPS,
            [ctx.needs_input_grad[0], True, False],  # which gradients: values, weight, bias
        )
        bias_gradient = gradient.sum((0, 2, 3))
        return values_gradient, weight_gradient, bias_gradient, None
