"""Networks as functions of images, and means of neighbors in NumPy."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import uniform_filter

from ssim_ae.network.network import Network
from ssim_ae.network.onnx_network import NETWORK_OPSET, network_model
from ssim_ae.runtimes.onnx_runtime import OnnxRuntime
from ssim_ae.runtimes.openvino_runtime import OpenVinoRuntime
from ssim_ae.synthetic import fabric

RUNTIMES = ("onnxruntime", "openvino")


def opened(
    network: Network, weights: Mapping[str, np.ndarray], runtime: str = "onnxruntime", opset: int = NETWORK_OPSET
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network as a function of images (B, C, H, W)."""
    model = network_model(network, weights, opset=opset).SerializeToString()
    if runtime == "openvino":
        return OpenVinoRuntime(model, network.output, "CPU").run
    return OnnxRuntime(model, "CPU").run


def neighborhood_mean(planes: np.ndarray) -> np.ndarray:
    """Return the mean of the 3 x 3 places around each place of planes (B, C, h, w), of those that exist."""
    sums, counts = (
        9 * uniform_filter(values, (0, 0, 3, 3), mode="constant")
        for values in (planes.astype(np.float64), np.ones(planes.shape))
    )
    return sums / counts


def cloth(count: int, channels: int, height: int, width: int) -> np.ndarray:
    """Return images (N, C, H, W) float32 in [0, 1] of the built-in fabric."""
    drawn = [fabric.draw("twill", size=max(height, width), seed=seed)[0] for seed in range(count)]
    return np.stack(drawn).transpose(0, 3, 1, 2)[:, :channels, :height, :width].astype(np.float32) / 255
