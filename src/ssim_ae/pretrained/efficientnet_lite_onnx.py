"""EfficientNet-Lite0 up to stride 16 as ONNX operators, of any opset from 11 on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssim_ae.pretrained.efficientnet_lite import STRIDE_8, STRIDE_16, convolutions

if TYPE_CHECKING:
    from ssim_ae.onnx_operators.graph import GraphBuilder


def backbone_nodes(add: GraphBuilder, image: str) -> tuple[str, str]:
    """Add the network: images (B, C, H, W) in [0, 1] -> features at stride 8 and at stride 16.

    H and W are multiples of 16; C is 3, or 1 with the weights for gray images. The features are (B, 40, H/8, W/8) and
    (B, 112, H/16, W/16). The graph needs the weights of `load_weights` as initializers under their names.
    """
    value = add("Sub", add("Mul", image, 255 / 128), 127 / 128)  # (255 x - 127) / 128, as in the training
    zero, six = add.constant(0.0), add.constant(6.0)
    outputs: dict[str, str] = {}
    for layer in convolutions():
        value = add(
            "Conv",
            value,
            f"{layer.name}.weight",
            f"{layer.name}.bias",
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=_same_padding(layer.kernel, layer.stride),
            group=layer.groups,
        )
        if layer.relu6:
            value = add("Clip", value, zero, six)
        if layer.added:
            value = add("Add", value, outputs[layer.added])
        outputs[layer.name] = value
    return outputs[STRIDE_8], outputs[STRIDE_16]


def _same_padding(kernel: int, stride: int) -> list[int]:
    """Return the padding (top, left, bottom, right) of TensorFlow's `SAME` for sizes that are multiples of `stride`."""
    total = kernel - stride
    return [total // 2] * 2 + [total - total // 2] * 2
