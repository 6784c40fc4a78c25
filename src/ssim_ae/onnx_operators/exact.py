"""Arithmetic that every runtime rounds in one way, in ONNX operators: the counterpart of `alignment.exact`."""

from __future__ import annotations

from onnx import TensorProto

from ssim_ae.alignment.exact import QUOTIENT_DIGITS
from ssim_ae.onnx_operators.graph import GraphBuilder

LOW_PART = 2.0**14  # splits whole numbers below 2^30 into two, of which float32 sums 256 exactly


def block_sums(add: GraphBuilder, planes: str, block: str) -> str:
    """Add the sums (C, h, w) of the blocks of `block` x `block` px of planes (C, H, W)."""
    channels = add("Slice", add("Shape", planes), [0], [1])
    block = add("Reshape", block, [1])
    height, width = (add("Div", add("Slice", add("Shape", planes), [axis], [axis + 1]), block) for axis in (1, 2))
    whole = add("Concat", add("Mul", height, block), add("Mul", width, block), axis=0)
    planes = add("Slice", planes, [0, 0], whole, [1, 2])
    lines = add("Concat", channels, height, block, [-1], axis=0)
    planes = add("ReduceSum", add("Reshape", planes, lines), [2], keepdims=0)
    columns = add("Concat", channels, height, width, block, axis=0)
    return add("ReduceSum", add("Reshape", planes, columns), [3], keepdims=0)


def sum_of(add: GraphBuilder, terms: str) -> str:
    """Add the sum () of up to 256 whole numbers below 2^30, rounded once."""
    high = add("Floor", add("Mul", terms, 1 / LOW_PART))
    low = add("Sub", terms, add("Mul", high, LOW_PART))
    total_high, total_low = (add("ReduceSum", part, keepdims=0) for part in (high, low))
    return add("Add", add("Mul", total_high, LOW_PART), total_low)


def quotient(add: GraphBuilder, a: str, b: str) -> str:
    """Add a / b as float32, after rounding down to a multiple of 2^-24: int64 a < 2^24 and 0 < b <= 2^16.

    It is a long division of integers, which runtimes divide exactly, up to 2^24.
    """
    whole = add("Div", a, b)
    rest = add("Sub", a, add("Mul", whole, b))
    fraction = ""
    for _ in range(QUOTIENT_DIGITS):
        shifted = add("Mul", rest, 256)
        digit = add("Div", shifted, b)
        rest = add("Sub", shifted, add("Mul", digit, b))
        fraction = add("Add", add("Mul", fraction, 256), digit) if fraction else digit
    return add("Add", to_float(add, whole), add("Mul", to_float(add, fraction), 256.0**-QUOTIENT_DIGITS))


def rounded(add: GraphBuilder, value: str, steps: int) -> str:
    """Add the rounding to a multiple of 1 / `steps`, a power of 2."""
    return add("Mul", add("Round", add("Mul", value, float(steps))), 1 / steps)


def to_float(add: GraphBuilder, value: str) -> str:
    """Add the conversion to float32."""
    return add("Cast", value, to=TensorProto.FLOAT)


def to_int(add: GraphBuilder, value: str) -> str:
    """Add the conversion of whole numbers to int64."""
    return add("Cast", value, to=TensorProto.INT64)
