"""Importing ssim_ae has no side effects; a framework is configured when it is first used."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

IMPORT_ALL = """
import json, os, pkgutil, sys
from importlib import import_module

environment = dict(os.environ)
import ssim_ae

imported, missing = [], []
for module in pkgutil.walk_packages(ssim_ae.__path__, "ssim_ae."):
    if module.name.endswith("__main__"):
        continue
    try:
        import_module(module.name)
        imported.append(module.name)
    except ModuleNotFoundError as error:
        assert not error.name.startswith("ssim_ae"), error
        missing.append(error.name)
print(json.dumps({
    "imported": imported,
    "missing": missing,
    "environment": os.environ == environment,
    "frameworks": [name for name in ("openvino", "openvino_telemetry", "mindspore") if name in sys.modules],
}))
"""


def test_importing_every_module_has_no_side_effects():
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"ssim_ae.cli", "ssim_ae.runtimes.openvino_runtime", "ssim_ae.training.torch_engine"} <= {
        *result["imported"]
    }
    assert not {"openvino", "mindspore"} & {*result["missing"]}
    assert result["environment"] and result["frameworks"] == []


SETTINGS = {
    "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
    "openvino": {},
    "mindspore": {"ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3"},
}


@pytest.mark.parametrize("framework", SETTINGS)
def test_a_framework_is_imported_with_its_settings(framework):
    if not find_spec(framework):
        pytest.skip(f"{framework} is not installed")
    names = list(SETTINGS[framework])
    code = f"""
import json, os, sys
for name in {names}:
    os.environ.pop(name, None)
from ssim_ae.frameworks import import_{framework}
assert import_{framework}().__name__ == {framework!r}
telemetry = sys.modules.get("openvino_telemetry", "not loaded")
print(json.dumps([{{name: os.environ[name] for name in {names}}}, telemetry]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    environment, telemetry = json.loads(done.stdout.splitlines()[-1])
    assert environment == SETTINGS[framework]
    assert telemetry == (None if framework == "openvino" else "not loaded")
