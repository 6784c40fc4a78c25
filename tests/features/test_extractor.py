"""The features of an image are those of the backbone, averaged and joined."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.features.conftest import RUNTIMES, cloth, neighborhood_mean, opened

from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.frameworks import import_onnxruntime
from ssim_ae.network.network import PATCHES, are_weights_of
from ssim_ae.network.onnx_network import NETWORK_IR_VERSION, NETWORK_OPSET, checked_model, weight_tensors
from ssim_ae.onnx_operators.graph import GraphBuilder
from ssim_ae.pretrained.efficientnet_lite import load_weights
from ssim_ae.pretrained.efficientnet_lite_onnx import backbone_nodes

LITE0 = "efficientnet_lite0"


def levels(images: np.ndarray) -> list[np.ndarray]:
    """Return the features of the backbone at strides 8 and 16."""
    add = GraphBuilder()
    outputs = backbone_nodes(add, PATCHES)
    graph = helper.make_graph(
        add.nodes,
        "backbone",
        [helper.make_tensor_value_info(PATCHES, TensorProto.FLOAT, images.shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs],
        [*add.tensors, *weight_tensors(load_weights(images.shape[1]))],
    )
    model = checked_model(graph, NETWORK_OPSET, NETWORK_IR_VERSION).SerializeToString()
    session = import_onnxruntime().InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {PATCHES: images})


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 80, 144), (1, 96, 64)])
def test_both_levels_are_averaged_and_joined(shape, runtime):
    images = cloth(2, *shape)
    extractor = FeatureExtractor(shape, LITE0)
    fine, coarse = map(neighborhood_mean, levels(images))
    _, channels, height, width = fine.shape
    reduced = fine.reshape(2, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    features = opened(extractor, load_weights(shape[0]), runtime)(images)
    assert features.shape == (2, *extractor.output_shape) == (2, 152, shape[1] // 16, shape[2] // 16)
    np.testing.assert_allclose(features, np.concatenate([reduced, coarse], axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_its_weights_are_those_of_the_backbone(channels):
    assert are_weights_of(FeatureExtractor((channels, 64, 64), LITE0), load_weights(channels))
    assert not are_weights_of(FeatureExtractor((channels, 64, 64), LITE0), load_weights(4 - channels))
