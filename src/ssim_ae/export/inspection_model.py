"""The whole inspection as one ONNX graph: an image in; score, verdict, anomaly map and mask out.

Each function says in operators what the function of the same job in `images` and `detection` says in arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from onnx import ModelProto, TensorProto, helper

from ssim_ae.detector.detector_file import DetectorFile, layer_table
from ssim_ae.images.colours import LUMA_16
from ssim_ae.images.view import View
from ssim_ae.maps.coarse_residuals import EDGE, coarseness
from ssim_ae.maps.residuals import (
    BORDER,
    BORDER_WEIGHT,
    BRIGHTER,
    DARKER,
    LEVEL_STEPS,
    OPENING_RADIUS,
    SMALLEST_THRESHOLD,
)
from ssim_ae.maps.tiles import starts
from ssim_ae.network.onnx_network import PATCHES, RECONSTRUCTIONS, model_of, network_nodes, weight_tensors
from ssim_ae.network.ssim import C1, C2, WINDOW, gaussian_matrix, mirrored
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.regions import foreground, level_of_area, opening, without_small_regions

IMAGE, THRESHOLDS = "image", "thresholds"
SCORE, VERDICT, ANOMALY_MAP, MASK, RECONSTRUCTION = "score", "verdict", "anomaly_map", "mask", "reconstruction"
OPSET, IR_VERSION = 18, 8  # the first with ScatterElements' maximum
LINES = 32  # of the Gaussian filter in one product
SIZE = ["height", "width"]


def inspection_model(file: DetectorFile, *, pixels: DTypeLike = np.uint8) -> ModelProto:
    """Return the model.

    In: `image` (H, W, C) of any size, gray, RGB or RGBA, uint8 or, as `pixels` says, uint16; `thresholds` (2,) float32,
    SSIM and L1, those of the detector where none are given. Out: `score` () float32; `verdict` () bool, True for nok;
    `anomaly_map` (H, W) float32, limit 1; `mask` (H, W) bool; `reconstruction` (C, S, S) float32 in [0, 1].
    """
    config, view = file.config, View.of(file.config)
    add = GraphBuilder()
    height, width = (add("Gather", add("Shape", IMAGE), axis) for axis in range(2))
    white = 255 if pixels == np.uint8 else 2**config.bit_depth - 1
    part = _centre(add, height, width, view, white, grayscale=config.grayscale)
    reconstruction = _reconstruction(add, part, file, view.size)
    anomaly = _anomaly_map(add, part, reconstruction, file)
    score = add("ReduceMax", anomaly, keepdims=0, output=SCORE)
    add("Greater", score, 1.0, output=VERDICT)
    anomaly_map = _back(add, anomaly, height, width, view)
    add("Greater", anomaly_map, 1.0, output=MASK)

    element = helper.np_dtype_to_tensor_dtype(np.dtype(pixels))
    thresholds = helper.make_tensor(THRESHOLDS, TensorProto.FLOAT, [2], file.thresholds)
    graph = helper.make_graph(
        add.nodes,
        "ssim_ae",
        [
            helper.make_tensor_value_info(IMAGE, element, [*SIZE, "channels"]),
            helper.make_tensor_value_info(THRESHOLDS, TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info(SCORE, TensorProto.FLOAT, []),
            helper.make_tensor_value_info(VERDICT, TensorProto.BOOL, []),
            helper.make_tensor_value_info(ANOMALY_MAP, TensorProto.FLOAT, SIZE),
            helper.make_tensor_value_info(MASK, TensorProto.BOOL, SIZE),
            helper.make_tensor_value_info(RECONSTRUCTION, TensorProto.FLOAT, [config.channels, view.size, view.size]),
        ],
        [*add.tensors, *weight_tensors(file.weights), thresholds],
    )
    return model_of(graph, OPSET, IR_VERSION)


def _centre(add: GraphBuilder, height: str, width: str, view: View, white: int, *, grayscale: bool) -> str:
    """(C, S, S) in [0, 1]: colours as the detector wants them, resized, cropped."""
    colours = add("Slice", add("Transpose", IMAGE, perm=[2, 0, 1]), [0], [3], [0])  # without alpha
    planes = add("Cast", add("Expand", colours, [3, 1, 1]), to=TensorProto.FLOAT)
    if grayscale and white > 255:
        planes = add("Slice", planes, [0], [1], [0])  # 16-bit files are gray
    elif grayscale:
        shares = np.array(LUMA_16, np.float32)[:, None, None]  # whole numbers, and sums below 2^24: nothing is rounded
        total = add("ReduceSum", add("Mul", planes, shares), [0], keepdims=1)
        planes = add("Floor", add("Mul", add("Add", total, 2.0**15), 2.0**-16))
    planes = add("MatMul", _triangle(add, height, view), planes)
    planes = add("MatMul", planes, add("Transpose", _triangle(add, width, view), perm=[1, 0]))
    return add("Clip", add("Mul", planes, 1 / white), 0.0, 1.0)


def _triangle(add: GraphBuilder, size: str, view: View) -> str:
    """The rows of `triangle_matrix(size, im_resize)` that make what is inspected."""
    new_size = view.im_resize
    new = np.arange(view.margin, view.margin + view.size)[:, None]
    old = add("Range", 0, size, 1)
    distance = add("Sub", add("Mul", add("Add", add("Mul", old, 2), 1), new_size), add("Mul", 2 * new + 1, size))
    reach = add("Mul", add("Max", size, new_size), 2)
    weights = add("Cast", add("Max", add("Sub", reach, add("Abs", distance)), 0), to=TensorProto.FLOAT)
    return add("Div", weights, add("ReduceSum", weights, [1], keepdims=1))


def _reconstruction(add: GraphBuilder, part: str, file: DetectorFile, size: int) -> str:
    """(C, S, S): cut into tiles, reconstructed, averaged where they overlap."""
    tile, channels = file.config.tile_size, file.config.channels
    corners = np.array(starts(size, tile, file.config.stride))
    lines = (corners[:, None] + np.arange(tile)).ravel()
    n = len(corners)
    both = add("Gather", add("Gather", part, lines, axis=1), lines, axis=2)
    apart = add("Reshape", both, [channels, n, tile, n, tile])
    add("Reshape", add("Transpose", apart, perm=[1, 3, 0, 2, 4]), [n * n, channels, tile, tile], output=PATCHES)
    add.nodes.extend(network_nodes(layer_table(file.config)))
    apart = add("Reshape", RECONSTRUCTIONS, [n, n, channels, tile, tile])
    both = add("Reshape", add("Transpose", apart, perm=[2, 0, 3, 1, 4]), [channels, n * tile, n * tile])
    share = (lines == np.arange(size)[:, None]).astype(np.float32)
    mean = add.constant(share / share.sum(axis=1, keepdims=True))
    return add("MatMul", add("MatMul", mean, both), add("Transpose", mean, perm=[1, 0]), output=RECONSTRUCTION)


def _coarse_residuals(add: GraphBuilder, part: str, reconstruction: str, size: int) -> tuple[str, str]:
    """(S, S) both: coarse 1 - SSIM and absolute difference."""
    inner = np.zeros((size, size), np.float32)
    inner[EDGE : size - EDGE, EDGE : size - EDGE] = 1
    difference, by = add("Mul", add("Sub", reconstruction, part), inner), coarseness(size)
    x, y = _averaged(add, part, by), _averaged(add, add("Add", part, difference), by)
    coarse = add("Unsqueeze", _ssim_residual(add, x, y, size // by), [0, 1])
    ssim = add("Squeeze", add("Resize", coarse, "", np.array([1, 1, by, by], np.float32), mode="nearest"), [0])
    l1 = add("ReduceMean", add("Abs", difference), [0], keepdims=1)
    both = _gaussian(add, add("Concat", ssim, l1, axis=0), size)
    return add("Gather", both, 0), add("Gather", both, 1)


def _averaged(add: GraphBuilder, planes: str, by: int) -> str:
    """(C, S, S) -> (C, S / by, S / by)."""
    batch = add("Unsqueeze", planes, [0])
    return add("Squeeze", add("AveragePool", batch, kernel_shape=[by, by], strides=[by, by]), [0])


def _ssim_residual(add: GraphBuilder, x: str, y: str, size: int) -> str:
    """(S, S): 1 - SSIM, the mean over channels."""
    middle = add("ReduceMean", x, [1, 2], keepdims=1)
    about_x, about_y, difference = add("Sub", x, middle), add("Sub", y, middle), add("Sub", y, x)
    squares = add("Add", add("Mul", about_x, about_x), add("Mul", about_y, about_y))
    maps = add("Concat", about_x, difference, add("Mul", difference, difference), squares, axis=0)
    filtered = add.add_multi("Split", _gaussian(add, maps, size), outputs=4, axis=0, num_outputs=4)
    mean_x, mean_d, squares_d, squares = filtered
    mean_y, squared_mean_d = add("Add", mean_x, mean_d), add("Mul", mean_d, mean_d)
    variance_d = add("Sub", squares_d, squared_mean_d)
    variances = add("Sub", squares, add("Add", add("Mul", mean_x, mean_x), add("Mul", mean_y, mean_y)))
    mean_x, mean_y = add("Add", mean_x, middle), add("Add", mean_y, middle)
    mean_squares = add("Add", add("Mul", mean_x, mean_x), add("Mul", mean_y, mean_y))
    luminance = add("Div", squared_mean_d, add("Add", mean_squares, C1))
    structure = add("Div", variance_d, add("Add", variances, C2))
    residual = add("Sub", add("Add", luminance, structure), add("Mul", luminance, structure))
    return add("ReduceMean", residual, [0], keepdims=0)


def _damped(add: GraphBuilder, residual: str, size: int) -> str:
    weights = np.full((size, size), BORDER_WEIGHT, np.float32)
    weights[BORDER : size - BORDER, BORDER : size - BORDER] = 1
    return add("Mul", residual, weights)


def _gaussian(add: GraphBuilder, maps: str, size: int) -> str:
    """Filter maps (K, S, S) along both axes, mirrored at the border, some lines at a time."""
    blocks = -(-size // LINES)
    reads = LINES + WINDOW - 1
    positions = np.minimum(LINES * np.arange(blocks)[:, None] + np.arange(reads), size + WINDOW - 2)
    source = mirrored(positions - WINDOW // 2, size)
    band = gaussian_matrix(reads)
    rows = add("MatMul", band, add("Gather", maps, source, axis=1))
    maps = add("Slice", add("Reshape", rows, [0, blocks * LINES, size]), [0], [size], [1])
    columns = add("MatMul", add("Gather", maps, source, axis=2), np.ascontiguousarray(band.T))
    return add("Slice", add("Reshape", columns, [0, size, blocks * LINES]), [0], [size], [2])


def _anomaly_map(add: GraphBuilder, part: str, reconstruction: str, file: DetectorFile) -> str:
    """(S, S): both residuals, each divided by its threshold, together; background cleared, opened."""
    config, size = file.config, file.config.mask_size
    if repairs := config.method == "repair":
        residuals = _coarse_residuals(add, part, reconstruction, size)
    else:
        l1 = add("ReduceMean", add("Abs", add("Sub", part, reconstruction)), [0], keepdims=0)
        residuals = _damped(add, _ssim_residual(add, part, reconstruction, size), size), l1
    limits = add("Max", THRESHOLDS, SMALLEST_THRESHOLD)
    over = [add("Div", residual, add("Gather", limits, index)) for index, residual in enumerate(residuals)]
    if file.usual:
        over = [add("Div", *ends) for ends in zip(over, file.usual.divisors(size), strict=True)]
    worst = add("Max", add("Add", *over), 0.0) if repairs else add("Max", *over, 0.0)
    if config.bg_mask:
        level = _brightness(add, part, config.channels)
        beyond = add("Greater", level, BRIGHTER) if config.bg_mask == "W" else add("Less", level, DARKER)
        worst = add("Mul", worst, foreground(add, add("Cast", beyond, to=TensorProto.FLOAT), size))
    opened = worst if repairs else opening(add, worst, size, radius=OPENING_RADIUS)
    if config.smallest_region == 1:
        return opened
    level = level_of_area(add, opened, size, config.smallest_region, steps=LEVEL_STEPS)
    return without_small_regions(add, add("Min", opened, level), size, config.smallest_region)


def _brightness(add: GraphBuilder, part: str, channels: int) -> str:
    if channels == 1:
        return add("Squeeze", part, [0])
    shares = (np.array(LUMA_16) / 2**16).astype(np.float32)[:, None, None]
    red, green, blue = add.add_multi("Split", add("Mul", part, shares), outputs=3, axis=0, num_outputs=3)
    return add("Squeeze", add("Add", add("Add", red, green), blue), [0])


def _back(add: GraphBuilder, anomaly: str, height: str, width: str, view: View) -> str:
    """(S, S) -> (H, W): every px of the image gets the value of the px that covers it; what was cut off 0."""
    padded = add("Pad", anomaly, [1, 1, 1, 1])
    rows = add("Gather", padded, _covering(add, height, view), axis=0)
    return add("Gather", rows, _covering(add, width, view), axis=1, output=ANOMALY_MAP)


def _covering(add: GraphBuilder, length: str, view: View) -> str:
    odd = add("Add", add("Mul", add("Range", 0, length, 1), 2), 1)
    position = add("Div", add("Mul", odd, view.im_resize), add("Mul", length, 2))
    return add("Add", add("Clip", add("Sub", position, view.margin), -1, view.size), 1)
