"""Features of Gabor filters, compared with convolutions by SciPy."""

import numpy as np
import pytest
from scipy.ndimage import correlate
from tests.features.conftest import RUNTIMES, cloth, neighborhood_mean, opened

from ssim_ae import Config, Detector, train
from ssim_ae.features.extractor import FeatureExtractor
from ssim_ae.features.gabor import ORIENTATIONS, gabor_filters

BRIGHTNESS = {1: np.ones(1), 3: np.array([0.299, 0.587, 0.114])}
BLUR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def block_mean(planes: np.ndarray, side: int) -> np.ndarray:
    """Return the means of squares of `side` px of planes (D, h, w)."""
    depth, height, width = planes.shape
    return planes.reshape(depth, height // side, side, width // side, side).mean(axis=(2, 4))


def expected_features(image: np.ndarray) -> np.ndarray:
    """Return the features of an image (C, H, W), before their neighbors are averaged."""
    fine = block_mean(image.astype(np.float64), 2)
    mean = block_mean(fine, 8)
    deviation = np.sqrt(np.maximum(0, block_mean(fine**2, 8) - mean**2) + 1e-6).mean(axis=0, keepdims=True)
    planes = [mean, deviation]
    level = np.tensordot(BRIGHTNESS[len(image)], fine, 1)
    for scale in range(4):
        pairs = zip(*gabor_filters(), strict=True)
        energies = [
            np.sqrt(
                correlate(level, even[0], mode="nearest") ** 2 + correlate(level, odd[0], mode="nearest") ** 2 + 1e-6
            )
            for even, odd in pairs
        ]
        planes.append(block_mean(np.sqrt(energies), 8 >> scale))
        level = correlate(level, BLUR, mode="nearest", origin=-1)[::2, ::2]
    return np.concatenate(planes)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 80, 144), (1, 96, 64)])
def test_features_equal_those_of_scipy(shape, runtime):
    images = cloth(2, *shape)
    extractor = FeatureExtractor(shape, "gabor")
    expected = neighborhood_mean(np.stack([expected_features(image) for image in images]))
    features = opened(extractor, {}, runtime)(images)
    assert features.shape == (2, *extractor.output_shape) == expected.shape
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_filters_answer_to_waves_of_their_orientation_alone():
    even, odd = gabor_filters()
    assert np.abs(even.sum(axis=(1, 2, 3))).max() < 1e-5 and np.abs(odd.sum(axis=(1, 2, 3))).max() < 1e-5
    y, x = np.mgrid[:9, :9]
    for index in range(ORIENTATIONS):
        angle = np.pi * index / ORIENTATIONS
        wave = np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / 5 + 0.7)
        amplitudes = np.hypot((even[:, 0] * wave).sum(axis=(1, 2)), (odd[:, 0] * wave).sum(axis=(1, 2)))
        assert amplitudes.argmax() == index


def test_a_detector_needs_no_weights_of_others(cloth_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("ssim_ae.pretrained.efficientnet_lite.load_weights", None)
    config = Config(dataset_path=str(cloth_folder), backbone="gabor", resolution=128, drawn_defects=0, run_eval=False)
    run = train(config, runs=tmp_path)
    detector = Detector.load(run.folder)
    assert detector.method.name == "features" and detector.config.backbone == "gabor"
    assert run.detector_path.stat().st_size < 200_000
    good = sorted(run.dataset.good)[0]
    assert detector.inspect(good).verdict == "ok"
