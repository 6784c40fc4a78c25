"""The levels of docs/architecture.md: a package imports packages of lower levels only.

A module of `ssim_ae` that is not in a package counts as one.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "ssim_ae"
LEVELS = (  # from the lowest to the highest; packages of one level do not import each other
    {"errors", "frameworks", "proportions", "random_streams", "sampling", "spelling"},
    {"console", "machine", "outputs"},
    {"storage", "tables"},
    {"checked_files"},
    {"buckets", "images", "network", "synthetic"},
    {"maps", "pretrained"},
    {"alignment"},
    {"augmentation", "onnx_operators"},
    {"features"},
    {"methods"},
    {"config"},
    {"locations", "runtimes"},
    {"detector"},
    {"batch", "detectability"},
    {"calibration", "ray"},
    {"model_zoo", "training", "evaluation"},
    {"export", "pages"},
    {"report", "runs", "server"},
    {"demo", "line", "sources"},
    {"commands"},
    {"cli"},
    {"__init__", "__main__"},
)
LEVEL_OF = {package: level for level, packages in enumerate(LEVELS) for package in packages}
ENTRY_POINTS = {"__init__", "__main__"}
CONSTANTS = {"__version__"}  # of `ssim_ae` itself


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports, except for annotations alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    annotations_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in annotations_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole_package = node.module == "ssim_ae"
            yield from (f"{node.module}.{alias.name}" if whole_package else node.module for alias in node.names)


def package_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_packages_of_lower_levels(path):
    own = package_of(path)
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("ssim_ae.")} - CONSTANTS - {own}
    wrong = sorted(other for other in imported if LEVEL_OF[other] >= LEVEL_OF[own])
    assert not wrong, f"{own} (level {LEVEL_OF[own]}) imports {', '.join(f'{o} ({LEVEL_OF[o]})' for o in wrong)}"


def test_every_package_has_a_level():
    assert {package_of(path) for path in SOURCE.rglob("*.py")} == LEVEL_OF.keys()


def test_the_documentation_lists_every_package_with_its_level():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = {name: int(level) for level, name in re.findall(r"^ *(\d+)  (\w+)(?:/|\.py) ", text, re.MULTILINE)}
    assert listed == {name: level for name, level in LEVEL_OF.items() if name not in ENTRY_POINTS}
