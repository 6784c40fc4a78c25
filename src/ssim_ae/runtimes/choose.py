"""The choice of the runtime and the device for a network."""

from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np

from ssim_ae.errors import InputError, first_line
from ssim_ae.network.architecture import Layer, LayeredNetwork
from ssim_ae.network.network import Network
from ssim_ae.runtimes.runtime import DEVICE_TARGETS, Model, Runtime, has_driver

RUNTIMES = ("auto", "onnxruntime", "openvino", "torch", "mindspore")


def open_runtime(
    network: Network,
    weights: Mapping[str, np.ndarray],
    *,
    name: str = "auto",
    device_target: str = "auto",
    threads: int | None = None,
) -> Runtime:
    """Return a runtime for a network; `auto` selects the fastest one on this machine.

    `threads` is the maximum number of CPU threads; None: one per core. Raises InputError if the runtime or the device
    does not exist, and ModuleNotFoundError if the framework is not installed.
    """
    _check_options(name, device_target)
    if name == "auto":
        name, device_target = _fastest_runtime(device_target, network)
    if name == "torch":
        from ssim_ae.runtimes.torch_runtime import TorchRuntime, pick_device

        return TorchRuntime(_layers(network, name), weights, pick_device(device_target), threads)
    if name == "mindspore":
        from ssim_ae.runtimes.mindspore_runtime import MindSporeRuntime

        return MindSporeRuntime.from_weights(_layers(network, name), weights, device_target)
    from ssim_ae.network.onnx_network import network_model

    model = network_model(network, weights).SerializeToString()
    if name == "openvino":
        from ssim_ae.runtimes.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(model, network.output, device_target, threads)
    from ssim_ae.runtimes.onnx_runtime import OnnxRuntime

    return OnnxRuntime(model, device_target, threads)


def open_model(
    model: Model,
    network: Network,
    *,
    name: str = "auto",
    device_target: str = "auto",
    threads: int | None = None,
) -> Runtime:
    """Return the runtime of a model file that contains its own weights, after a trial run.

    Raises InputError if `name` is another runtime, or if the model's output does not have the shape of the network's.
    """
    _check_options(name, device_target)
    if name not in ("auto", model.runtime):
        raise InputError(f"runtime {name}: {model.path} runs in {model.runtime} only; use --runtime={model.runtime}")
    try:
        runtime = _load_model(model, network, device_target, threads)
        shape = runtime.run(np.zeros((1, *network.input_shape), np.float32)).shape[1:]
    except (InputError, ImportError):
        raise
    except Exception as error:  # frameworks raise exceptions of their own types
        raise InputError(f"{model.path}: the network cannot be run: {first_line(error)}") from error
    if shape != network.output_shape:
        raise InputError(f"{model.path}: the network returns shape {shape} for patches of shape {network.input_shape}")
    return runtime


def _load_model(model: Model, network: Network, device_target: str, threads: int | None) -> Runtime:
    if model.runtime == "mindspore":
        from ssim_ae.runtimes.mindspore_runtime import MindSporeRuntime

        return MindSporeRuntime.from_file(model.path, _layers(network, model.runtime), device_target)
    from ssim_ae.runtimes.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(model.path, network.output, device_target, threads)


def _layers(network: Network, runtime: str) -> tuple[Layer, ...]:
    """Return the layers of a network. Raises InputError if it has none, and cannot be run by a training framework."""
    if not isinstance(network, LayeredNetwork):
        raise InputError(f"runtime {runtime}: does not run this detector; use --runtime=onnxruntime or openvino")
    return network.layers


def _check_options(name: str, device_target: str) -> None:
    if name not in RUNTIMES:
        raise InputError(f"runtime: should be one of {', '.join(RUNTIMES)}, not {name!r}")
    if device_target not in DEVICE_TARGETS:
        raise InputError(f"device_target: should be one of {', '.join(DEVICE_TARGETS)}, not {device_target!r}")


def _fastest_runtime(device_target: str, network: Network) -> tuple[str, str]:
    """Return the fastest runtime and its device: an accelerator if there is one, else the CPU."""
    from ssim_ae.runtimes.onnx_runtime import available_devices

    for device in ("Ascend", "GPU"):
        if device_target not in ("auto", device):
            continue
        if device in available_devices():
            return "onnxruntime", device
        if not isinstance(network, LayeredNetwork):
            continue
        if device_target == device or (has_driver(device) and _torch_supports(device)):
            return "torch", device
    return "onnxruntime", "CPU" if device_target == "auto" else device_target


def _torch_supports(device: str) -> bool:
    if not find_spec("torch"):
        return False
    from ssim_ae.runtimes.torch_runtime import pick_device

    return pick_device("auto").type == {"GPU": "cuda", "Ascend": "npu"}[device]
