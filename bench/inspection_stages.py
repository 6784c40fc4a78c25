"""Measure where the time of an inspection goes: python bench/inspection_stages.py DETECTOR [--sizes 448 1024 4000]

CPU time per image of one thread in ms, the least of all repeats, for PNG, JPEG and BMP files of drawn fabric that
`predict` reads, decodes, inspects and writes as a row. If imagecodecs is installed, then how fast it decodes the files,
and whether its pixels are equal.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np
from PIL import Image

from report import table
from ssim_ae import Detector
from ssim_ae.batch.listing import ImageFile, file_of
from ssim_ae.batch.rows import inspect_images
from ssim_ae.batch.tables import as_parquet
from ssim_ae.images.files import decode_image
from ssim_ae.maps.verdict import THRESHOLD
from ssim_ae.synthetic import fabric

FORMATS: dict[str, dict[str, Any]] = {"PNG": {}, "JPEG": {"quality": 90}, "BMP": {}}
STAGES = ("read", "SHA-256", "decode", "resize", "network", "maps", "result", "row")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector")
    parser.add_argument("--sizes", type=int, nargs="+", default=[448, 1024, 4000], help="sides of the images in px")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    detector = Detector.load(options.detector, threads=1)
    if detector.config.tile_count > 1:
        raise SystemExit(f"{options.detector}: inspects tiles; name a detector of a method that inspects whole images")
    rows: list[list[str]] = []
    decoders: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            for path in _files(Path(folder), size):
                rows.append(_stages(detector, path, size, options.repeats))
                decoders += _other_decoders(path, size, options.repeats)
    print(table(["px", "file", "MiB", *STAGES, "whole image", "network's share"], rows))
    if decoders:
        print(table(["px", "file", "decoder", "ms", "times as fast as Pillow", "equal pixels"], decoders))


def _files(folder: Path, size: int) -> Iterator[Path]:
    """Yield a file of each format with the same picture."""
    drawn = fabric.make(folder / str(size), classes=["twill"], train=1, good=1, defective=1, size=min(size, 512))[0]
    tile = np.asarray(Image.open(min((drawn / "train" / "good").iterdir())).convert("RGB"))
    count = -(-size // tile.shape[0])
    noise = np.random.default_rng(0).integers(
        -2, 3, (size, size, 3)
    )  # without it, the copies would compress to nothing
    picture = Image.fromarray((np.tile(tile, (count, count, 1))[:size, :size] + noise).clip(0, 255).astype(np.uint8))
    for name, settings in FORMATS.items():
        path = folder / f"{size}.{name.lower()}"
        picture.save(path, name, **settings)
        yield path


def _stages(detector: Detector, path: Path, size: int, repeats: int) -> list[str]:
    """Return a row: the time of each stage of an image, and of all of them as a job does them."""
    data = path.read_bytes()
    gray = detector.config.grayscale
    pixels = decode_image(BytesIO(data), path.name, grayscale=gray)
    pose = detector.frame.pose(pixels)
    planes = detector.frame.input(pixels, pose)
    image = file_of(str(path))
    inspection = detector.inspect(pixels)
    (row,) = inspect_images(detector, [image])
    functions: dict[str, Callable[[], object]] = {
        "read": path.read_bytes,
        "SHA-256": lambda: hashlib.sha256(data).hexdigest(),
        "decode": lambda: decode_image(BytesIO(data), path.name, grayscale=gray),
        "resize": lambda: detector.frame.input(pixels, detector.frame.pose(pixels)),
        "network": lambda: detector.runtime.run(planes[None]),
        "inspect": lambda: detector.inspect(pixels),
        "result": lambda: _result(inspection.at(THRESHOLD)),
        "row": lambda: as_parquet([row]),
        "whole": lambda: _inspected(detector, image),
    }
    ms = _milliseconds(functions, repeats)
    ms["maps"] = ms["inspect"] - ms["resize"] - ms["network"]
    mib = f"{len(data) / 2**20:.2f}"
    return [
        *(str(size), path.suffix[1:], mib, *(f"{ms[name]:.1f}" for name in STAGES)),
        *(f"{ms['whole']:.1f}", f"{ms['network'] / ms['whole']:.2f}"),
    ]


def _result(inspection: Any) -> object:
    return inspection.score, inspection.defect_share, inspection.defects


def _inspected(detector: Detector, image: ImageFile) -> bytes:
    return as_parquet(list(inspect_images(detector, [image])))


def _other_decoders(path: Path, size: int, repeats: int) -> Iterator[list[str]]:
    """Yield a row for each decoder of imagecodecs that reads the file."""
    try:
        import imagecodecs
    except ImportError:
        return
    data = path.read_bytes()
    names = {".png": ("png_decode", "spng_decode"), ".jpeg": ("jpeg8_decode",), ".bmp": ("bmp_decode",)}[path.suffix]
    decoders: dict[str, Callable[[], Any]] = {"Pillow": lambda: decode_image(BytesIO(data), path.name)}
    for name in names:
        decoders[f"imagecodecs.{name}"] = partial(getattr(imagecodecs, name), data)
    ms = _milliseconds(decoders, repeats)
    expected = decoders["Pillow"]()
    for name, decode in decoders.items():
        equal = "yes" if np.array_equal(np.asarray(decode())[..., :3], expected) else "no"
        yield [str(size), path.suffix[1:], name, f"{ms[name]:.1f}", f"{ms['Pillow'] / ms[name]:.2f}", equal]


def _milliseconds(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Call all functions alternately; return the least CPU time of each, which other programs change least."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            start = thread_time()
            function()
            seconds[name].append(thread_time() - start)
    return {name: 1000 * min(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
