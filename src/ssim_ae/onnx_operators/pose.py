"""The pose of a part in ONNX operators: the counterpart of `alignment.pose`, which uses arrays.

An image is planes (C, H, W) float32 whose values are whole numbers, those of its pixels. A pose is a vector (8,)
float32, with the fields of `alignment.pose.Pose` in their order.
"""

from __future__ import annotations

import numpy as np

from ssim_ae.alignment.pose import (
    BAR_LENGTH,
    BORDER_WIDTH,
    CELL,
    CENTER_STEPS,
    DIRECTION_STEPS,
    GRID_SIZE,
    LEVELS,
    MIN_VARIANCE,
    MOMENT_STEPS,
    SYMMETRIC,
)
from ssim_ae.images.size import Size
from ssim_ae.onnx_operators.exact import block_sums, quotient, rounded, sum_of, to_float, to_int
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.regions import largest_region

CELLS = GRID_SIZE // CELL
Vector = tuple[str, str]  # y and x


def find_pose(add: GraphBuilder, planes: str, white: int) -> str:
    """Add `alignment.pose.find_pose` of planes (C, H, W) in which `white` is 2^n - 1: the pose (8,)."""
    height, width = height_and_width(add, planes)
    longer_side = add("Max", height, width)
    block = add("Min", add("Div", add("Add", longer_side, GRID_SIZE - 1), GRID_SIZE), height, width)
    if white > LEVELS - 1:
        planes = add("Min", add("Floor", add("Mul", planes, LEVELS / (white + 1))), float(LEVELS - 1))
    sums = add("Slice", block_sums(add, planes, block), [0, 0], [GRID_SIZE] * 2, [1, 2])
    reduced = to_float(add, add("Div", to_int(add, sums), add("Mul", block, block)))
    mask = _part(add, _difference_from_border(add, reduced))
    return _pose_of(add, mask, to_float(add, block), to_float(add, longer_side))


def _part(add: GraphBuilder, difference: str) -> str:
    """Add the mask (GRID_SIZE, GRID_SIZE) of the part, given the difference from the border (h, w)."""
    level = _otsu_level(add, _histogram(add, add("Reshape", difference, [1, -1])))
    mask = to_float(add, add("Greater", difference, level))
    mask = add("Max", mask, add("Sub", 1.0, add("ReduceMax", mask, keepdims=0)))  # the whole image if it has no part
    missing = add("Sub", [GRID_SIZE, GRID_SIZE], add("Shape", mask))
    mask = add("Pad", mask, add("Concat", [0, 0], missing, axis=0))
    planes = add("Reshape", mask, [1, 1, GRID_SIZE, GRID_SIZE])
    cells = add("MaxPool", planes, kernel_shape=[CELL] * 2, strides=[CELL] * 2)
    region = largest_region(add, add("Reshape", cells, [CELLS, CELLS]), Size.of(CELLS))
    enlarged = add("Expand", add("Reshape", region, [CELLS, 1, CELLS, 1]), [CELLS, CELL, CELLS, CELL])
    return add("Mul", mask, add("Reshape", enlarged, [GRID_SIZE, GRID_SIZE]))


def _difference_from_border(add: GraphBuilder, reduced: str) -> str:
    """Add the largest difference (h, w) of the channels from their medians over the border of (C, h, w)."""
    first, last = (0, BORDER_WIDTH), (-BORDER_WIDTH, GRID_SIZE)
    sides = [add("Slice", reduced, [start], [stop], [axis]) for axis in (1, 2) for start, stop in (first, last)]
    border = add("Concat", *(add("Reshape", side, [0, -1]) for side in sides), axis=1)
    counts = add("CumSum", _histogram(add, border), 1)
    total = add("Slice", counts, [LEVELS - 1], [LEVELS], [1])
    below_middle = to_float(add, add("Less", add("Mul", counts, 2.0), total))
    median = add("ReduceSum", below_middle, [1], keepdims=1)
    difference = add("Abs", add("Sub", reduced, add("Unsqueeze", median, [2])))
    return add("ReduceMax", difference, [0], keepdims=0)


def _histogram(add: GraphBuilder, values: str) -> str:
    """Add the numbers (rows, LEVELS) of the whole numbers in the rows of `values` (rows, n)."""
    levels = to_int(add, values)
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
    mean, mean_above = (
        quotient(add, to_int(add, s), add("Max", to_int(add, n), 1))
        for s, n in ((sums, counts), (sums_above, counts_above))
    )
    gap = add("Sub", mean_above, mean)
    between = add("Mul", add("Mul", counts, counts_above), add("Mul", gap, gap))
    is_highest = add("Equal", between, add("ReduceMax", between, keepdims=0))
    return add("ReduceMin", add("Where", is_highest, levels, float(LEVELS)), keepdims=0)


def _pose_of(add: GraphBuilder, mask: str, block: str, longer_side: str) -> str:
    """Add `alignment.pose.pose_of` of a mask (GRID_SIZE, GRID_SIZE): the pose (8,)."""
    positions = np.arange(GRID_SIZE, dtype=np.float32)
    counts = [add("ReduceSum", mask, [axis], keepdims=0) for axis in (1, 0)]  # in the rows and in the columns
    area = add("ReduceSum", counts[0], keepdims=0)
    means = [_mean_position(add, count, area) for count in counts]
    y, x = (
        add("Sub", MOMENT_STEPS * positions, rounded(add, add("Mul", mean, float(MOMENT_STEPS)), 1)) for mean in means
    )
    in_rows = add("ReduceSum", add("Mul", mask, x), [1], keepdims=0)
    spread_y, spread_x = (
        sum_of(add, add("Mul", count, add("Mul", p, p))) for count, p in zip(counts, (y, x), strict=True)
    )
    covariance = sum_of(add, add("Mul", y, in_rows))
    along, across, direction = _principal_axis(add, spread_y, spread_x, covariance)

    deviation, deviation_across = (
        add("Mul", add("Sqrt", add("Max", add("Div", spread, area), float(MIN_VARIANCE))), 1 / MOMENT_STEPS)
        for spread in (along, across)
    )
    y, x = (add("Mul", d, add("Sub", positions, mean)) for d, mean in zip(direction, means, strict=True))
    relative = add("Div", add("Add", add("Unsqueeze", y, [1]), x), deviation)
    cubes = add("Mul", add("Mul", relative, relative), add("Mul", relative, mask))
    skewness = add("Div", add("ReduceSum", cubes, keepdims=0), area)
    sign = add("Where", add("Less", skewness, -SYMMETRIC), -1.0, 1.0)

    unit = add("Div", block, longer_side)
    fields = [
        *(add("Mul", add("Add", mean, 0.5), block) for mean in means),
        *(rounded(add, add("Mul", part, sign), DIRECTION_STEPS) for part in direction),
        add("Mul", add("Mul", area, unit), unit),
        *(add("Mul", add("Mul", d, float(BAR_LENGTH)), unit) for d in (deviation, deviation_across)),
        add("Mul", skewness, sign),
    ]
    return add("Concat", *(add("Reshape", field, [1]) for field in fields), axis=0)


def _mean_position(add: GraphBuilder, counts: str, total: str) -> str:
    """Add the mean position () of `total` pixels, given their numbers (GRID_SIZE,): a multiple of 1 / CENTER_STEPS."""
    positions = np.arange(GRID_SIZE, dtype=np.float32)
    sum_of_positions = add("ReduceSum", add("Mul", counts, positions), keepdims=0)
    return rounded(add, quotient(add, to_int(add, sum_of_positions), to_int(add, total)), CENTER_STEPS)


def _principal_axis(add: GraphBuilder, spread_y: str, spread_x: str, covariance: str) -> tuple[str, str, Vector]:
    """Add the spread along and across the principal axis and its direction, given the second moments, all ()."""
    difference, twice = add("Sub", spread_x, spread_y), add("Add", covariance, covariance)
    root = _norm(add, difference, twice)
    is_upright = add("Less", difference, 0.0)
    axis_y = add("Where", is_upright, add("Sub", root, difference), twice)
    axis_x = add("Where", is_upright, twice, add("Add", root, difference))
    axis_x = add("Where", add("Equal", root, 0.0), 1.0, axis_x)
    total = add("Add", spread_x, spread_y)
    along, across = (add("Mul", add(operator, total, root), 0.5) for operator in ("Add", "Sub"))
    return along, across, _unit_vector(add, axis_y, axis_x)


def _unit_vector(add: GraphBuilder, y: str, x: str) -> Vector:
    """Add a vector divided by its length, as a quotient of whole numbers: all are scaled to about 16 bits."""
    length = _norm(add, y, x)
    powers = 2 ** np.arange(40, dtype=np.float32)
    bits = add("ReduceSum", to_float(add, add("GreaterOrEqual", length, powers)), keepdims=0)
    scale = add("Gather", 2 ** (16 - np.arange(41, dtype=np.float32)), to_int(add, bits))
    whole_y, whole_x, whole_length = (rounded(add, add("Mul", value, scale), 1) for value in (y, x, length))
    divisor = to_int(add, whole_length)
    dy, dx = (
        add("Mul", add("Sign", whole), quotient(add, to_int(add, add("Abs", whole)), divisor))
        for whole in (whole_y, whole_x)
    )
    return dy, dx


def _norm(add: GraphBuilder, y: str, x: str) -> str:
    """Add the length of a vector. A sum of a list, unlike an addition, is not fused with the products before it."""
    squares = (add("Reshape", add("Mul", value, value), [1]) for value in (y, x))
    return add("Sqrt", add("ReduceSum", add("Concat", *squares, axis=0), keepdims=0))


def height_and_width(add: GraphBuilder, planes: str) -> tuple[str, str]:
    """Add the height and the width () int64 of planes (C, H, W)."""
    height, width = (add("Gather", add("Shape", planes), axis) for axis in (1, 2))
    return height, width
