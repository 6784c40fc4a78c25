"""Speed of inspection: residual maps against scikit-image, `predict` against its network alone, and cold starts."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from measure import alternate, timing
from peers.case import Case
from report import Row
from ssim_ae import Detector
from ssim_ae.detector.detector import TILE_BATCH
from ssim_ae.detector.predictions import predict
from ssim_ae.methods.reference import DAMPED_BORDER, METHOD
from ssim_ae.network.ssim import ssim_residual
from workload import config_of, copy_images, good_fabric_images, untrained_detector

MAP_SIZE = 256  # px, height and width of the compared maps
MAP_TARGET = 20  # speedup of the residual maps over scikit-image
MAX_MAP_DIFFERENCE = 1e-5  # from scikit-image's SSIM
PREDICT_TARGET = 0.7  # speed relative to the network alone
MAX_COLD_START = 1.2  # seconds
MAX_IMPORT = 0.3  # seconds
SYNTHETIC_IMAGES = 16  # different images; the predicted ones are copies of them
IMPORT_TORCH = "import time; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"
IMPORT_SSIM_AE = """
import time
import numpy.typing, torch, PIL.Image, PIL.ImageOps, pydantic.fields, pydantic.main, safetensors.numpy
import threadpoolctl, yaml
start = time.perf_counter()
import ssim_ae.cli, ssim_ae.detector.detector, ssim_ae.detector.predictions
print(time.perf_counter() - start)
"""


def scikit_image_rows(repeats: int) -> list[Row]:
    """Compare the residual maps, and the SSIM map alone, with the SSIM of scikit-image: speed and difference."""
    name = f"residual maps vs. SSIM of scikit-image, {MAP_SIZE} px gray"
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return [Row.not_measured(name, "scikit-image is not installed")]
    pair = Case(MAP_SIZE, 1, z_dim=1, flc=1, batch=1, im_resize=MAP_SIZE).pair()
    image, reconstruction = (images[0] for images in pair)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}

    def stock_ssim() -> np.ndarray:
        return structural_similarity(image[0], reconstruction[0], full=True, **settings)[1]  # type: ignore[no-untyped-call]

    functions = {
        "residuals": lambda: METHOD.residuals(image, reconstruction),
        "ssim": lambda: ssim_residual(image, reconstruction),
        "stock": stock_ssim,
    }
    timings = alternate(functions, repeats)
    inner = (slice(DAMPED_BORDER, -DAMPED_BORDER),) * 2
    difference = np.abs(METHOD.residuals(image, reconstruction).maps[0] - (1 - stock_ssim()))[inner].max()
    return [
        Row.faster(name, timings["residuals"], timings["stock"], MAP_TARGET),
        Row.faster(f"SSIM map alone vs. SSIM of scikit-image, {MAP_SIZE} px gray", timings["ssim"], timings["stock"]),
        Row.within("maximum difference from the SSIM of scikit-image", float(difference), MAX_MAP_DIFFERENCE),
    ]


def predict_rows(case: Case, images: list[Path], size: int, count: int, repeats: int) -> list[Row]:
    """Compare `predict` on a folder of images, with and without overlays, with its network on the same number of tiles.

    The folder has `count` copies of `images` or, without them, of synthetic images of `size` px.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        originals = images or good_fabric_images(folder, count=SYNTHETIC_IMAGES, size=size)
        paths = copy_images(originals, folder / "images", count)
        path = untrained_detector(config_of(case), folder / "detector.safetensors")
        detector = Detector.load(path, device_target="CPU")
        functions = {
            "plain": lambda: list(predict(detector, paths)),
            "overlays": lambda: list(predict(detector, paths, folder / "overlays")),
            "network": network_alone(detector, count),
        }
        list(predict(detector, paths[:1], folder / "overlays"))
        timings = alternate(functions, repeats, warm=True)
    suffix = f"on {count} images vs. its network alone, {case.network_name}"
    return [
        Row.faster(f"predict {suffix}", timings["plain"], timings["network"], PREDICT_TARGET),
        Row.faster(f"predict with overlays {suffix}", timings["overlays"], timings["network"], PREDICT_TARGET),
    ]


def network_alone(detector: Detector, count: int) -> Callable[[], None]:
    """Return a function that reconstructs `count` tiles in batches of the detector's size."""
    config = detector.config
    shape = (TILE_BATCH, config.channels, config.crop_size, config.crop_size)
    tiles = np.random.default_rng(0).random(shape, np.float32)

    def run() -> None:
        for start in range(0, count, TILE_BATCH):
            detector.runtime.run(tiles[: count - start])

    return run


def cold_start_rows(case: Case, repeats: int) -> list[Row]:
    """Measure the total duration of `ssim-ae predict` with one image, and the part that imports of ssim_ae take."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (image,) = good_fabric_images(folder, count=1, size=case.im_resize)
        detector = untrained_detector(config_of(case), folder / "detector.safetensors")
        starts = {
            runtime: timing(partial(_run_predict, detector, image, runtime), repeats).minimum
            for runtime in ("auto", "torch")
        }
    import_ssim_ae = min(_printed_seconds(IMPORT_SSIM_AE) for _ in range(repeats))
    import_torch = min(_printed_seconds(IMPORT_TORCH) for _ in range(repeats))
    name = f"cold start of ssim-ae predict with one {case.im_resize} px image, {case.network_name}"
    note = f"import of PyTorch: {import_torch:.2g} s"
    return [
        Row.within(f"{name}, ONNX Runtime", starts["auto"], MAX_COLD_START, " s"),
        Row.within(f"{name}, PyTorch", starts["torch"], MAX_COLD_START, " s", note),
        Row.within("imports of ssim_ae alone in a cold start", import_ssim_ae, MAX_IMPORT, " s"),
    ]


def _run_predict(detector: Path, image: Path, runtime: str) -> None:
    command = [sys.executable, "-m", "ssim_ae", "predict", str(detector), str(image), "--runtime", runtime]
    subprocess.run(command, check=True, capture_output=True)


def _printed_seconds(code: str) -> float:
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
