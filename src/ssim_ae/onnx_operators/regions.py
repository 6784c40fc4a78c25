"""Connected regions of a map in ONNX operators: the counterpart of `maps.regions`, which uses arrays.

ONNX has no operator for connected components. Here a value spreads through a region until nothing changes. To need few
iterations, each iteration fills whole runs, a run being a sequence of adjacent region pixels in a column or a row: the
largest value of a run is scattered to the run's number and gathered by all pixels of the run.

Masks are float32, 1 inside and 0 outside. `size` is the size of the map, H x W.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ssim_ae.images.size import Size
from ssim_ae.maps.regions import disk_rectangles
from ssim_ae.onnx_operators.graph import GraphBuilder


def opening(add: GraphBuilder, values: str, size: Size, *, radius: int) -> str:
    """Add the gray opening of `values` (H, W) by a disk and return its result (H, W).

    The maximum over a disk is the maximum over the rectangles in it, and over a rectangle it is a max-pooling.
    """
    planes = add("Reshape", values, [1, 1, *size])
    eroded = add("Neg", _dilation(add, add("Neg", planes), radius))
    return add("Reshape", _dilation(add, eroded, radius), [*size])


def foreground(add: GraphBuilder, background: str, size: Size) -> str:
    """Add the mask (H, W) of the foreground, given the mask (H, W) of background-colored pixels.

    Foreground is everything except the background pixels that are 4-connected to the border of the map.
    """
    border = np.ones(size, np.float32)
    border[1:-1, 1:-1] = 0
    runs = _number_runs(add, background)

    def spread(body: GraphBuilder, outside: str) -> str:
        return _fill_runs(body, outside, background, runs, size)

    return add("Sub", 1.0, add.loop_until_stable(add("Mul", background, border), spread))


def level_of_area(add: GraphBuilder, opened: str, size: Size, min_area: int, *, steps: int) -> str:
    """Add the lowest level () above which no region of `opened` (H, W) has `min_area` px.

    The level is found by bisection between 0 and the maximum, in `steps` steps; the upper end is returned.
    """

    def bisect(body: GraphBuilder, interval: str) -> str:
        middle = body("ReduceMean", interval, keepdims=0)
        above = body("Cast", body("Greater", opened, middle), to=TensorProto.FLOAT)
        areas, _ = _areas_and_labels(body, above, size)
        is_too_low = body("GreaterOrEqual", body("ReduceMax", areas, keepdims=0), float(min_area))
        low, high = (body("Gather", interval, end) for end in range(2))
        ends = (body("Where", is_too_low, middle, low), body("Where", is_too_low, high, middle))
        return body("Concat", *(body("Reshape", end, [1]) for end in ends), axis=0)

    maximum = add("Reshape", add("ReduceMax", opened, keepdims=0), [1])
    interval = add("Concat", np.zeros(1, np.float32), maximum, axis=0)
    return add("Gather", add.loop_n(interval, bisect, n=steps), 1)


def limit_small_regions(add: GraphBuilder, opened: str, size: Size, min_area: int) -> str:
    """Add a copy of `opened` (H, W) in which regions above 1 with fewer than `min_area` px are set to 1."""
    above = add("Cast", add("Greater", opened, 1.0), to=TensorProto.FLOAT)
    areas, labels = _areas_and_labels(add, above, size)
    is_small = add("Less", add("Gather", areas, labels), float(min_area))
    is_removed = add("Mul", above, add("Cast", is_small, to=TensorProto.FLOAT))
    return add("Where", add("Cast", is_removed, to=TensorProto.BOOL), 1.0, opened)


def largest_region(add: GraphBuilder, mask: str, size: Size) -> str:
    """Add the largest region of a mask (H, W), as a mask; of several, the one that ends last in raster order."""
    areas, labels = _areas_and_labels(add, mask, size)
    region_areas = add("Mul", add("Gather", areas, labels), mask)
    is_largest = add("Equal", region_areas, add("ReduceMax", region_areas, keepdims=0))
    candidates = add("Mul", add("Cast", is_largest, to=TensorProto.INT64), labels)
    is_chosen = add("Equal", labels, add("ReduceMax", candidates, keepdims=0))
    return add("Mul", add("Cast", is_chosen, to=TensorProto.FLOAT), mask)


def _dilation(add: GraphBuilder, planes: str, radius: int) -> str:
    """Add the maximum of `planes` (1, 1, H, W) over the disk around each pixel."""
    pooled = [
        add("MaxPool", planes, kernel_shape=[2 * y + 1, 2 * x + 1], pads=[y, x, y, x])
        for y, x in disk_rectangles(radius)
    ]
    return add("Max", *pooled)


def _areas_and_labels(add: GraphBuilder, mask: str, size: Size) -> tuple[str, str]:
    """Add the areas and the labels of the 8-connected regions of a mask (H, W).

    The label (H, W) int64 of a region is the largest pixel number in it, 1 to H * W; outside it is 0. The area in px of
    the region with label n is element n of the areas (H * W + 1,) float32.
    """
    runs = _number_runs(add, mask)
    pixels = size.height * size.width
    pixel_numbers = np.arange(1, pixels + 1, dtype=np.float32).reshape(size)

    def spread(body: GraphBuilder, labels: str) -> str:
        planes = body("Reshape", labels, [1, 1, *size])
        neighbors = body("MaxPool", planes, kernel_shape=[3, 3], pads=[1, 1, 1, 1])  # connects along diagonals
        labels = body("Mul", body("Reshape", neighbors, [*size]), mask)
        return _fill_runs(body, labels, mask, runs, size)

    labels = add("Cast", add.loop_until_stable(add("Mul", mask, pixel_numbers), spread), to=TensorProto.INT64)
    flat_labels, flat_mask = add("Reshape", labels, [-1]), add("Reshape", mask, [-1])
    zeros = np.zeros(pixels + 1, np.float32)
    return add("ScatterElements", zeros, flat_labels, flat_mask, axis=0, reduction="add"), labels


def _number_runs(add: GraphBuilder, mask: str) -> list[str]:
    """Add the run numbers (H, W) int64 of a mask (H, W), one array for columns and one for rows.

    The number of a pixel is the count of pixels outside the mask up to it, so it is constant within a run. The last
    pixel before a run has the run's number too; as it is outside the mask, it does not matter.
    """
    outside = add("Sub", 1.0, mask)
    return [add("Cast", add("CumSum", outside, axis), to=TensorProto.INT64) for axis in range(2)]


def _fill_runs(add: GraphBuilder, values: str, mask: str, runs: list[str], size: Size) -> str:
    """Add a copy of non-negative `values` (H, W) in which each pixel has the maximum of its run.

    Columns are filled first, then rows. Pixels outside the mask are 0.
    """
    height, width = size
    for axis, numbers in enumerate(runs):
        zeros = np.zeros((height + 1, width) if axis == 0 else (height, width + 1), np.float32)
        maxima = add("ScatterElements", zeros, numbers, values, axis=axis, reduction="max")
        values = add("Mul", add("GatherElements", maxima, numbers, axis=axis), mask)
    return values
