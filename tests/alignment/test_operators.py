"""The graph finds the pose, the strip and the way back that the array functions find."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, checker, helper

from ssim_ae.alignment.frame import strip_to_view
from ssim_ae.alignment.pose import find_pose
from ssim_ae.alignment.strip import Strip, aligned
from ssim_ae.images.colors import white_of
from ssim_ae.images.size import Size
from ssim_ae.onnx_operators import frame as frame_operators
from ssim_ae.onnx_operators import pose as pose_operators
from ssim_ae.onnx_operators import strip as strip_operators
from ssim_ae.onnx_operators.graph import GraphBuilder

STRIP = Strip(-0.32, 0.41, -0.12, 0.13)
SIZE = Size(48, 144)
VIEW = Size(80, 112)
OUTPUTS = {"pose": [8], "strip": ["channels", *SIZE], "back": list(VIEW)}


def model_of(dtype, bit_depth=16):
    """Return the bytes of a model: an image (H, W, C) in, the pose, its strip and the strip on the view out."""
    add, white = GraphBuilder(), white_of(dtype, bit_depth)
    planes = add("Cast", add("Transpose", "image", perm=[2, 0, 1]), to=TensorProto.FLOAT)
    pose = add("Identity", pose_operators.find_pose(add, planes, white), output="pose")
    strip = add("Identity", strip_operators.aligned(add, planes, pose, STRIP, *SIZE, white), output="strip")
    brightest = add("ReduceMax", strip, [0], keepdims=0)
    image_size = pose_operators.height_and_width(add, planes)
    back = frame_operators.strip_to_view(add, brightest, pose, STRIP, SIZE, image_size, VIEW)
    add("Identity", back, output="back")
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    image = helper.make_tensor_value_info("image", element, ["height", "width", "channels"])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in OUTPUTS.items()]
    graph = helper.make_graph(add.nodes, "pose", [image], outputs, add.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


def in_onnxruntime(model):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda image: dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"image": image}), strict=True))


def in_openvino(model):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(image):
        results = compiled({"image": image})
        return {name: results[name].copy() for name in OUTPUTS}

    return run


@pytest.fixture(scope="module", params=[in_onnxruntime, in_openvino])
def run(request):
    return request.param(model_of(np.uint8))


def check(outputs, image, bit_depth=16):
    pose = find_pose(image, bit_depth)
    strip = aligned(image, pose, STRIP, *SIZE, bit_depth)
    back = strip_to_view(strip.max(axis=0, keepdims=True), pose, STRIP, Size(*image.shape[:2]), VIEW)[0]
    np.testing.assert_array_equal(outputs["pose"][:4], pose[:4])  # center and direction: bit for bit
    np.testing.assert_allclose(outputs["pose"][4:], pose[4:], atol=1e-5)
    np.testing.assert_allclose(outputs["strip"], strip, atol=1e-6)
    np.testing.assert_allclose(outputs["back"], back, atol=1e-4)
    return pose


def random_image(draw, seed):
    """Draw one to three bolts, also at the border, in an image of any size and shape."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(40, 330, 2))
    longer = max(height, width)
    parts = [
        (rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, 360), rng.uniform(0.2, 0.9) * longer)
        for _ in range(rng.integers(1, 4))
    ]
    channels = int(rng.choice([1, 3]))
    return draw(*parts, height=height, width=width, channels=channels, seed=seed, noise=rng.uniform(0, 12))


@pytest.mark.parametrize("seed", range(50))
def test_drawn_parts(run, draw, seed):
    image = random_image(draw, seed)
    check(run(image), image)


def test_equal_parts(run):
    image = np.full((120, 200, 1), 200, np.uint8)
    image[20:30, 20:120] = 50
    image[80:90, 40:140] = 50
    pose = check(run(image), image)
    assert pose.y == 85


def test_symmetric_parts(run, draw):
    for shape in ("rod", "disk"):
        for degrees in (0, 45, 90, 180):
            image = draw((64, 64, degrees, 70), height=128, width=128, shape=shape, noise=0)
            check(run(image), image)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3000, 3), (2000, 2, 1), (64, 40, 1), (257, 513, 3), (1030, 700, 1)])
def test_images_without_a_part(run, shape):
    rng = np.random.default_rng(0)
    for image in (np.full(shape, 77, np.uint8), rng.integers(0, 256, shape, np.uint8)):
        check(run(image), image)


@pytest.mark.parametrize("bit_depth", [10, 16])
@pytest.mark.parametrize("runtime", [in_onnxruntime, in_openvino])
def test_deep_images(draw, runtime, bit_depth):
    run = runtime(model_of(np.uint16, bit_depth))
    for seed in range(4):
        image = draw((150, 140, 77 * seed, 170), height=300, width=280, seed=seed, dtype=np.uint16) >> (16 - bit_depth)
        check(run(image), image, bit_depth)
