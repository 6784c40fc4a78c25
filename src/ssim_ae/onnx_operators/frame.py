"""The maps of a strip as maps of the view, in ONNX operators: the counterpart of `alignment.frame`."""

from __future__ import annotations

import numpy as np

from ssim_ae.alignment.frame import FADE, fading
from ssim_ae.alignment.strip import Strip
from ssim_ae.images.size import Size
from ssim_ae.onnx_operators.exact import to_float, to_int
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.strip import extent_in, mixed


def strip_to_view(
    add: GraphBuilder, values: str, pose: str, strip: Strip, size: Size, image: tuple[str, str], view: Size
) -> str:
    """Add `alignment.frame.strip_to_view` of one map (h, w) of `size`, for an image of height and width `image`."""
    rows, columns = size
    extent = extent_in(add, strip, add("Max", *image))
    start, left = (
        add("Mul", add("Sub", ends, to_float(add, length)), 0.5)
        for ends, length in ((extent.ends_along, extent.length), (extent.ends_across, extent.breadth))
    )
    center_y, center_x, dy, dx = (add("Gather", pose, index) for index in range(4))
    y, x = (
        add("Sub", add("Mul", np.arange(side, dtype=np.float32) + np.float32(0.5), _ratio(add, length, side)), center)
        for side, length, center in zip(view, image, (center_y, center_x), strict=True)
    )
    y = add("Unsqueeze", y, [1])
    along = add("Add", add("Mul", y, dy), add("Sub", add("Mul", x, dx), start))
    across = add("Sub", add("Mul", y, dx), add("Add", add("Mul", x, dy), left))
    row, column = (
        add(
            "Clip",
            add("Add", add("Div", add("Mul", place, float(n)), to_float(add, length)), FADE - 0.5),
            0.0,
            n - 1.0 + 2 * FADE,
        )
        for place, n, length in ((across, rows, extent.breadth), (along, columns, extent.length))
    )
    top, first = add("Floor", row), add("Floor", column)
    weight_y, weight_x = add("Sub", row, top), add("Sub", column, first)
    edges = add("Pad", values, [FADE, FADE, FADE + 1, FADE + 1], mode="edge")
    padded = add("Reshape", add("Mul", edges, fading(size)), [-1])
    line_length = columns + 2 * FADE + 1
    corner = to_int(add, add("Add", add("Mul", top, float(line_length)), first))

    def gathered(offset: int) -> str:
        return add("Gather", padded, add("Add", corner, offset))

    upper, lower = (mixed(add, gathered(line), gathered(line + 1), weight_x) for line in (0, line_length))
    return mixed(add, upper, lower, weight_y)


def _ratio(add: GraphBuilder, length: str, side: int) -> str:
    """Add the px of the image in a px of the view, along a side."""
    return add("Div", to_float(add, length), float(side))
