"""Regions of a map in ONNX operators: what `detection.regions` does in arrays.

Something spreads through a region by whole runs, along the rows and down the columns in turn: what a run holds is
scattered to the run's number and gathered by all of its pixels.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ssim_ae.maps.regions import disk_rectangles
from ssim_ae.onnx_operators.graph import Graph


def opening(add: Graph, values: str, size: int, *, radius: int) -> str:
    """Grey opening of (S, S) by a disk: the extreme over it is that over its rectangles, and those are max-poolings."""

    def largest(values: str) -> str:
        pooled = [
            add("MaxPool", values, kernel_shape=[2 * y + 1, 2 * x + 1], pads=[y, x, y, x])
            for y, x in disk_rectangles(radius)
        ]
        return add("Max", *pooled)

    eroded = add("Neg", largest(add("Neg", add("Reshape", values, [1, 1, size, size]))))
    return add("Reshape", largest(eroded), [size, size])


def foreground(add: Graph, background: str, size: int) -> str:
    """1 or 0 (S, S): all but the background, 1 or 0, that a way along edge neighbours joins to the border."""
    border = np.ones((size, size), np.float32)
    border[1:-1, 1:-1] = 0
    runs = _runs(add, background)

    def spread(body: Graph, outside: str) -> str:
        return _spread(body, outside, background, runs, size)

    return add("Sub", 1.0, add.settled(add("Mul", background, border), spread))


def level_of_area(add: Graph, opened: str, size: int, min_area: int, *, steps: int) -> str:
    """Return the level () above which no region of (S, S) has `min_area` px, halving the interval it lies in."""

    def halve(body: Graph, interval: str) -> str:
        middle = body("ReduceMean", interval, keepdims=0)
        above = body("Cast", body("Greater", opened, middle), to=TensorProto.FLOAT)
        areas, _ = _areas(body, above, size)
        large = body("GreaterOrEqual", body("ReduceMax", areas, keepdims=0), float(min_area))
        low, high = (body("Gather", interval, end) for end in range(2))
        ends = (body("Where", large, middle, low), body("Where", large, high, middle))
        return body("Concat", *(body("Reshape", end, [1]) for end in ends), axis=0)

    highest = add("Reshape", add("ReduceMax", opened, keepdims=0), [1])
    interval = add("Concat", np.zeros(1, np.float32), highest, axis=0)
    return add("Gather", add.repeated(interval, halve, times=steps), 1)


def without_small_regions(add: Graph, opened: str, size: int, min_area: int) -> str:
    """(S, S): regions above 1 of less than `min_area` px end at 1."""
    above = add("Cast", add("Greater", opened, 1.0), to=TensorProto.FLOAT)
    areas, labels = _areas(add, above, size)
    small = add("Less", add("Gather", areas, labels), float(min_area))
    beyond = add("Mul", above, add("Cast", small, to=TensorProto.FLOAT))
    return add("Where", add("Cast", beyond, to=TensorProto.BOOL), 1.0, opened)


def _areas(add: Graph, mask: str, size: int) -> tuple[str, str]:
    """Return the px of every 8-connected region of a mask, 1 or 0, by its label (S * S + 1,), and the labels (S, S)."""
    runs = _runs(add, mask)
    numbers = np.arange(1, size * size + 1, dtype=np.float32).reshape(size, size)

    def spread(body: Graph, labels: str) -> str:
        planes = body("Reshape", labels, [1, 1, size, size])
        around = body("MaxPool", planes, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        labels = body("Mul", body("Reshape", around, [size, size]), mask)
        return _spread(body, labels, mask, runs, size)

    labels = add("Cast", add.settled(add("Mul", mask, numbers), spread), to=TensorProto.INT64)
    flat = [add("Reshape", values, [-1]) for values in (labels, mask)]
    none = np.zeros(size * size + 1, np.float32)
    return add("ScatterElements", none, *flat, axis=0, reduction="add"), labels


def _runs(add: Graph, mask: str) -> list[str]:
    """Number the runs of a mask, 1 or 0, down the columns and along the rows; the gap before a run has its number."""
    gaps = add("Sub", 1.0, mask)
    return [add("Cast", add("CumSum", gaps, axis), to=TensorProto.INT64) for axis in range(2)]


def _spread(add: Graph, values: str, mask: str, runs: list[str], size: int) -> str:
    """Give every pixel of a run the largest value in it: down the columns, then along the rows."""
    for axis, run in enumerate(runs):
        none = np.zeros((size + 1, size) if axis == 0 else (size, size + 1), np.float32)
        largest = add("ScatterElements", none, run, values, axis=axis, reduction="max")
        values = add("Mul", add("GatherElements", largest, run, axis=axis), mask)
    return values
