"""The whole inspection as one ONNX graph: an image in; score, verdict, anomaly map and mask out.

Each function adds the operators of one array function, which its docstring names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from onnx import ModelProto, TensorProto, helper

from ssim_ae.alignment.frame import Frame
from ssim_ae.config import Config
from ssim_ae.detector.detector_file import DetectorFile, frame_of, network_of
from ssim_ae.images.colors import LUMA_16, white_of
from ssim_ae.images.view import View
from ssim_ae.maps.area import BISECTION_STEPS
from ssim_ae.maps.residuals import BLACK_BACKGROUND, WHITE_BACKGROUND
from ssim_ae.maps.tiles import tile_starts
from ssim_ae.maps.verdict import THRESHOLD
from ssim_ae.methods import method_of
from ssim_ae.methods.method import MIN_THRESHOLD
from ssim_ae.network.network import PATCHES
from ssim_ae.network.onnx_network import checked_model, weight_tensors
from ssim_ae.onnx_operators.frame import strip_to_view
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.pose import find_pose
from ssim_ae.onnx_operators.regions import foreground, level_of_area, limit_small_regions
from ssim_ae.onnx_operators.ssim import gaussian
from ssim_ae.onnx_operators.strip import aligned

# Names of the graph's inputs
IMAGE = "image"
THRESHOLDS = "thresholds"
# Names of the graph's outputs
SCORE = "score"
VERDICT = "verdict"
ANOMALY_MAP = "anomaly_map"
MASK = "mask"
RECONSTRUCTION = "reconstruction"

INSPECTION_OPSET = 18  # the first with the reduction `max` of ScatterElements
INSPECTION_IR_VERSION = 8
IMAGE_DIMENSIONS = ["height", "width"]


def inspection_model(file: DetectorFile, *, pixel_dtype: DTypeLike = np.uint8) -> ModelProto:
    """Return the inspection as a model.

    Inputs: `image` (H, W, C) of any size, gray, RGB or RGBA, of `pixel_dtype` (uint8 or uint16); `thresholds` (R,)
    float32, in the order of the method's residuals, by default those of the detector. Outputs: `score` () float32;
    `verdict` () bool, True for nok; `anomaly_map` (H, W) float32 with the threshold 1; `mask` (H, W) bool; and, if the
    method reconstructs, `reconstruction` (C, h, w) float32 in [0, 1].
    """
    config, frame = file.config, frame_of(file.config, file.alignment)
    add = GraphBuilder()
    image = _image(add, white_of(pixel_dtype, config.bit_depth), grayscale=config.grayscale)
    anomaly = _anomaly_map(add, image, frame, file)
    score = add("ReduceMax", anomaly, keepdims=0, output=SCORE)
    add("Greater", score, THRESHOLD, output=VERDICT)
    anomaly_map = _to_image_size(add, anomaly, image, frame.view)
    add("Greater", anomaly_map, THRESHOLD, output=MASK)

    element = helper.np_dtype_to_tensor_dtype(np.dtype(pixel_dtype))
    count = len(file.thresholds)
    thresholds = helper.make_tensor(THRESHOLDS, TensorProto.FLOAT, [count], list(file.thresholds.values()))
    outputs = [
        helper.make_tensor_value_info(SCORE, TensorProto.FLOAT, []),
        helper.make_tensor_value_info(VERDICT, TensorProto.BOOL, []),
        helper.make_tensor_value_info(ANOMALY_MAP, TensorProto.FLOAT, IMAGE_DIMENSIONS),
        helper.make_tensor_value_info(MASK, TensorProto.BOOL, IMAGE_DIMENSIONS),
    ]
    if method_of(config).reconstructs:
        shape = [config.channels, *frame.size]
        outputs.append(helper.make_tensor_value_info(RECONSTRUCTION, TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        add.nodes,
        "ssim_ae",
        [
            helper.make_tensor_value_info(IMAGE, element, [*IMAGE_DIMENSIONS, "channels"]),
            helper.make_tensor_value_info(THRESHOLDS, TensorProto.FLOAT, [count]),
        ],
        outputs,
        [*add.tensors, *weight_tensors(file.weights), thresholds],
    )
    return checked_model(graph, INSPECTION_OPSET, INSPECTION_IR_VERSION)


class _Image(NamedTuple):
    """The image: planes (C, H, W) float32 of the channels that the network takes, its sides, and what is white."""

    planes: str
    height: str
    width: str
    white: int


def _image(add: GraphBuilder, white: int, *, grayscale: bool) -> _Image:
    """Add the channels that the network takes, in units of the image's pixels."""
    colors = add("Slice", add("Transpose", IMAGE, perm=[2, 0, 1]), [0], [3], [0])  # without alpha
    planes = add("Cast", add("Expand", colors, [3, 1, 1]), to=TensorProto.FLOAT)
    height, width = (add("Gather", add("Shape", IMAGE), axis) for axis in range(2))
    return _Image(_gray(add, planes) if grayscale else planes, height, width, white)


def _crop(add: GraphBuilder, image: _Image, view: View) -> str:
    """Add `View.crop`: the image resized and cropped, (C, h, w) in [0, 1]."""
    rows, columns = (_triangle_matrix(add, side, view, axis) for axis, side in enumerate((image.height, image.width)))
    planes = add("MatMul", add("MatMul", rows, image.planes), add("Transpose", columns, perm=[1, 0]))
    return add("Clip", add("Mul", planes, 1 / image.white), 0.0, 1.0)


def _gray(add: GraphBuilder, planes: str) -> str:
    """Add `colors.gray`, (3, H, W) -> (1, H, W).

    For uint8 all sums are integers below 2^24, so float32 is exact. For uint16 colors the result may differ by 1.
    """
    weights = np.array(LUMA_16, np.float32)[:, None, None]
    total = add("ReduceSum", add("Mul", planes, weights), [0], keepdims=1)
    return add("Floor", add("Mul", add("Add", total, 2.0**15), 2.0**-16))


def _triangle_matrix(add: GraphBuilder, length: str, view: View, axis: int) -> str:
    """Add the rows that belong to the view of the matrix that `resize` multiplies with."""
    new_length, margin = view.working_size[axis], view.margin[axis]
    new = np.arange(margin, margin + view.size[axis])[:, None]
    old = add("Range", 0, length, 1)
    distance = add("Sub", add("Mul", add("Add", add("Mul", old, 2), 1), new_length), add("Mul", 2 * new + 1, length))
    radius = add("Mul", add("Max", length, new_length), 2)
    weights = add("Cast", add("Max", add("Sub", radius, add("Abs", distance)), 0), to=TensorProto.FLOAT)
    return add("Div", weights, add("ReduceSum", weights, [1], keepdims=1))


def _network_output(add: GraphBuilder, planes: str, frame: Frame, file: DetectorFile) -> str:
    """Add `cut_tiles`, the network and `stitch_tiles`: the output for an input, (C, h, w) if it is a reconstruction."""
    network, stride = network_of(file.config, file.alignment), file.config.stride
    channels, height, width = network.input_shape
    rows, row_mean = _tiled_side(frame.size.height, height, stride)
    columns, column_mean = _tiled_side(frame.size.width, width, stride)
    m, n = len(rows) // height, len(columns) // width
    cut = add("Gather", add("Gather", planes, rows, axis=1), columns, axis=2)
    cut = add("Reshape", cut, [channels, m, height, n, width])
    add("Reshape", add("Transpose", cut, perm=[1, 3, 0, 2, 4]), [m * n, channels, height, width], output=PATCHES)
    nodes, constants = network.operators()
    add.nodes.extend(nodes)
    add.tensors.extend(constants)
    name = {"output": RECONSTRUCTION} if method_of(file.config).reconstructs else {}
    if m * n == 1:
        return add("Reshape", network.output, network.output_shape, **name)
    tiles = add("Reshape", network.output, [m, n, channels, height, width])
    tiles = add("Reshape", add("Transpose", tiles, perm=[2, 0, 3, 1, 4]), [channels, m * height, n * width])
    return add("MatMul", add("MatMul", row_mean, tiles), column_mean.T.copy(), **name)


def _tiled_side(length: int, tile: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions along a side that tiles cover, tile by tile, and the matrix (length, n) of their mean."""
    starts = np.array(tile_starts(length, tile, stride))
    positions = (starts[:, None] + np.arange(tile)).ravel()
    covered = (positions == np.arange(length)[:, None]).astype(np.float32)
    return positions, covered / covered.sum(axis=1, keepdims=True)


class _Residuals(NamedTuple):
    """The residual maps of the view and, with regions, its sensitivity, each (h, w)."""

    maps: list[str]
    sensitivity: str | np.ndarray | None


def _residual_maps(add: GraphBuilder, image: _Image, frame: Frame, file: DetectorFile) -> _Residuals:
    """Add `Frame.input`, the network, `Method.residual_maps` and `Frame.to_view`."""
    operators = method_of(file.config).onnx_operators
    sensitivity = file.regions.sensitivity(frame) if file.regions else None
    if not frame.alignment:
        planes = _crop(add, image, frame.view)
        output = _network_output(add, planes, frame, file)
        unsmoothed = operators.residual_maps(add, planes, output, frame.size)
        return _Residuals(_smoothed(add, unsmoothed, file.config), sensitivity)
    strip, sides = frame.alignment.strip, (image.height, image.width)
    pose = find_pose(add, image.planes, image.white)
    planes = aligned(add, image.planes, pose, strip, *frame.size, image.white)
    output = _network_output(add, planes, frame, file)
    maps = operators.residual_maps(add, planes, output, frame.size)

    def in_view(values: str) -> str:
        return strip_to_view(add, values, pose, strip, frame.size, sides, frame.view.size)

    return _Residuals(list(map(in_view, maps)), None if sensitivity is None else in_view(add("Identity", sensitivity)))


def _smoothed(add: GraphBuilder, maps: Sequence[str], config: Config) -> list[str]:
    """Add the smoothing of `Method.residuals`, if the method smooths its maps."""
    sigma = method_of(config).smoothing(config)
    if not sigma:
        return list(maps)
    stacked = add("Concat", *(add("Unsqueeze", values, [0]) for values in maps), axis=0)
    smoothed = gaussian(add, stacked, config.view_size, sigma)
    return [add("Gather", smoothed, index) for index in range(len(maps))]


def _anomaly_map(add: GraphBuilder, image: _Image, frame: Frame, file: DetectorFile) -> str:
    """Add the anomaly map (h, w): `Detector`'s residuals, normalization and `Method.anomaly_map` in a graph."""
    config, size = file.config, file.config.view_size
    method = method_of(config)
    operators = method.onnx_operators
    residuals = _residual_maps(add, image, frame, file)
    thresholds = add("Max", THRESHOLDS, MIN_THRESHOLD)
    ratios = [add("Div", residual, add("Gather", thresholds, index)) for index, residual in enumerate(residuals.maps)]
    if file.normal_statistics:
        scale = file.normal_statistics.scale(size)
        ratios = [add("Div", ratio, plane) for ratio, plane in zip(ratios, scale, strict=True)]
    combined = add("Max", operators.combine(add, ratios), 0.0)
    if config.bg_mask:
        combined = add("Mul", combined, _foreground(add, _crop(add, image, frame.view), config))
    if residuals.sensitivity is not None:
        combined = add("Mul", combined, residuals.sensitivity)
    anomaly = operators.postprocess(add, combined, size)
    if config.min_defect_area == 1:
        return anomaly
    level = level_of_area(add, anomaly, size, config.min_defect_area, steps=BISECTION_STEPS)
    return limit_small_regions(add, add("Min", anomaly, level), size, config.min_defect_area)


def _foreground(add: GraphBuilder, view: str, config: Config) -> str:
    """Add the foreground mask (h, w), 1 or 0."""
    level = _brightness(add, view, config.channels)
    white = config.bg_mask == "W"
    background = add("Greater", level, WHITE_BACKGROUND) if white else add("Less", level, BLACK_BACKGROUND)
    return foreground(add, add("Cast", background, to=TensorProto.FLOAT), config.view_size)


def _brightness(add: GraphBuilder, view: str, channels: int) -> str:
    """Add `colors.brightness`, (C, h, w) -> (h, w)."""
    if channels == 1:
        return add("Squeeze", view, [0])
    weights = (np.array(LUMA_16) / 2**16).astype(np.float32)[:, None, None]
    red, green, blue = add.add_multi("Split", add("Mul", view, weights), outputs=3, axis=0, num_outputs=3)
    return add("Squeeze", add("Add", add("Add", red, green), blue), [0])


def _to_image_size(add: GraphBuilder, anomaly: str, image: _Image, view: View) -> str:
    """Add `View.to_image_size`, (h, w) -> (H, W): pixels of the image get the value of the pixel that covers them."""
    padded = add("Pad", anomaly, [1, 1, 1, 1])  # pixels outside the view get 0
    rows = add("Gather", padded, _padded_positions(add, image.height, view, axis=0), axis=0)
    return add("Gather", rows, _padded_positions(add, image.width, view, axis=1), axis=1, output=ANOMALY_MAP)


def _padded_positions(add: GraphBuilder, length: str, view: View, axis: int) -> str:
    """Add the positions in the padded view of the pixels along one side of the image."""
    odd = add("Add", add("Mul", add("Range", 0, length, 1), 2), 1)
    position = add("Div", add("Mul", odd, view.working_size[axis]), add("Mul", length, 2))
    return add("Add", add("Clip", add("Sub", position, view.margin[axis]), -1, view.size[axis]), 1)
