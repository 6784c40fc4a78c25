"""Inspection: the residual map against scikit-image, `predict` against its network alone, and a cold start."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from measure import in_turn, timing
from peers.case import Case
from report import Row
from ssim_ae import Detector
from ssim_ae.detector.detector import TILE_BATCH
from ssim_ae.detector.predictions import predict
from ssim_ae.maps.residuals import BORDER, residuals
from ssim_ae.network.ssim import ssim_residual
from workload import config_of, copies, drawn_cloth, untrained_detector

MAP_SIZE, MAP_TARGET, DIFFERENCE_LIMIT = 256, 20, 1e-5
PREDICT_TARGET, START_LIMIT, IMPORT_LIMIT = 0.7, 1.2, 0.3
DRAWN = 16  # images that the predicted ones are copies of
IMPORT_TORCH = "import time; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"
IMPORTS = """
import time
import numpy.typing, torch, PIL.Image, PIL.ImageOps, pydantic.fields, pydantic.main, safetensors.numpy
import threadpoolctl, yaml
start = time.perf_counter()
import ssim_ae.cli, ssim_ae.detector.detector, ssim_ae.detector.predictions
print(time.perf_counter() - start)
"""


def against_scikit_image(repeats: int) -> list[Row]:
    """Return the residual maps and the SSIM map alone against scikit-image's, and how far they are apart."""
    name = f"residual maps against scikit-image's SSIM, {MAP_SIZE} px gray"
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return [Row.left_out(name, "scikit-image is not installed")]
    pair = Case(MAP_SIZE, 1, z_dim=1, flc=1, batch=1, im_resize=MAP_SIZE).pair()
    image, reconstruction = (images[0] for images in pair)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}

    def stock() -> np.ndarray:
        return structural_similarity(image[0], reconstruction[0], full=True, **settings)[1]

    works = {
        "residuals": lambda: residuals(image, reconstruction, ""),
        "map": lambda: ssim_residual(image, reconstruction),
        "stock": stock,
    }
    timings = in_turn(works, repeats)
    inner = (slice(BORDER, -BORDER),) * 2
    difference = np.abs(residuals(image, reconstruction, "").ssim - (1 - stock()))[inner].max()
    return [
        Row.faster(name, timings["residuals"], timings["stock"], MAP_TARGET),
        Row.faster(f"SSIM map alone against scikit-image's, {MAP_SIZE} px gray", timings["map"], timings["stock"]),
        Row.within("largest difference from scikit-image's map", float(difference), DIFFERENCE_LIMIT),
    ]


def against_network_alone(case: Case, photos: list[Path], size: int, count: int, repeats: int) -> list[Row]:
    """Return `predict` on a folder of images, with and without overlays, against its network on as many tiles.

    The images are copies of `photos`, or of drawn ones of `size` px.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        originals = photos or sorted((drawn_cloth(folder, count=DRAWN, size=size) / "train" / "good").iterdir())
        paths = copies(originals, folder / "images", count)
        path = untrained_detector(config_of(case), folder / "detector.safetensors")
        detector = Detector.load(path, device_target="CPU")
        works = {
            "plain": lambda: list(predict(detector, paths)),
            "overlays": lambda: list(predict(detector, paths, folder / "overlays")),
            "network": network_alone(detector, count),
        }
        list(predict(detector, paths[:1], folder / "overlays"))
        timings = in_turn(works, repeats, warm=True)
    what = f"on {count} images against its network alone, {case.network_name}"
    return [
        Row.faster(f"predict {what}", timings["plain"], timings["network"], PREDICT_TARGET),
        Row.faster(f"predict with overlays {what}", timings["overlays"], timings["network"], PREDICT_TARGET),
    ]


def network_alone(detector: Detector, count: int) -> Callable[[], None]:
    """Return the work of reconstructing `count` tiles, in batches as large as the detector's."""
    config = detector.config
    shape = (TILE_BATCH, config.channels, config.crop_size, config.crop_size)
    tiles = np.random.default_rng(0).random(shape, np.float32)

    def work() -> None:
        for start in range(0, count, TILE_BATCH):
            detector.runtime.reconstruct(tiles[: count - start])

    return work


def cold_start(case: Case, repeats: int) -> list[Row]:
    """Return how long `ssim-ae predict` takes for one image from start to end, at best, and our own imports of it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        image = next((drawn_cloth(folder, count=1, size=case.im_resize) / "train" / "good").iterdir())
        detector = untrained_detector(config_of(case), folder / "detector.safetensors")
        starts = {
            runtime: timing(lambda runtime=runtime: _predicted(detector, image, runtime), repeats)
            for runtime in ("auto", "torch")
        }
    imports = min(_seconds_printed(IMPORTS) for _ in range(repeats))
    torch = min(_seconds_printed(IMPORT_TORCH) for _ in range(repeats))
    name = f"ssim-ae predict of one {case.im_resize} px image from a cold start, {case.network_name}"
    return [
        Row.within(f"{name}, through ONNX Runtime", starts["auto"].best, START_LIMIT, " s"),
        Row.within(
            f"{name}, through PyTorch", starts["torch"].best, START_LIMIT, " s", f"PyTorch's import: {torch:.2g} s"
        ),
        Row.within("our own imports of it", imports, IMPORT_LIMIT, " s"),
    ]


def _predicted(detector: Path, image: Path, runtime: str) -> None:
    command = [sys.executable, "-m", "ssim_ae", "predict", str(detector), str(image), "--runtime", runtime]
    subprocess.run(command, check=True, capture_output=True)


def _seconds_printed(code: str) -> float:
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
