"""The strip along a part in ONNX operators: the counterpart of `alignment.strip`, which uses arrays.

Planes and poses are those of `onnx_operators.pose`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ssim_ae.alignment.strip import CENTER_STEPS, POSITION_STEPS, Strip
from ssim_ae.onnx_operators.exact import block_sums, quotient, rounded, to_float, to_int
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.pose import height_and_width


class Extent(NamedTuple):
    """A strip in whole px: the sums of both ends, float32, and the differences, int64, along and across."""

    ends_along: str
    ends_across: str
    length: str
    breadth: str


def aligned(add: GraphBuilder, planes: str, pose: str, strip: Strip, height: int, width: int, white: int) -> str:
    """Add `alignment.strip.aligned` of planes (C, H, W), in which `white` is white: (C, height, width) in [0, 1]."""
    size = height_and_width(add, planes)
    extent = extent_in(add, strip, add("Max", *size))
    fitting = add("Min", add("Div", extent.length, width), add("Div", extent.breadth, height))
    block = add("Max", add("Min", fitting, *size), 1)
    reduced = block_sums(add, planes, block)
    rows, columns = height_and_width(add, reduced)
    base, positions = _positions(add, pose, extent, block, height, width)
    top, bottom, weight_y = _neighbors(add, positions[0], base[0], rows)
    left, right, weight_x = _neighbors(add, positions[1], base[1], columns)

    flat = add("Reshape", reduced, [0, -1])
    starts = [add("Mul", row, columns) for row in (top, bottom)]
    corners = [[add("Gather", flat, add("Add", start, column), axis=1) for column in (left, right)] for start in starts]
    upper, lower = (mixed(add, first, second, weight_x) for first, second in corners)
    whole = to_float(add, add("Mul", add("Mul", block, block), white))
    return add("Min", add("Div", mixed(add, upper, lower, weight_y), whole), 1.0)


def _positions(
    add: GraphBuilder, pose: str, extent: Extent, block: str, height: int, width: int
) -> tuple[tuple[str, str], tuple[str, str]]:
    """Add row and column of a pixel, and the positions relative to it of the pixels of a strip (height, width)."""
    along, across = _axes(add, pose)
    one, twice = add.constant(1), add("Mul", block, 2)
    offset = add("Mul", _offset(add, extent, along, across), quotient(add, one, twice))
    offset = rounded(add, offset, POSITION_STEPS)
    center = rounded(add, add("Mul", add("Slice", pose, [0], [2]), quotient(add, one, block)), CENTER_STEPS)
    center = add("Sub", center, 0.5)
    base = add("Floor", center)
    start = add("Add", add("Sub", center, base), offset)
    columns = np.arange(1 - width, width, 2, dtype=np.float32)
    rows = np.arange(1 - height, height, 2, dtype=np.float32)[:, None]
    column_step, row_step = (
        rounded(add, add("Mul", axis, quotient(add, e, add("Mul", twice, n))), POSITION_STEPS)
        for axis, e, n in ((along, extent.length, width), (across, extent.breadth, height))
    )

    def position(i: int) -> str:
        from_columns = add("Mul", columns, add("Gather", column_step, i))
        from_rows = add("Mul", rows, add("Gather", row_step, i))
        return add("Add", add("Add", from_columns, from_rows), add("Gather", start, i))

    return (add("Gather", base, 0), add("Gather", base, 1)), (position(0), position(1))


def extent_in(add: GraphBuilder, strip: Strip, longer_side: str) -> Extent:
    """Add `alignment.strip.extent_in`; `longer_side` is an int64 scalar."""
    longer_side = to_float(add, longer_side)
    start, stop, left, right = (add("Round", add("Mul", float(share), longer_side)) for share in strip)
    stop, right = add("Max", stop, add("Add", start, 1.0)), add("Max", right, add("Add", left, 1.0))
    length, breadth = (to_int(add, add("Sub", *ends)) for ends in ((stop, start), (right, left)))
    return Extent(add("Add", start, stop), add("Add", left, right), length, breadth)


def _axes(add: GraphBuilder, pose: str) -> tuple[str, str]:
    """Add the directions (y, x) along and across a part."""
    along = add("Slice", pose, [2], [4])
    return along, add("Mul", add("Gather", along, [1, 0]), np.array([1, -1], np.float32))


def _offset(add: GraphBuilder, extent: Extent, along: str, across: str) -> str:
    """Add twice the offset (y, x) of the middle of a strip from the part's center."""
    return add("Add", add("Mul", along, extent.ends_along), add("Mul", across, extent.ends_across))


def _neighbors(add: GraphBuilder, positions: str, base: str, length: str) -> tuple[str, str, str]:
    """Add the pixels before and after positions relative to the pixel `base`, and the weight of those after."""
    last = add("Sub", length, 1)
    inside = add("Min", add("Max", positions, add("Neg", base)), add("Sub", to_float(add, last), base))
    floor = add("Floor", inside)
    before = to_int(add, add("Add", floor, base))
    return before, add("Min", add("Add", before, 1), last), add("Sub", inside, floor)


def mixed(add: GraphBuilder, first: str, second: str, weight: str) -> str:
    """Add the values between `first` and `second`, at a distance of `weight` in [0, 1] from `first`."""
    return add("Add", first, add("Mul", add("Sub", second, first), weight))
