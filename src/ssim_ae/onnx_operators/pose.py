"""The pose of a part in ONNX operators: the counterpart of `alignment.pose`, which uses arrays.

An image is planes (C, H, W) float32 whose values are whole numbers, those of its pixels. A pose is a vector (8,)
float32, with the fields of `alignment.pose.Pose` in their order.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ssim_ae.alignment.choose import Alignment
from ssim_ae.alignment.pose import (
    BAR_LENGTH,
    BORDER_WIDTH,
    CELL,
    CENTER_STEPS,
    DIRECTION_STEPS,
    GRID_SIZE,
    LEVELS,
    MIN_VARIANCE,
    SYMMETRIC,
)
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.regions import largest_region

CELLS = GRID_SIZE // CELL
HALF_OF_EXACT = 2.0**12  # splits whole numbers below 2^36 into two that can be summed exactly
Vector = tuple[str, str]  # y and x


def find_pose(add: GraphBuilder, planes: str, white: int) -> str:
    """Add `alignment.pose.find_pose` of planes (C, H, W) in which `white` is 2^n - 1: the pose (8,)."""
    height, width = height_and_width(add, planes)
    longer_side = add("Max", height, width)
    block = add("Div", add("Add", longer_side, GRID_SIZE - 1), GRID_SIZE)
    if white > LEVELS - 1:
        planes = add("Min", add("Floor", add("Mul", planes, LEVELS / (white + 1))), float(LEVELS - 1))
    area_of_block = _float(add, add("Mul", block, block))
    reduced = add("Floor", add("Div", block_sums(add, planes, block), area_of_block))
    mask = _part(add, _difference_from_border(add, reduced))
    return _pose_of(add, mask, _float(add, block), _float(add, longer_side))


def fits(add: GraphBuilder, pose: str, alignment: Alignment) -> str:
    """Add `Alignment.fits` of a pose (8,): whether it is that of a whole part, () bool."""
    sizes = add("Slice", pose, [4], [8])
    above = add("GreaterOrEqual", sizes, np.float32(alignment.lowest))
    below = add("LessOrEqual", sizes, np.float32(alignment.highest))
    fitting = add("Cast", add("And", above, below), to=TensorProto.FLOAT)
    return add("Greater", add("ReduceMin", fitting, keepdims=0), 0.0)


def _part(add: GraphBuilder, difference: str) -> str:
    """Add the mask (GRID_SIZE, GRID_SIZE) of the part, given the difference from the border (h, w)."""
    level = _otsu_level(add, _histogram(add, add("Reshape", difference, [1, -1])))
    mask = add("Cast", add("Greater", difference, level), to=TensorProto.FLOAT)
    mask = add("Max", mask, add("Sub", 1.0, add("ReduceMax", mask, keepdims=0)))  # the whole image if it has no part
    missing = add("Sub", [GRID_SIZE, GRID_SIZE], add("Shape", mask))
    mask = add("Pad", mask, add("Concat", [0, 0], missing, axis=0))
    cells = add("MaxPool", add("Reshape", mask, [1, 1, GRID_SIZE, GRID_SIZE]), kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    region = largest_region(add, add("Reshape", cells, [CELLS, CELLS]), CELLS)
    enlarged = add("Expand", add("Reshape", region, [CELLS, 1, CELLS, 1]), [CELLS, CELL, CELLS, CELL])
    return add("Mul", mask, add("Reshape", enlarged, [GRID_SIZE, GRID_SIZE]))


def _difference_from_border(add: GraphBuilder, reduced: str) -> str:
    """Add the largest difference (h, w) of the channels from their medians over the border of (C, h, w)."""
    end = 2**31 - 1
    sides = [
        add("Slice", reduced, [start], [stop], [axis])
        for axis in (1, 2)
        for start, stop in ((0, BORDER_WIDTH), (-BORDER_WIDTH, end))
    ]
    border = add("Concat", *(add("Reshape", side, [0, -1]) for side in sides), axis=1)
    counts = add("CumSum", _histogram(add, border), 1)
    total = add("Slice", counts, [LEVELS - 1], [LEVELS], [1])
    below_middle = add("Cast", add("Less", add("Mul", counts, 2.0), total), to=TensorProto.FLOAT)
    median = add("ReduceSum", below_middle, [1], keepdims=1)
    difference = add("Abs", add("Sub", reduced, add("Unsqueeze", median, [2])))
    return add("ReduceMax", difference, [0], keepdims=0)


def _histogram(add: GraphBuilder, values: str) -> str:
    """Add the numbers (rows, LEVELS) of the whole numbers in the rows of `values` (rows, n)."""
    levels = add("Cast", values, to=TensorProto.INT64)
    rows = add("Slice", add("Shape", values), [0], [1])
    zeros = add("Expand", 0.0, add("Concat", rows, [LEVELS], axis=0))
    ones = add("Expand", 1.0, add("Shape", values))
    return add("ScatterElements", zeros, levels, ones, axis=1, reduction="add")


def _otsu_level(add: GraphBuilder, histogram: str) -> str:
    """Add the level () that separates a histogram (1, LEVELS)."""
    levels = np.arange(LEVELS, dtype=np.float32)[None]
    counts = add("CumSum", histogram, 1)
    sums = add("CumSum", add("Mul", histogram, levels), 1)
    counts_above, sums_above = (
        add("Sub", add("Slice", totals, [LEVELS - 1], [LEVELS], [1]), totals) for totals in (counts, sums)
    )
    mean_above = add("Div", sums_above, add("Max", counts_above, 1.0))
    mean_below = add("Div", sums, add("Max", counts, 1.0))
    gap = add("Sub", mean_above, mean_below)
    between = add("Mul", add("Mul", counts, counts_above), add("Mul", gap, gap))
    is_highest = add("Equal", between, add("ReduceMax", between, keepdims=0))
    return add("ReduceMin", add("Where", is_highest, levels, float(LEVELS)), keepdims=0)


def _pose_of(add: GraphBuilder, mask: str, block: str, longer_side: str) -> str:
    """Add `alignment.pose.pose_of` of a mask (GRID_SIZE, GRID_SIZE): the pose (8,)."""
    positions = np.arange(GRID_SIZE, dtype=np.float32)
    counts = [add("ReduceSum", mask, [axis], keepdims=0) for axis in (1, 0)]  # in the rows and in the columns
    area = add("ReduceSum", counts[0], keepdims=0)
    middle = [add("Floor", add("Div", _dot(add, count, positions), area)) for count in counts]
    y, x = (add("Sub", positions, m) for m in middle)
    total_y, total_x = (_dot(add, count, p) for count, p in zip(counts, (y, x), strict=True))
    in_rows = add("ReduceSum", add("Mul", mask, x), [1], keepdims=0)
    squares = (
        _exact_sum(add, add("Mul", counts[0], add("Mul", y, y))),
        _exact_sum(add, add("Mul", counts[1], add("Mul", x, x))),
        _exact_sum(add, add("Mul", y, in_rows)),
    )
    pairs = ((total_y, total_y), (total_x, total_x), (total_y, total_x))
    spread_y, spread_x, covariance = (
        add("Sub", square, add("Div", add("Mul", *pair), area)) for square, pair in zip(squares, pairs, strict=True)
    )

    mean_y, mean_x = add("Div", total_y, area), add("Div", total_x, area)
    along, across, (direction_y, direction_x) = _principal_axis(add, spread_y, spread_x, covariance)
    distances = add(
        "Add",
        add("Unsqueeze", add("Mul", direction_y, add("Sub", y, mean_y)), [1]),
        add("Mul", direction_x, add("Sub", x, mean_x)),
    )
    deviation = add("Sqrt", add("Max", add("Div", along, area), float(MIN_VARIANCE)))
    relative = add("Div", distances, deviation)
    cubes = add("Mul", add("Mul", relative, relative), add("Mul", relative, mask))
    skewness = add("Div", add("ReduceSum", cubes, keepdims=0), area)
    sign = add("Where", add("Less", skewness, -SYMMETRIC), -1.0, 1.0)

    unit = add("Div", block, longer_side)
    centers = [
        add("Mul", add("Add", add("Add", m, mean), 0.5), block)
        for m, mean in zip(middle, (mean_y, mean_x), strict=True)
    ]
    fields = [
        *(rounded(add, center, CENTER_STEPS) for center in centers),
        *(rounded(add, add("Mul", part, sign), DIRECTION_STEPS) for part in (direction_y, direction_x)),
        add("Mul", add("Mul", area, unit), unit),
        add("Mul", add("Mul", deviation, float(BAR_LENGTH)), unit),
        add("Mul", add("Mul", add("Sqrt", add("Max", add("Div", across, area), 0.0)), float(BAR_LENGTH)), unit),
        add("Mul", skewness, sign),
    ]
    return add("Concat", *(add("Reshape", field, [1]) for field in fields), axis=0)


def _principal_axis(add: GraphBuilder, spread_y: str, spread_x: str, covariance: str) -> tuple[str, str, Vector]:
    """Add the spread along and across the principal axis and its direction, given the second moments, all ()."""
    difference, twice = add("Sub", spread_x, spread_y), add("Add", covariance, covariance)
    root = _norm(add, difference, twice)
    is_upright = add("Less", difference, 0.0)
    axis_y = add("Where", is_upright, add("Sub", root, difference), twice)
    axis_x = add("Where", is_upright, twice, add("Add", root, difference))
    axis_x = add("Where", add("Equal", root, 0.0), 1.0, axis_x)
    length = _norm(add, axis_y, axis_x)
    total = add("Add", spread_x, spread_y)
    along, across = (add("Mul", add(operator, total, root), 0.5) for operator in ("Add", "Sub"))
    return along, across, (add("Div", axis_y, length), add("Div", axis_x, length))


def _norm(add: GraphBuilder, y: str, x: str) -> str:
    """Add the length of a vector. A sum of a list, unlike an addition, is not fused with the products before it."""
    squares = (add("Reshape", add("Mul", value, value), [1]) for value in (y, x))
    return add("Sqrt", add("ReduceSum", add("Concat", *squares, axis=0), keepdims=0))


def _dot(add: GraphBuilder, a: str, b: str | np.ndarray) -> str:
    """Add the sum () of products of whole numbers. It must stay below 2^24."""
    return add("ReduceSum", add("Mul", a, b), keepdims=0)


def _exact_sum(add: GraphBuilder, terms: str) -> str:
    """Add the sum () of up to GRID_SIZE whole numbers below 2^24, rounded once."""
    high = add("Floor", add("Mul", terms, 1 / HALF_OF_EXACT))
    low = add("Sub", terms, add("Mul", high, HALF_OF_EXACT))
    total_high, total_low = (add("ReduceSum", part, keepdims=0) for part in (high, low))
    return add("Add", add("Mul", total_high, HALF_OF_EXACT), total_low)


def block_sums(add: GraphBuilder, planes: str, block: str) -> str:
    """Add `alignment.blocks.block_sums` of planes (C, H, W): (C, h, w)."""
    channels = add("Slice", add("Shape", planes), [0], [1])
    block = add("Reshape", block, [1])
    height, width = (add("Div", add("Slice", add("Shape", planes), [axis], [axis + 1]), block) for axis in (1, 2))
    whole = add("Concat", add("Mul", height, block), add("Mul", width, block), axis=0)
    planes = add("Slice", planes, [0, 0], whole, [1, 2])
    lines = add("Concat", channels, height, block, [-1], axis=0)
    planes = add("ReduceSum", add("Reshape", planes, lines), [2], keepdims=0)
    columns = add("Concat", channels, height, width, block, axis=0)
    return add("ReduceSum", add("Reshape", planes, columns), [3], keepdims=0)


def height_and_width(add: GraphBuilder, planes: str) -> tuple[str, str]:
    height, width = (add("Gather", add("Shape", planes), axis) for axis in (1, 2))
    return height, width


def rounded(add: GraphBuilder, value: str, steps: int) -> str:
    """Add `alignment.pose.rounded`."""
    return add("Mul", add("Round", add("Mul", value, float(steps))), 1 / steps)


def _float(add: GraphBuilder, value: str) -> str:
    return add("Cast", value, to=TensorProto.FLOAT)
