"""Who may import whom: a room imports rooms below it, never one above or beside it (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "ssim_ae"
LEVELS = (  # from the lowest to the highest; rooms of one level do not import each other
    {"errors", "frameworks", "random_streams", "spelling"},
    {"console", "machine"},
    {"storage"},
    {"buckets", "images", "network", "synthetic"},
    {"maps"},
    {"augmentation", "onnx_operators"},
    {"methods"},
    {"config"},
    {"locations", "runtimes"},
    {"detector"},
    {"calibration"},
    {"model_zoo", "training", "evaluation"},
    {"export", "pages"},
    {"report", "server"},
    {"demo"},
    {"commands"},
    {"cli"},
    {"__init__", "__main__"},
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


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


def room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_rooms_below_its_own(path):
    own = room(path)
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("ssim_ae.")} - {own}
    wrong = sorted(other for other in imported if LEVEL_OF[other] >= LEVEL_OF[own])
    assert not wrong, f"{own} (level {LEVEL_OF[own]}) imports {', '.join(f'{o} ({LEVEL_OF[o]})' for o in wrong)}"


def test_every_room_has_a_level():
    rooms = {room(path) for path in PACKAGE.rglob("*.py")}
    assert rooms == LEVEL_OF.keys()
