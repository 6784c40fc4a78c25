"""The network of distances, compared with the distances of the extractor's features in NumPy."""

import numpy as np
import pytest
from tests.features.conftest import RUNTIMES, cloth, neighborhood_mean, opened

from ssim_ae.features import gaussians
from ssim_ae.features.distances import DistanceNetwork, distance_weights
from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.features.gaussians import Gaussians, Moments, block_side
from ssim_ae.network.network import are_weights_of
from ssim_ae.pretrained.efficientnet_lite import load_weights
from ssim_ae.runtimes import openvino_runtime

SHAPES = [(3, 64, 64), (3, 80, 144), (1, 112, 64)]
LITE0 = "efficientnet_lite0"
CHANNELS = 152
ROWS, COLUMNS = np.tril_indices(CHANNELS)


def fitted(shape: tuple[int, int, int]) -> Gaussians:
    """Return the Gaussians of the features of images of the built-in fabric."""
    moments = Moments(FeatureExtractor(shape, LITE0).output_shape)
    moments.add(opened(FeatureExtractor(shape, LITE0), load_weights(shape[0]))(cloth(6, *shape)))
    return moments.gaussians()


def with_defects(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return images of the fabric, each with a bright square at another place."""
    images = cloth(count, *shape)
    for index, image in enumerate(images):
        image[:, 16 * index + 8 : 16 * index + 24, 20:36] = 1
    return images


def distances(shape: tuple[int, int, int], found: Gaussians, inspected: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the distances (B, 1, h, w), computed place by place; 0 where the image is not inspected."""
    features = opened(FeatureExtractor(shape, LITE0), load_weights(shape[0]))(images).astype(np.float64)
    differences = features * found.scale - found.mean
    _, _, height, width = features.shape
    side = block_side(height, width)
    lengths = np.zeros((len(images), 1, height, width))
    for row, column in np.argwhere(inspected):
        factor = np.zeros((CHANNELS, CHANNELS))
        factor[ROWS, COLUMNS] = found.factor[row // side * -(-width // side) + column // side]
        lengths[:, 0, row, column] = np.linalg.norm(differences[:, :, row, column] @ factor.T, axis=1)
    return neighborhood_mean(lengths) * inspected


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [1, 2])
def test_distances_equal_those_in_numpy(monkeypatch, shape, side, runtime):
    if side == 2:
        monkeypatch.setattr(gaussians, "MAX_BLOCKS", 15)  # 80 x 144 px and 112 x 64 px: blocks that are not full
    network, found = DistanceNetwork(shape, LITE0), fitted(shape)
    height, width = network.output_shape[1:]
    assert block_side(height, width) == side
    inspected = np.add.outer(np.arange(height), np.arange(width)) < height + width - 3
    weights = load_weights(shape[0]) | distance_weights(found, inspected)
    assert are_weights_of(network, weights)
    run = opened(network, weights, runtime)
    for batch in (1, 3):
        images = with_defects(batch, shape)
        expected = distances(shape, found, inspected, images)
        assert run(images).shape == (batch, *network.output_shape) == expected.shape
        np.testing.assert_allclose(run(images), expected, rtol=1e-3)
        assert expected.max() > 1.5 * np.median(expected[..., inspected]), "the square is far from the good images"


@pytest.mark.parametrize("opset", [11, 12, 13, 18])
def test_every_opset_has_its_operators(monkeypatch, opset):
    monkeypatch.setattr(gaussians, "MAX_BLOCKS", 15)
    shape = (3, 80, 144)
    network, images = DistanceNetwork(shape, LITE0), with_defects(3, shape)
    weights = load_weights() | distance_weights(fitted(shape), np.ones((5, 9), bool))
    np.testing.assert_allclose(
        opened(network, weights, opset=opset)(images), opened(network, weights)(images), rtol=1e-5
    )


@pytest.mark.parametrize(("per_pixel", "allowed"), [(32, True), (23, False)])
def test_networks_of_large_images_are_allowed_in_openvino(monkeypatch, per_pixel, allowed):
    monkeypatch.setattr(openvino_runtime, "MAX_OUTPUT_ELEMENTS", 0)  # as if the image were large
    monkeypatch.setattr(openvino_runtime, "MAX_OUTPUTS_PER_PIXEL", per_pixel)
    weights = load_weights() | distance_weights(fitted((3, 64, 64)), np.ones((4, 4), bool))
    if allowed:
        opened(DistanceNetwork((3, 64, 64), LITE0), weights, "openvino")
    else:
        with pytest.raises(ValueError, match=r"^operator Convolution returns more than 94208 values for one image$"):
            opened(DistanceNetwork((3, 64, 64), LITE0), weights, "openvino")
