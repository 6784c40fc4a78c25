"""What a release promises about its extras: each is described, installed, used, and its licenses are listed."""

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LICENSES = (ROOT / "docs/reference/licenses.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    yield
    for name in ("list_licenses", "measure_installs"):
        sys.modules.pop(name, None)


def rows(section: str) -> dict[str, str]:
    """Return the licenses of a section of the page by the names of the packages."""
    text = LICENSES.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| (\S+) \S+ \| (.*?) \|", text, re.MULTILINE))


def test_each_extra_is_described_and_used():
    page = (ROOT / "docs/reference/installation.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(described) == sorted(PROJECT["optional-dependencies"])
    used = import_module("measure_installs").USES
    assert set(used) == {"base", *described}


def test_the_base_install_has_permissive_licenses_alone():
    module = import_module("list_licenses")
    base = rows("Base install")
    assert {re.split("[<>=~]", needed)[0] for needed in PROJECT["dependencies"]} <= set(base)
    assert all(module.is_permissive(stated) for stated in base.values())
    assert not module.is_permissive("LGPL-3.0-only") and not module.is_permissive("MIT AND GPL-2.0-or-later")
    assert module.is_permissive("GPL-2.0-only OR BSD-3-Clause")


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_the_packages_of_each_extra_are_listed_with_a_license(extra):
    needed = {re.split(r"[<>=~\[]", text)[0] for text in PROJECT["optional-dependencies"][extra]}
    listed = rows(f"`{extra}`")
    assert needed <= set(listed) and all(listed.values())


def test_a_package_without_a_license_is_a_problem(monkeypatch):
    module = import_module("list_licenses")
    monkeypatch.setattr(module, "license_of", {"plain": "MIT", "strict": "GPL-3.0-only", "silent": ""}.get)
    assert [text.partition(":")[0] for text in module.problems({"plain", "strict"}, {"silent"})] == ["silent", "strict"]
    assert list(module.problems({"plain"}, {"strict"})) == []
