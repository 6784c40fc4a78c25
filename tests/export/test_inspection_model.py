"""The inspection as an ONNX graph, compared with the same inspection in NumPy."""

import numpy as np
import onnxruntime
import openvino
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

from ssim_ae import Config, Detector
from ssim_ae.detector.detector_file import DetectorFile, network_of
from ssim_ae.detector.provenance import Provenance
from ssim_ae.export.inspection_model import IMAGE, INSPECTION_IR_VERSION, INSPECTION_OPSET, THRESHOLDS, inspection_model
from ssim_ae.features.distances import distance_weights
from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.features.gaussians import Moments
from ssim_ae.images.files import read_image
from ssim_ae.images.inputs import pixels_of
from ssim_ae.images.size import Size
from ssim_ae.images.view import View
from ssim_ae.maps.area import BISECTION_STEPS
from ssim_ae.maps.area import level_of_area as level_in_numpy
from ssim_ae.maps.normalization import GRID_SIZE, NormalStatistics
from ssim_ae.maps.regions import fill_holes
from ssim_ae.maps.regions import opening as opening_in_numpy
from ssim_ae.methods import method_of
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.onnx_operators.regions import foreground, level_of_area, opening
from ssim_ae.pretrained.efficientnet_lite import load_weights
from ssim_ae.runtimes.choose import open_runtime
from ssim_ae.runtimes.onnx_runtime import open_session
from ssim_ae.runtimes.openvino_runtime import FLOAT32_INFERENCE
from ssim_ae.synthetic import fabric

SMALL = {"im_resize": 64, "crop_size": 32, "z_dim": 8, "flc": 4, "stride": 16}
OUTPUTS = ["score", "verdict", "anomaly_map", "mask", "reconstruction"]
SETTINGS = {
    "tiles": {},
    "gray": {"grayscale": True},
    "a last tile flush with the end": {"im_resize": 71, "stride": 13},
    "the center in one tile": {"im_resize": 39},
    "white background": {"bg_mask": "W"},
    "black background, gray": {"bg_mask": "B", "grayscale": True, "im_resize": 35},
    "a wide image in tiles": {"im_resize": (64, 110), "bg_mask": "W", "threshold": "max_area", "min_area": 30},
    "a tall image, cropped at the sides": {"im_resize": (90, 40)},
    "a texture": {"texture": True, "im_resize": (200, 64)},
    "repair, a texture": {"method": "repair", "texture": True},
    "minimum area": {"threshold": "max_area", "min_area": 30},
    "repair": {"method": "repair"},
    "repair, minimum area": {"method": "repair", "threshold": "max_area", "min_area": 30},
    "repair, wide": {"method": "repair", "im_resize": (64, 152)},
    "repair, tall, large": {"method": "repair", "im_resize": (512, 128), "grayscale": True},
    "repair, larger than a patch": {"method": "repair", "crop_size": 64, "im_resize": 96, "bg_mask": "W"},
    "features": {"method": "features", "im_resize": 64},
    "features, wide": {"method": "features", "im_resize": (64, 144)},
    "features, tall, gray, white background": {
        "method": "features",
        "im_resize": (112, 64),
        "grayscale": True,
        "bg_mask": "W",
    },
    "features, minimum area": {"method": "features", "im_resize": 96, "threshold": "max_area", "min_area": 300},
}


def untrained(**changes) -> DetectorFile:
    """Return a detector with random weights and thresholds in the middle of its residuals."""
    if changes.get("method") == "features":
        return fitted(Config(**changes))
    config = Config(method="reference", **SMALL).replace(**changes)
    rng = np.random.default_rng(3)
    shapes = network_of(config).weights()
    weights = {name: rng.normal(0, 0.15, weight.shape).astype(np.float32) for name, weight in shapes.items()}
    statistics = None
    if method_of(config).normalizes_residuals:
        statistics = NormalStatistics(rng.uniform(0.1, 1, (2, GRID_SIZE, GRID_SIZE)).astype(np.float32))
    return DetectorFile(config, {"ssim": 0.9, "l1": 0.25}, weights, Provenance(), statistics)


def fitted(config: Config) -> DetectorFile:
    """Return a detector that is fitted to a few fabrics, with a threshold in the middle of its distances."""
    view, extractor = (
        View.from_config(config),
        FeatureExtractor((config.channels, *config.working_size), config.backbone),
    )
    backbone, moments = load_weights(config.channels), Moments(extractor.output_shape)
    images = [pixels_of(fabric.draw("twill", size=80, seed=seed)[0], grayscale=config.grayscale) for seed in range(5)]
    moments.add(open_runtime(extractor, backbone).run(np.stack([view.crop(image) for image in images])))
    inspected = np.ones(extractor.output_shape[1:], bool)
    inspected[-1] = False
    weights = backbone | distance_weights(moments.gaussians(), inspected)
    file = DetectorFile(config, {"distance": 1.0}, weights, Provenance())
    distances = Detector.from_file(file).residuals(255 - images[0]).maps
    return file._replace(thresholds={"distance": float(np.median(distances))})


def compare(file: DetectorFile, images: list[np.ndarray], runtime: str = "onnxruntime") -> None:
    detector = Detector.from_file(file, device_target="CPU")
    model = inspection_model(file, pixel_dtype=images[0].dtype).SerializeToString()
    if runtime == "openvino":
        compiled = openvino.Core().compile_model(openvino.Core().read_model(model), "CPU", FLOAT32_INFERENCE)
    else:
        session = open_session(model, "CPU")
    names = OUTPUTS if detector.method.reconstructs else OUTPUTS[:4]
    for image in images:
        expected = detector.inspect(image)
        if runtime == "openvino":
            found = compiled({IMAGE: image})
            outputs = {name: found[name] for name in names}
        else:
            outputs = dict(zip(names, session.run(names, {IMAGE: image}), strict=True))
        score, verdict, anomaly_map, mask = (outputs[name] for name in OUTPUTS[:4])
        if detector.method.reconstructs:
            difference = np.abs(outputs["reconstruction"] - expected.planes).max()
            assert difference < 1e-5 * max(1, np.abs(expected.planes).max())
        assert np.abs(anomaly_map - expected.anomaly_map).max() < 2e-4
        assert float(score) == pytest.approx(expected.score, abs=2e-4)
        clear = np.abs(expected.anomaly_map - 1) > 2e-4
        assert np.array_equal(mask[clear], expected.mask[clear])
        assert abs(expected.score - 1) < 2e-4 or bool(verdict) == (expected.verdict == "nok")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", SETTINGS)
def test_outputs_equal_those_of_the_detector(name, runtime):
    fabrics = [fabric.draw("twill", size=80, seed=seed)[0] for seed in range(2)]
    with_background = [image.copy() for image in fabrics]
    with_background[0][:, :20], with_background[1][30:] = 255, 10
    with_background[0][40:50, 40:50] = 255  # a hole
    compare(untrained(**SETTINGS[name]), fabrics + with_background, runtime)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("grayscale", [False, True])
def test_images_of_any_size_and_format(tmp_path, grayscale, runtime):
    twill = Image.fromarray(fabric.draw("twill", size=256, seed=5)[0])
    saved = {
        "wide.png": twill.resize((500, 37)),
        "tall.jpg": twill.resize((97, 211)),
        "odd.bmp": twill.resize((301, 199)),
        "tiny.webp": twill.resize((5, 9)),
        "one.png": twill.resize((1, 1)),
        "palette.png": twill.resize((64, 64)).quantize(16),
        "gray.tif": twill.resize((128, 33)).convert("L"),
    }
    for name, image in saved.items():
        image.save(tmp_path / name)
    file = untrained(grayscale=grayscale)
    compare(file, [read_image(tmp_path / name, grayscale=grayscale) for name in saved], runtime)


@pytest.mark.parametrize("grayscale", [False, True])
def test_gray_color_and_alpha(grayscale):
    twill = Image.fromarray(fabric.draw("twill", size=256, seed=5)[0])
    file = untrained(grayscale=grayscale)
    session = open_session(inspection_model(file).SerializeToString(), "CPU")
    for mode in ("L", "RGB", "RGBA"):
        pixels = np.asarray(twill.convert(mode)).reshape(256, 256, -1)
        if mode == "RGBA":
            pixels = pixels.copy()
            pixels[:, :, 3] = np.arange(256)
        expected = Detector.from_file(file).inspect(pixels[:, :, :3]).score
        assert float(session.run(["score"], {IMAGE: pixels})[0]) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("grayscale", [False, True])
def test_16_bit_images(rng, grayscale):
    gray = np.sort((rng.random((70, 90, 1)) * 4500).astype(np.uint16), axis=0)
    compare(untrained(grayscale=grayscale, bit_depth=12), [gray if grayscale else np.repeat(gray, 3, axis=2)])


@pytest.mark.parametrize("grayscale", [False, True])
def test_16_bit_colors(rng, grayscale):
    image = np.sort((rng.random((70, 90, 3)) * [4500, 3000, 2000]).astype(np.uint16), axis=0)
    file = untrained(grayscale=grayscale, bit_depth=12)
    session = open_session(inspection_model(file, pixel_dtype=np.uint16).SerializeToString(), "CPU")
    expected = Detector.from_file(file).inspect(image).score
    assert float(session.run(["score"], {IMAGE: image})[0]) == pytest.approx(expected, abs=2e-4)


def test_thresholds_are_an_optional_input():
    file = untrained()
    image = fabric.draw("twill", size=64, seed=1)[0]
    session = open_session(inspection_model(file).SerializeToString(), "CPU")
    assert [one.name for one in session.get_inputs()] == [IMAGE]
    for values in ([0.5, 0.2], [2.0, 3.0], [0, 0]):
        given = {IMAGE: image, THRESHOLDS: np.array(values, np.float32)}
        changed = file._replace(thresholds=method_of(file.config).thresholds(values))
        expected = Detector.from_file(changed).inspect(image).score
        assert float(session.run(["score"], given)[0]) == pytest.approx(expected, rel=3e-4)


def computed(build, **inputs: np.ndarray) -> np.ndarray:
    """Return the output of the operators that `build` adds for float32 `inputs`, computed by ONNX Runtime."""
    add = GraphBuilder()
    result = build(add)
    graph = helper.make_graph(
        add.nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in inputs.items()],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        add.tensors,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", INSPECTION_OPSET)], ir_version=INSPECTION_IR_VERSION
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {name: array.astype(np.float32) for name, array in inputs.items()})[0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.2, 0.8), st.integers(3, 24), st.integers(3, 24))
def test_the_foreground_excludes_background_connected_to_the_border(seed, share, height, width):
    size = Size(height, width)
    background = np.random.default_rng(seed).random(size) < share
    result = computed(lambda add: foreground(add, "background", size), background=background)
    assert np.array_equal(result > 0, fill_holes(~background))


def test_the_foreground_excludes_a_long_winding_background():
    size = 41
    background = np.zeros((size, size), bool)
    for inset in range(1, size // 2, 4):
        ring = slice(inset, size - inset)
        background[[inset, size - 1 - inset], ring] = background[ring, [[inset], [size - 1 - inset]]] = True
        background[inset + 1 : inset + 5, size // 2] = True
    background[0, 5] = background[1, 5] = True
    result = computed(lambda add: foreground(add, "background", Size.of(size)), background=background)
    assert np.array_equal(result > 0, fill_holes(~background))
    assert (result[background] == 0).all(), "all of it is connected to the border"


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.integers(0, 4))
def test_opening_equals_that_in_numpy(seed, radius):
    values = np.random.default_rng(seed).random((23, 31)).astype(np.float32)
    result = computed(lambda add: opening(add, "values", Size(23, 31), radius=radius), values=values)
    assert np.array_equal(result, opening_in_numpy(values, radius=radius))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_the_level_of_an_area_equals_that_in_numpy(seed, min_area):
    values = opening_in_numpy(np.random.default_rng(seed).random((16, 25)).astype(np.float32), radius=1)
    size = Size(16, 25)
    level = computed(lambda add: level_of_area(add, "values", size, min_area, steps=BISECTION_STEPS), values=values)
    assert float(level) == pytest.approx(level_in_numpy(values, min_area), abs=1e-6)
