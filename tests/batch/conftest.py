"""A detector, images to inspect, and a function that runs `predict --output`."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install pyarrow")


@pytest.fixture(scope="session")
def photos(fabric_folder, tmp_path_factory) -> Path:
    """Images in two folders; one of them is broken."""
    root = tmp_path_factory.mktemp("photos")
    for number, path in enumerate(sorted((fabric_folder / "test").rglob("*.png"))):
        folder = root / ("early" if number % 2 else "late")
        folder.mkdir(exist_ok=True)
        (folder / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    (root / "early" / "broken.png").write_bytes(b"no image")
    return root
